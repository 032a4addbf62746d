"""The data of a run from the store of fetched bars and news."""

from datetime import timedelta
from pathlib import Path

from engine.errors import DataError
from feeds.history.file_import import SOURCE as FILES
from feeds.history.store import BarStore
from feeds.history.stored_bars import StoredBars
from feeds.news.store import NewsStore
from feeds.quality.checks import Calendars
from feeds.quality.stored import check_stored
from feeds.sources.registry import require_source
from feeds.symbols import NameTable
from strategies.config import BacktestConfig
from strategies.data_folder import BARS_FOLDER, NEWS_FILE
from strategies.instrument_settings import (
    build_instruments,
    describe_assumptions,
    find_unused_names,
    load_calendars,
)
from strategies.market import Market, accept_findings, build_market, history_start, is_within, select_symbols
from strategies.market_news import read_archive


def load_store(config: BacktestConfig, data_dir: Path) -> Market:
    """Read what was fetched from the sources that `config.store` names, with the news seen so far.

    News named by `config.news` takes the place of the news that was fetched. Raises DataError.
    """
    store = BarStore(data_dir / BARS_FOLDER)
    for source in config.store:
        if source != FILES:
            require_source(source)
    known = {symbol: source for source in reversed(config.store) for symbol in store.symbols(source)}
    if not known:
        source = config.store[0]
        command = f"closecall fetch bars --source {source} --symbols SYMBOL --since DATE"
        if source == FILES:
            command = "closecall fetch bars --source file --bars PATH --adjustment raw"
        raise DataError(f"{store.root}: nothing is stored from {source}; run {command}")
    picked = select_symbols(config.symbols, known, f"the store of {', '.join(config.store)}")
    stored = {symbol: store.read(known[symbol], symbol) for symbol in picked}
    for symbol, series in stored.items():
        if not series.candles:
            raise DataError(f"{series.source}: no candle of {symbol} is stored, only gaps; fetch other days")
    spans = {
        symbol: (series.candles[0].starts_at.date(), series.candles[-1].starts_at.date())
        for symbol, series in stored.items()
    }
    days = {
        symbol: [candle.starts_at.date() for candle in series.candles] for symbol, series in stored.items()
    }
    instruments = build_instruments(picked, config, days)
    calendars = load_calendars(instruments, spans)
    since = history_start(config)
    bars = {
        symbol: tuple(
            bar
            for bar in series.bars(instruments[symbol], calendars[instruments[symbol].calendar])
            if is_within(bar.opens_at.date(), since, config.end)
        )
        for symbol, series in stored.items()
    }
    if empty := [symbol for symbol, series in bars.items() if not series]:
        raise DataError(
            f"the store has no bar of {empty[0]} in the days asked for; fetch them or choose others"
        )
    calendars_ = Calendars()
    findings = [
        finding
        for series in stored.values()
        for finding in check_stored(store, series, instruments, now=None, calendars=calendars_).findings
    ]
    notes = [
        *map(_describe_stored, stored.values()),
        *describe_assumptions(config, instruments),
        *find_unused_names(config, instruments, known),
        *accept_findings(findings, config),
    ]
    if config.news:
        news = read_archive(config, instruments, bars)
    else:
        names = NameTable.for_instruments(instruments.values(), config.aliases)
        latency = timedelta(seconds=config.news_latency_seconds)
        news = NewsStore(data_dir / NEWS_FILE).items(names, latency), []
    return build_market(config, instruments, calendars, bars, news, notes, "store")


def _describe_stored(stored: StoredBars) -> str:
    gaps = ""
    if stored.gaps:
        lost = sum(gap.candles for gap in stored.gaps)
        gaps = f"; {len(stored.gaps)} named gaps ({lost} candles), the first {stored.gaps[0].first:%Y-%m-%d}"
    return (
        f"{stored.symbol}: {stored.adjustment} prices by {stored.provenance}, "
        f"fetched {stored.fetched_at:%Y-%m-%d}{gaps}."
    )
