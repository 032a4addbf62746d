"""All facts of a run, from files or from the simulated market, in one shape. Knows no student."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from engine.calendars import Calendar, calendar_of
from engine.errors import DataError, UsageError
from engine.instruments import DEFAULT_COSTS, AssetClass, Costs, Instrument
from engine.values import Bar, NewsItem
from feeds.bars import bar_files, guess_instrument, read_bars, span_of
from feeds.names import NameTable
from feeds.news import read_news
from feeds.simulated import TRAINING_SEEDS, MarketSettings, OracleView, simulate
from strategies.config import BacktestConfig, InstrumentTable

_WARM_UP = timedelta(days=70)
"""Bars from before the start, so that the first forecast has a full window behind it."""

SIMULATED_START = date(2023, 1, 1)
_MOST_SIMULATED = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a run is made on. `bars` may begin before `start`: decisions are taken on closes after it.

    `oracle` is empty for real data; `source` names the data in the record of trials; `rehearsed` tells
    that the tiny student was trained on this very market.
    """

    instruments: Mapping[str, Instrument]
    calendars: Mapping[str, Calendar]
    bars: Mapping[str, Sequence[Bar]]
    news: Sequence[NewsItem]
    start: datetime
    source: str
    simulated: bool
    rehearsed: bool = False
    oracle: Mapping[tuple[str, datetime], OracleView] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def traded_bars(self) -> list[Bar]:
        """The bars on whose closes decisions are taken, by time and symbol."""
        kept = (bar for series in self.bars.values() for bar in series if bar.closes_at > self.start)
        return sorted(kept, key=lambda bar: (bar.closes_at, bar.symbol))

    @property
    def days_per_year(self) -> int:
        """365 as soon as one instrument trades every day, else 252."""
        return max(instrument.days_per_year for instrument in self.instruments.values())


def gather(config: BacktestConfig) -> Facts:
    """Read or simulate everything that `config` asks for. Raises DataError or UsageError."""
    facts = _from_files(config) if config.bars else _simulated(config)
    currencies = {instrument.currency for instrument in facts.instruments.values()}
    if len(currencies) > 1:
        raise DataError(
            f"the symbols are quoted in {', '.join(sorted(currencies))}; choose symbols of one currency with "
            "--symbols, or set `currency` under [instruments.SYMBOL]"
        )
    return facts


def costs_of(config: BacktestConfig, instruments: Mapping[str, Instrument]) -> dict[str, Costs]:
    """Each symbol's costs: those of its class, but for what `config` states."""
    stated = {
        name: value
        for name in ("fee_bps", "slippage_bps", "latency_bps", "borrow_rate")
        if (value := getattr(config, name)) is not None
    }
    return {
        symbol: replace(DEFAULT_COSTS[instrument.asset_class], **stated)
        for symbol, instrument in instruments.items()
    }


def _simulated(config: BacktestConfig) -> Facts:
    if config.news:
        raise UsageError("--news needs --bars: the simulated market writes its own news")
    start = config.start or SIMULATED_START
    days = (config.end - start).days + 1 if config.end else config.market.days
    if days < 2:
        raise UsageError(f"--end {config.end} is not after --start {start}; choose a later end")
    if days > _MOST_SIMULATED:
        raise UsageError(
            f"{days} simulated days to --end {config.end} are too many; stay within {_MOST_SIMULATED}"
        )
    market = config.market
    try:
        settings = MarketSettings(
            seed=config.seed,
            coins=market.coins,
            stocks=market.stocks,
            start=start,
            days=days,
            edge=market.edge,
            reversal=market.reversal,
            headlines=market.headlines,
        )
    except ValueError as error:
        raise UsageError(f"[market]: {error}") from error
    made = simulate(settings)
    chosen = _chosen(config.symbols, made.bars, "the simulated market")
    return Facts(
        instruments={symbol: made.instruments[symbol] for symbol in chosen},
        calendars=made.calendars,
        bars={symbol: made.bars[symbol] for symbol in chosen},
        news=[item for item in made.news if not item.symbols or item.symbols & set(chosen)],
        start=_midnight(start),
        source=f"simulated:{config.seed}",
        simulated=True,
        rehearsed=config.seed in TRAINING_SEEDS,
        oracle=made.oracle,
        notes=("The market, its news and every result are SIMULATED.",),
    )


