"""The engine: events, the journal, trading on backtrader, and metrics."""
