"""The dashboard: reads journals, writes commands, nothing else.

`reading` tails journals in a thread, `board` folds their events, `views` are what came of it, the panels draw
views, and `app` puts them on a screen. Nothing below `app` knows Textual.
"""