def _from_files(config: BacktestConfig) -> Facts:
    files = bar_files(config.bars)
    for symbol, path in files.items():
        if not symbol.isprintable():
            raise DataError(f"{path!r}: the name is the symbol, and it cannot be printed; rename the file")
    chosen = _chosen(config.symbols, files, ", ".join(str(path) for path in config.bars))
    instruments = {symbol: _instrument(symbol, config.instruments.get(symbol)) for symbol in chosen}
    since = config.start - _WARM_UP if config.start else None
    spans = {symbol: span_of(files[symbol]) for symbol in chosen}
    newest = max(last for _, last in spans.values())
    if config.start and newest < config.start:
        raise DataError(
            f"{config.bars[0]}: no bar from {config.start} on, the newest is of {newest}; "
            "choose an earlier --start"
        )
    calendars = _calendars(instruments, spans)
    bars = {
        symbol: read_bars(
            files[symbol], instrument, calendars[instrument.calendar], since=since, until=config.end
        )
        for symbol, instrument in instruments.items()
    }
    start = _midnight(config.start or min(series[0].closes_at.date() for series in bars.values()))
    start = start if config.start else start - timedelta(days=1)
    if not any(series[-1].closes_at > start for series in bars.values()):
        raise DataError(f"{config.bars[0]}: no bar from {config.start} on; choose an earlier --start")
    notes: list[str] = []
    news: Sequence[NewsItem] = ()
    if config.news:
        latency = timedelta(seconds=config.archive_latency_seconds)
        archive = read_news(
            config.news, NameTable.for_instruments(instruments.values(), config.names), latency
        )
        last = max(series[-1].closes_at for series in bars.values())
        news = [item for item in archive.items if start - _WARM_UP < item.available_at <= last]
        notes.append(
            f"News comes from an archive without a time of first sight: it counts as known "
            f"{config.archive_latency_seconds:g} s after publication, by the day where only the day is known."
        )
        if archive.skipped_not_traded:
            notes.append(
                f"{archive.skipped_not_traded} news items on symbols that are not traded were skipped."
            )
    return Facts(
        instruments=instruments,
        calendars=calendars,
        bars=bars,
        news=news,
        start=start,
        source="files",
        simulated=False,
        notes=tuple(notes),
    )


def _chosen(wanted: Sequence[str], known: Mapping[str, object], place: str) -> list[str]:
    for symbol in wanted:
        if symbol not in known:
            near = difflib.get_close_matches(symbol, known, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]}?" if near else f"choose among {', '.join(sorted(known)[:12])}"
            raise DataError(f"{place}: no bars of symbol {symbol}; {hint}")
    return sorted(set(wanted) or known)


_EXAMPLES = {AssetClass.COIN: "BTC-USD", AssetClass.STOCK: "AAPL", AssetClass.A_SHARE: "600519"}


def _instrument(symbol: str, table: InstrumentTable | None) -> Instrument:
    guess = guess_instrument(symbol)
    if table is None:
        return guess
    if table.asset_class is not None and table.asset_class is not guess.asset_class:
        guess = replace(guess_instrument(_EXAMPLES[table.asset_class]), symbol=symbol, names=())
    stated: dict[str, Any] = {name: value for name, value in table if value is not None}
    try:
        return replace(guess, **{**stated, "names": guess.names + table.names})
    except ValueError as error:
        raise UsageError(f"[instruments.{symbol}]: {error}") from error


def _calendars(
    instruments: Mapping[str, Instrument], spans: Mapping[str, tuple[date, date]]
) -> dict[str, Calendar]:
    codes: dict[str, list[tuple[date, date]]] = {}
    for symbol, instrument in instruments.items():
        codes.setdefault(instrument.calendar, []).append(spans[symbol])
    return {
        code: calendar_of(code, min(first for first, _ in some), max(last for _, last in some))
        for code, some in codes.items()
    }


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(0), tzinfo=UTC)
