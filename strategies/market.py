"""The bars, news, instruments and rates of a run as one value, and what its loaders have in common."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from math import ceil

from engine.calendars import Calendar
from engine.errors import DataError, UsageError, suggest
from engine.fx import FxRates
from engine.instruments import Costs, Instrument
from engine.metrics.annualization import count_days_per_year
from engine.model import Bar, NewsItem
from feeds.quality.checks import summarize_blocking
from feeds.quality.findings import Finding, Kind
from feeds.simulated.market import OracleView
from llm.backends import find_window
from strategies.config import BacktestConfig, student_settings
from strategies.console import pluralize

_WARM_UP = timedelta(days=70)
"""The least of `warm_up`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """A symbol that is bought and held beside the student, and that need not be traded by it.

    Attributes:
        instrument: The instrument.
        calendar: Its calendar.
        costs: What trading it costs.
        bars: Its bars of the traded days, oldest first.
    """

    instrument: Instrument
    calendar: Calendar
    costs: Costs
    bars: Sequence[Bar]


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """Bars and news that a run is made on; the attributes are described at `MarketData`."""

    instruments: Mapping[str, Instrument]
    calendars: Mapping[str, Calendar]
    bars: Mapping[str, Sequence[Bar]]
    news: Sequence[NewsItem]
    start: datetime
    source: str
    is_simulated: bool
    is_training_market: bool = False
    oracle: Mapping[tuple[str, datetime], OracleView] = field(default_factory=dict)
    rates: FxRates | None = None
    notes: tuple[str, ...] = ()
    benchmark: Benchmark | None = None

    @property
    def history(self) -> dict[str, list[Bar]]:
        """The bars that had closed by `start`, by symbol."""
        return {
            symbol: [bar for bar in series if bar.closes_at <= self.start]
            for symbol, series in self.bars.items()
        }

    @property
    def traded_bars(self) -> list[Bar]:
        """The bars on whose closes decisions are taken, by time and symbol."""
        kept = (bar for series in self.bars.values() for bar in series if bar.closes_at > self.start)
        return sorted(kept, key=lambda bar: (bar.closes_at, bar.symbol))

    @property
    def currency(self) -> str:
        """The currency of cash, equity and costs."""
        return self.rates.base if self.rates else next(iter(self.instruments.values())).currency

    @property
    def symbol_calendars(self) -> dict[str, Calendar]:
        """The calendar of each symbol."""
        return {
            symbol: self.calendars[instrument.calendar]
            for symbol, instrument in self.instruments.items()
            if instrument.calendar in self.calendars
        }

    @property
    def days_per_year(self) -> int:
        """How many days of a year have a bar that closes, counted on these bars and their calendars."""
        codes = {symbol: instrument.calendar for symbol, instrument in self.instruments.items()}
        return count_days_per_year(self.bars, codes, self.start)


def select_symbols(requested: Sequence[str], known: Mapping[str, object], place: str) -> list[str]:
    """Return the requested symbols, or all that are known, sorted.

    Args:
        requested: The symbols; empty for all.
        known: The known symbols.
        place: Where they are known, for an error.

    Raises:
        DataError: For an unknown symbol, with the nearest known one.
    """
    for symbol in requested:
        if symbol not in known:
            hint = suggest(symbol, known, cutoff=0.4)
            raise UsageError(f"{place}: no bars of symbol {symbol}; {hint}")
    return sorted(set(requested) or known)


def midnight(day: date) -> datetime:
    """Return the start of a day in UTC."""
    return datetime.combine(day, time(0), tzinfo=UTC)


def find_span(config: BacktestConfig, bars: Mapping[str, Sequence[Bar]]) -> tuple[datetime, datetime]:
    """Return the time after which decisions are taken, and the last close."""
    first = min(series[0].closes_at.date() for series in bars.values())
    start = midnight(config.start) if config.start else midnight(first) - timedelta(days=1)
    return start, max(series[-1].closes_at for series in bars.values())


def build_market(
    config: BacktestConfig,
    instruments: Mapping[str, Instrument],
    calendars: Mapping[str, Calendar],
    bars: Mapping[str, Sequence[Bar]],
    news: tuple[Sequence[NewsItem], list[str]],
    notes: list[str],
    source: str,
) -> Market:
    """Return real data with the news that concerns its days, and notes.

    Args:
        config: The configuration.
        instruments: The instruments by symbol.
        calendars: The calendars by code.
        bars: The bars by symbol, oldest first.
        news: The news items, and notes on them.
        notes: Sentences for the foot of the table.
        source: What names the data in the record of trials.

    Raises:
        DataError: Where no bar is from the start on.
    """
    start, last = find_span(config, bars)
    if last <= start:
        raise DataError(f"no bar from {config.start} on; choose an earlier --start")
    items, about_news = news
    since = start - warm_up(config)
    usable = [item for item in items if since < item.available_at <= last]
    if items and not usable:
        known = sorted(item.available_at.date() for item in items)
        about_news = [
            *about_news,
            f"No news in these days: the {pluralize(len(items), 'item')} that concern what is traded "
            f"became known from {known[0]} to {known[-1]}; choose other days, or add news of these.",
        ]
    return Market(
        instruments=instruments,
        calendars=calendars,
        bars=bars,
        news=usable,
        start=start,
        source=source,
        is_simulated=False,
        notes=(*notes, *about_news),
    )


def accept_findings(findings: Sequence[Finding], config: BacktestConfig) -> list[str]:
    """Refuse what would harm a backtest in the days asked for, or note what was accepted or repaired."""
    since = history_start(config)
    places = "--store" if config.store else shlex.join(map(str, (*config.bars, *config.news)))
    findings = [f for f in findings if f.day is None or is_within(f.day, since, config.end)]
    repaired = [f"{f.symbol}: {f.sentence}." for f in findings if f.kind is Kind.OHLC and not f.blocking]
    harm = summarize_blocking(findings)
    if harm and not config.allow_bad_data:
        raise DataError(
            f"{harm}; list them with: closecall check data {places}; choose other dates, or accept them with "
            "--allow-bad-data"
        )
    return repaired + ([f"Accepted because of --allow-bad-data: {harm}."] if harm else [])


def warm_up(config: BacktestConfig) -> timedelta:
    """Return how far back bars are read, so that the first forecast has a full window behind it."""
    if config.warm_up_days is not None:
        return timedelta(days=config.warm_up_days)
    return max(_WARM_UP, _days_of(find_window(student_settings(config))))


def describe_history(market: Market, config: BacktestConfig, window: int) -> list[str]:
    """Return a note where data that begin at a chosen day hold too few bars before it for a window."""
    least = min(map(len, market.history.values()))
    if config.start is None or least >= window or warm_up(config) >= _days_of(window):
        return []
    return [
        f"The student looks at {window} bars, and the data hold {least} before {config.start}: its first "
        f"forecasts see fewer. Make the data with warm_up_days={_days_of(window).days}."
    ]


def _days_of(window: int) -> timedelta:
    # Five bars a week where markets close at weekends, and two weeks of holidays.
    return timedelta(days=ceil(window * 7 / 5) + 14)


def history_start(config: BacktestConfig) -> date | None:
    """Return the first day of which bars and findings count; None for all."""
    return config.start - warm_up(config) if config.start else None


def is_within(day: date, since: date | None, until: date | None) -> bool:
    """Return whether a day is neither before the first nor after the last."""
    return (since is None or since <= day) and (until is None or day <= until)
