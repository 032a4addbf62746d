"""The dashboard: reads journals, writes commands, nothing else.

`strategies.monitor` follows journals and projects them onto views; the panels in `screens` draw
views, `screen` puts them on Textual's grids, and `app` answers keys.
"""
