"""Facts from the user's files, and from what was fetched into the store. Knows no student."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from engine.calendars import Calendar, calendar_of
from engine.errors import DataError, UsageError
from engine.instruments import AssetClass, Instrument
from engine.values import Bar, NewsItem
from feeds.bars import bar_files, guess_instrument, read_bars, span_of
from feeds.check_store import check_stored
from feeds.checks import Calendars, check_files, harm_in
from feeds.findings import Finding
from feeds.history.bar_clients import require_source
from feeds.history.importing import SOURCE as FILES
from feeds.history.store import BarStore
from feeds.history.stored_bars import StoredBars
from feeds.names import NameTable
from feeds.news import read_news
from feeds.press.news_store import NewsStore
from strategies.config import BacktestConfig, InstrumentTable
from strategies.facts import Facts, chosen, midnight

BARS_FOLDER = "bars"
NEWS_FILE = Path("news") / "seen.jsonl"

_WARM_UP = timedelta(days=70)
"""Bars from before the start, so that the first forecast has a full window behind it."""


def from_files(config: BacktestConfig) -> Facts:
    """The bars and news that `config` names. Raises DataError, also for data that would harm a backtest."""
    files = bar_files(config.bars)
    for symbol, path in files.items():
        if not symbol.isprintable():
            raise DataError(f"{path!r}: the name is the symbol, and it cannot be printed; rename the file")
    picked = chosen(config.symbols, files, ", ".join(str(path) for path in config.bars))
    instruments = instruments_of(picked, config)
    spans = {symbol: span_of(files[symbol]) for symbol in picked}
    newest = max(last for _, last in spans.values())
    if config.start and newest < config.start:
        raise DataError(
            f"{config.bars[0]}: no bar from {config.start} on, the newest is of {newest}; "
            "choose an earlier --start"
        )
    calendars = _calendars(instruments, spans)
    bars = {
        symbol: read_bars(
            files[symbol],
            instrument,
            calendars[instrument.calendar],
            since=_since(config),
            until=config.end,
        )
        for symbol, instrument in instruments.items()
    }
    news = _archive(config, instruments)
    notes = _checked([files[symbol] for symbol in picked], instruments, config)
    return _facts(config, instruments, calendars, bars, news, notes, "files")


def from_store(config: BacktestConfig, data_dir: Path) -> Facts:
    """What was fetched from the sources that `config.store` names, with the news seen so far.

    News named by `config.news` takes the place of the news that was fetched. Raises DataError.
    """
    store = BarStore(data_dir / BARS_FOLDER)
    for source in config.store:
        if source != FILES:
            require_source(source)
    known = {symbol: source for source in reversed(config.store) for symbol in store.symbols(source)}
    if not known:
        source = config.store[0]
        rest = "--bars PATH --adjustment raw" if source == FILES else "--symbols SYMBOL --since DATE"
        command = f"closecall fetch bars --source {source} {rest}"
        raise DataError(f"{store.root}: nothing is stored from {source}; run {command}")
    picked = chosen(config.symbols, known, f"the store of {', '.join(config.store)}")
    instruments = instruments_of(picked, config)
    stored = {symbol: store.read(known[symbol], symbol) for symbol in picked}
    for symbol, one in stored.items():
        if not one.candles:
            raise DataError(f"{one.source}: no candle of {symbol} is stored, only gaps; fetch other days")
    spans = {
        s: (one.candles[0].starts_at.date(), one.candles[-1].starts_at.date()) for s, one in stored.items()
    }
    calendars = _calendars(instruments, spans)
    bars = {
        symbol: tuple(
            bar
            for bar in one.bars(instruments[symbol], calendars[instruments[symbol].calendar])
            if _within(bar.opens_at.date(), _since(config), config.end)
        )
        for symbol, one in stored.items()
    }
    if empty := [symbol for symbol, series in bars.items() if not series]:
        raise DataError(
            f"the store has no bar of {empty[0]} in the days asked for; fetch them or choose others"
        )
    calendars_ = Calendars()
    found = [
        finding
        for one in stored.values()
        for finding in check_stored(store, one, instruments, now=None, calendars=calendars_)
    ]
    notes = [*map(_said, stored.values()), *_accepted(found, config)]
    if config.news:
        news = _archive(config, instruments)
    else:
        names = NameTable.for_instruments(instruments.values(), config.names)
        latency = timedelta(seconds=config.archive_latency_seconds)
        news = NewsStore(data_dir / NEWS_FILE).items(names, latency), []
    return _facts(config, instruments, calendars, bars, news, notes, "store")


def _facts(
    config: BacktestConfig,
    instruments: Mapping[str, Instrument],
    calendars: Mapping[str, Calendar],
    bars: Mapping[str, Sequence[Bar]],
    news: tuple[Sequence[NewsItem], list[str]],
    notes: list[str],
    source: str,
) -> Facts:
    first = min(series[0].closes_at.date() for series in bars.values())
    start = midnight(config.start) if config.start else midnight(first) - timedelta(days=1)
    if not any(series[-1].closes_at > start for series in bars.values()):
        raise DataError(f"no bar from {config.start} on; choose an earlier --start")
    last = max(series[-1].closes_at for series in bars.values())
    items, about_news = news
    return Facts(
        instruments=instruments,
        calendars=calendars,
        bars=bars,
        news=[item for item in items if start - _WARM_UP < item.available_at <= last],
        start=start,
        source=source,
        simulated=False,
        notes=(*notes, *about_news),
    )


def _archive(
    config: BacktestConfig, instruments: Mapping[str, Instrument]
) -> tuple[Sequence[NewsItem], list[str]]:
    if not config.news:
        return (), []
    latency = timedelta(seconds=config.archive_latency_seconds)
    archive = read_news(config.news, NameTable.for_instruments(instruments.values(), config.names), latency)
    notes = [
        "News comes from an archive: without a time of first sight it counts as known "
        f"{config.archive_latency_seconds:g} s after publication, by the day where only the day is known."
    ]
    if archive.skipped_not_traded:
        notes.append(f"{archive.skipped_not_traded} news items on symbols that are not traded were skipped.")
    return archive.items, notes


def _checked(
    files: Sequence[Path], instruments: Mapping[str, Instrument], config: BacktestConfig
) -> list[str]:
    return _accepted(check_files([*files, *config.news], instruments=instruments), config)


def _accepted(findings: Sequence[Finding], config: BacktestConfig) -> list[str]:
    """Refuse what would harm a backtest in the days asked for, or say what it was told to accept."""
    since = _since(config)
    harm = harm_in([f for f in findings if f.day is None or _within(f.day, since, config.end)])
    if harm and not config.allow_harmful:
        raise DataError(
            f"{harm}; see closecall check data, choose other dates, or accept it with --allow-harmful"
        )
    return [f"Accepted as told by --allow-harmful: {harm}."] if harm else []


def _said(stored: StoredBars) -> str:
    gaps = ""
    if stored.gaps:
        lost = sum(gap.candles for gap in stored.gaps)
        gaps = f"; {len(stored.gaps)} named gaps ({lost} candles), the first {stored.gaps[0].first:%Y-%m-%d}"
    return (
        f"{stored.symbol}: {stored.adjustment} prices by {stored.said_by}, "
        f"fetched {stored.fetched_at:%Y-%m-%d}{gaps}."
    )


def _since(config: BacktestConfig) -> date | None:
    return config.start - _WARM_UP if config.start else None


def _within(day: date, since: date | None, until: date | None) -> bool:
    return (since is None or since <= day) and (until is None or day <= until)


def instruments_of(symbols: Iterable[str], config: BacktestConfig) -> dict[str, Instrument]:
    """What the symbols are: by their names, and by what the configuration states of them.

    Raises UsageError for a statement that cannot be.
    """
    return {symbol: _instrument(symbol, config.instruments.get(symbol)) for symbol in symbols}


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
