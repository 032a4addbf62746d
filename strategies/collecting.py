"""Ties live sources, journal and collector together for one collection. Trades nothing."""

import re
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from engine.calendars import calendar_of
from engine.errors import UsageError
from engine.instruments import AssetClass
from engine.journal import Journal
from feeds.bars import guess_instrument
from feeds.history.exchanges import ccxt_client
from feeds.live.alarm import run_live
from feeds.live.collector import Collector
from feeds.live.exchange import LiveExchange
from feeds.live.requests import AtOnce
from feeds.live.wire import Wire
from feeds.names import NameTable
from feeds.press.news_store import NewsStore
from strategies.real_facts import NEWS_FILE

_ASK_SECONDS = 30.0
_CALENDAR_AHEAD = timedelta(days=366)


def collect_live(
    source: str,
    symbols: Sequence[str],
    news_feeds: Sequence[str],
    *,
    name: str,
    data_dir: Path,
    clock: Callable[[], datetime],
    sleep: Callable[[float], None],
    stop: threading.Event | None = None,
    urls: dict[str, str] | None = None,
) -> None:
    """Collect until `stop` is set, or Ctrl-C. `urls` replaces addresses, as in `ccxt_client`.

    Raises UsageError for what is no exchange of ccxt, a symbol that is no coin, or a name that is no word.
    """
    kind, _, exchange = source.partition(":")
    if kind != "ccxt" or not exchange:
        raise UsageError(
            f"--source {source[:40]!r}: live collection takes ccxt:EXCHANGE, such as ccxt:binance"
        )
    if not re.fullmatch(r"[\w.-]{1,60}", name):
        raise UsageError(f"--name {name[:40]!r}: use letters, digits, dots, dashes and underscores")
    instruments = {symbol: guess_instrument(symbol) for symbol in symbols}
    for symbol, one in instruments.items():
        if one.asset_class is not AssetClass.COIN:
            raise UsageError(f"--symbols {symbol}: not a coin's pair; write it like BTC/USDT")
    if not instruments:
        raise UsageError("name --symbols, such as BTC/USDT")
    client = ccxt_client(exchange, clock=clock, urls=urls)
    client.require(list(instruments))
    live = LiveExchange(client)
    today = clock().date()
    names = NameTable.for_instruments(instruments.values())
    store = NewsStore(data_dir / NEWS_FILE)
    folder = data_dir / "collections" / name
    folder.mkdir(parents=True, exist_ok=True)
    with Journal.open(folder / "journal.sqlite", name, create=True) as journal:
        collector = Collector(
            journal=journal,
            instruments=instruments,
            calendars={
                code: calendar_of(code, today, today + _CALENDAR_AHEAD)
                for code in {one.calendar for one in instruments.values()}
            },
            sources=dict.fromkeys(instruments, live),
            since=datetime.combine(today, time(0), tzinfo=UTC),
            news=[Wire(url, store, names, clock=clock, sleep=sleep) for url in news_feeds],
            clock=clock,
            ask=AtOnce(_ASK_SECONDS),
        )
        run_live(collector, clock=clock, stop=stop or threading.Event())
