"""A paper session: a backtest whose journal is still growing.

Knows no screen and no process: clock, source, student and ledger are passed in.
"""
