"""The client that a source's name stands for. Knows the names; asks nothing."""

from collections.abc import Callable
from datetime import datetime

from engine.errors import UsageError
from engine.instruments import Instrument
from feeds.files.bars import guess_instrument
from feeds.history.candles import Adjustment
from feeds.history.client import BarClient
from feeds.sources.ccxt_source import ccxt_client
from feeds.sources.eastmoney_source import eastmoney_client
from feeds.sources.yfinance_source import yahoo_client

STOCK_SOURCES = ("yfinance", "eastmoney")


def require_source(source: str) -> None:
    """Raise UsageError for what is neither "ccxt:EXCHANGE" nor "yfinance" nor "eastmoney"."""
    kind, _, exchange = source.partition(":")
    if not (kind == "ccxt" and exchange) and source not in STOCK_SOURCES:
        raise UsageError(
            f"source {source[:40]!r} is unknown; give ccxt:EXCHANGE, such as ccxt:binance, or yfinance, "
            "eastmoney or file"
        )


def create_client(
    source: str,
    *,
    timeframe: str = "1d",
    adjustment: Adjustment | None = None,
    clock: Callable[[], datetime],
    url: str | None = None,
    get_instrument: Callable[[str], Instrument] = guess_instrument,
) -> BarClient:
    """The client of "ccxt:EXCHANGE", "yfinance" or "eastmoney"; without an adjustment the source's plainest.

    `url` is asked in place of the source's own address. Raises UsageError for another source, a timeframe
    or an adjustment that the source does not have, and for a library that is not installed.
    """
    require_source(source)
    exchange = source.partition(":")[2]
    if exchange:
        if adjustment not in (None, Adjustment.RAW):
            raise UsageError(f"coins have no {adjustment} prices; leave --adjustment out")
        return ccxt_client(exchange, timeframe=timeframe, clock=clock, url=url)
    if timeframe != "1d":
        raise UsageError(f"{source} gives daily candles only; leave --timeframe {timeframe} out")
    if source == "yfinance":
        split = adjustment or Adjustment.SPLIT
        return yahoo_client(split, clock=clock, url=url, get_instrument=get_instrument)
    return eastmoney_client(adjustment or Adjustment.RAW, clock=clock, url=url, get_instrument=get_instrument)
