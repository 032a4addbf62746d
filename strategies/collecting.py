"""Ties live sources, journal and collector together for one collection. Trades nothing."""

import re
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path

from engine.calendars import Calendar, calendar_of
from engine.errors import UsageError
from engine.journal import Journal
from feeds.history.importing import SOURCE as FILES
from feeds.live.alarm import run_live
from strategies.config import BacktestConfig
from strategies.live_collector import OnJournaled, collector_for
from strategies.real_facts import instruments_of
from strategies.routing import Clients, Waiting, routed

_CALENDAR_AHEAD = timedelta(days=366)
_CALENDAR_BEHIND = timedelta(days=45)
"""Enough for the corrections of a week, after the longest holiday."""


def collect_live(
    config: BacktestConfig,
    tied: Mapping[str, str],
    *,
    name: str,
    data_dir: Path,
    clock: Callable[[], datetime],
    waiting: Waiting,
    on_journaled: OnJournaled = lambda _events: None,
) -> None:
    """Collect what `config` names until `waiting.stop` is set, or Ctrl-C.

    `tied` names the source of single symbols; the others go to the source that takes them (see
    `strategies.routing`). A collection of that name in `data_dir` goes on. `on_journaled` is told what was
    journaled. Raises UsageError for what cannot be collected, SourceError for a source that does not answer.
    """
    sources = [source for source in config.store if source != FILES]
    if not sources:
        raise UsageError("files tell of no live prices; name --source ccxt:EXCHANGE, yfinance or eastmoney")
    if not re.fullmatch(r"[\w.-]{1,60}", name):
        raise UsageError(f"--name {name[:40]!r}: use letters, digits, dots, dashes and underscores")
    if not config.symbols:
        raise UsageError("name --symbols, such as BTC/USDT or AAPL")
    instruments = instruments_of(dict.fromkeys(config.symbols), config)
    clients = Clients(config, instruments, clock=clock, waiting=waiting)
    by_source = routed(sources, instruments, tied, clients.has)
    clients.require(by_source)
    folder = data_dir / "collections" / name
    folder.mkdir(parents=True, exist_ok=True)
    with Journal.open(folder / "journal.sqlite", name, create=True) as journal:
        today = clock().date()
        codes = {one.calendar for one in instruments.values()}
        calendars = _calendars(codes, _begun(journal) or today, today)
        collector = collector_for(
            journal,
            config,
            by_source,
            clients=clients,
            instruments=instruments,
            calendars=calendars,
            data_dir=data_dir,
            clock=clock,
            sleep=waiting.sleep,
            on_journaled=on_journaled,
        )
        run_live(collector, clock=clock, stop=waiting.stop or threading.Event())


def _calendars(codes: Iterable[str], begun: date, today: date) -> dict[str, Calendar]:
    """From before the collection began, so that what was missed since then has its sessions."""
    first = min(begun, today) - _CALENDAR_BEHIND
    return {code: calendar_of(code, first, today + _CALENDAR_AHEAD) for code in codes}


def _begun(journal: Journal) -> date | None:
    """The first day of the collection so far."""
    first = next(iter(journal.read(kinds=["collecting"])), None)
    return datetime.fromisoformat(first.payload["since"]).date() if first else None
