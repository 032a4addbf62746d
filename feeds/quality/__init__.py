"""Data checks: find bars and news that cannot be right before a backtest uses them."""
