"""Data in, forecasts traded, scores out: what a backtest and a paper session are made of.

`PUBLIC` is the part that the module `closecall` offers to users of the library.
"""

PUBLIC = {
    "Forecast": "engine.model",
    "MarketData": "strategies.market_data",
    "Result": "strategies.results",
    "Slice": "engine.model",
    "Strategy": "strategies.strategy",
    "ClosecallError": "engine.errors",
    "DataError": "engine.errors",
    "StudentError": "engine.errors",
    "UsageError": "engine.errors",
    "backtest": "strategies.api",
    "check_lookahead": "strategies.lookahead.api",
    "format_answer": "llm.answers",
    "simulate": "strategies.api",
    "sweep": "strategies.sweep",
    "Sweep": "strategies.sweep",
}
"""The public names and the modules that define them, which are imported at the first use."""
