"""Orders, fills, positions and risk, on backtrader's broker."""
