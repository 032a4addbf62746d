"""What happened and what it was worth: events, journal, backtrader, scores.

The engine knows no model, no screen and no network.
"""
