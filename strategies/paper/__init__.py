"""A paper session: a backtest whose journal is still growing.

Independent of screens and processes: clock, source, student and answer cache are passed in.
"""
