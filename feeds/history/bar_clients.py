"""The client that a source's name stands for. Knows the names; asks nothing."""

from collections.abc import Callable
from datetime import datetime

from engine.errors import UsageError
from feeds.history.bar_sources import BarClient
from feeds.history.candles import Adjustment
from feeds.history.exchanges import ccxt_client
from feeds.history.stock_sources import eastmoney_client, yahoo_client


def client_of(
    source: str, *, timeframe: str = "1d", adjustment: Adjustment | None = None, clock: Callable[[], datetime]
) -> BarClient:
    """The client of "ccxt:EXCHANGE", "yfinance" or "eastmoney"; without an adjustment the source's plainest.

    Raises UsageError for another source, a timeframe or an adjustment that the source does not have, and
    for a library that is not installed.
    """
    kind, _, exchange = source.partition(":")
    if kind == "ccxt" and exchange:
        if adjustment not in (None, Adjustment.RAW):
            raise UsageError(f"coins have no {adjustment} prices; leave --adjustment out")
        return ccxt_client(exchange, timeframe=timeframe, clock=clock)
    if source not in ("yfinance", "eastmoney"):
        raise UsageError(
            f"source {source[:40]!r} is unknown; give ccxt:EXCHANGE, yfinance, eastmoney or file"
        )
    if timeframe != "1d":
        raise UsageError(f"{source} gives daily candles only; leave --timeframe {timeframe} out")
    if source == "yfinance":
        return yahoo_client(adjustment or Adjustment.SPLIT, clock=clock)
    return eastmoney_client(adjustment or Adjustment.RAW, clock=clock)
