"""The bars, news, instruments and rates of a run, from frames, files, the store or the simulated market."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.calendars import Calendar
from engine.errors import DataError, UsageError, suggest, toml_table
from engine.fx import FxRates
from engine.instruments import ROUND_THE_CLOCK, Instrument
from engine.model import Bar, NewsItem
from feeds.files.bars import (
    find_bar_files,
    read_bars,
    read_dates,
    read_day_offset,
    read_first_days,
)
from feeds.files.dialects import describe_bar_file
from feeds.files.folders import require_known_tables
from feeds.files.layouts import state_columns
from feeds.files.news import read_news
from feeds.files.news_forms import describe_news_file
from feeds.files.rates import read_rates
from feeds.files.tables import read_once
from feeds.history.file_import import SOURCE as FILES
from feeds.history.store import BarStore
from feeds.history.stored_bars import StoredBars
from feeds.news.store import NewsStore
from feeds.quality.checks import Calendars, check_files, summarize_blocking
from feeds.quality.findings import Finding, Kind
from feeds.quality.stored import check_stored
from feeds.simulated.market import TRAINING_SEEDS, MarketSettings, OracleView, simulate
from feeds.sources.registry import require_source
from feeds.symbols import NameTable
from strategies.config import BacktestConfig, MarketTable
from strategies.config_file import load_config
from strategies.console import Progress, name_settings, pluralize
from strategies.data_folder import data_dir
from strategies.instrument_settings import (
    build_instruments,
    describe_assumptions,
    find_unused_names,
    load_calendars,
)

if TYPE_CHECKING:
    from pandas import DataFrame

Paths = Path | str | Sequence[Path | str]
SIMULATED_START = date(2023, 1, 1)
_MAX_SIMULATED_DAYS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketData:
    """Bars and news that a run is made on; one of the class methods creates them.

    Settings are keys of the configuration: `symbols`, `start`, `end`, `instruments`, `allow_bad_data`,
    `news_latency_seconds`, `aliases`, `rates`, … A run on the data takes them over.

    Attributes:
        instruments: The instruments by symbol.
        calendars: The calendars by code.
        bars: The bars by symbol, oldest first; they may begin before `start`.
        news: The news items, by the time from which they may be used.
        start: Decisions are taken on closes after this time.
        source: What names the data in the record of trials.
        is_simulated: Whether the market is simulated.
        is_training_market: Whether the tiny student was trained on this very market.
        oracle: The best possible forecasts by (symbol, as_of); empty for real data.
        rates: The exchange rates; None where there is one currency.
        notes: Sentences for the foot of the table.
        settings: The settings that the data were created with.

    Example:
        >>> import closecall as cc
        >>> data = cc.MarketData.simulated(seed=8, days=60)
        >>> len(data.bars), len(data.traded_bars) > 200, data.currency
        (6, True, 'USD')
    """

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
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_frames(
        cls, bars: Mapping[str, "DataFrame"], news: "DataFrame | None" = None, **settings: Any
    ) -> "MarketData":
        """Read pandas frames, which are not changed. They are checked as files are.

        Args:
            bars: A frame for each symbol with `date` as column or index, and `open`, `high`, `low`, `close`
                (quote currency) and `volume` (units), one row for each day, oldest first.
            news: A frame with `published_at`, `source`, `symbols`, `title` and `text`; `precision` and
                `first_seen_at` may be added.
            settings: Keys of the configuration.

        Raises:
            DataError: For a symbol, row or column that cannot be right, named with what to do.
            UsageError: For a setting that does not fit.

        Example:
            >>> import closecall as cc, pandas as pd
            >>> days = pd.date_range("2024-01-01", periods=40)
            >>> close = pd.Series(range(100, 140), index=days)
            >>> frame = pd.DataFrame(
            ...     {"open": close, "high": close + 1, "low": close - 1, "close": close, "volume": 10.0}
            ... )
            >>> data = cc.MarketData.from_frames({"BTCUSDT": frame})
            >>> len(data.bars["BTCUSDT"])
            40
        """
        from strategies.frames import write_frames

        with write_frames(bars, news) as paths:
            data = load_settings({**settings, **paths})
        return replace(data, source="frames", settings=settings)

    @classmethod
    def from_files(cls, bars: Paths, news: Paths = (), **settings: Any) -> "MarketData":
        """Read CSV or Parquet files of bars, and those of news (JSON lines too).

        Args:
            bars: Files or folders; the name of a file is its symbol.
            news: Files or folders.
            settings: Keys of the configuration.

        Raises:
            DataError: For a file that cannot be right, with its place and what to do.
            UsageError: For a setting that does not fit.

        Example:
            >>> import closecall as cc
            >>> data = cc.MarketData.from_files("bars", news="news/2024.csv")  # doctest: +SKIP
        """
        return load_settings(settings | {"bars": _list_paths(bars), "news": _list_paths(news)})

    @classmethod
    def from_store(cls, *sources: str, folder: Path | str | None = None, **settings: Any) -> "MarketData":
        """Read the bars and news that `closecall fetch` and `closecall collect` have stored.

        Args:
            sources: The sources of the bars by name, such as "yfinance"; the first that has a symbol is used.
            folder: The data folder; the default is that of the command line.
            settings: Keys of the configuration.

        Raises:
            DataError: Where nothing is stored, or what is stored cannot be right.
            UsageError: For a source or setting that does not fit.

        Example:
            >>> import closecall as cc
            >>> data = cc.MarketData.from_store("ccxt:binance", symbols=["BTC/USDT"])  # doctest: +SKIP
        """
        chosen = None if folder is None else Path(folder)
        return load_settings(settings | {"store": sources}, data_dir(chosen))

    @classmethod
    def simulated(cls, seed: int = 7, **settings: Any) -> "MarketData":
        """Make a simulated market with bars and news, whose best possible forecasts are known.

        Args:
            seed: Equal seeds and settings make equal markets.
            settings: `coins`, `stocks`, `days`, `edge`, `reversal` and `headlines` of the market, and keys of
                the configuration.

        Raises:
            UsageError: For a setting that does not fit.

        Example:
            >>> import closecall as cc
            >>> data = cc.MarketData.simulated(seed=8, coins=1, stocks=0, days=30)
            >>> [len(bars) for bars in data.bars.values()]
            [30]
        """
        market = {name: settings[name] for name in MarketTable.model_fields if name in settings}
        rest = {name: value for name, value in settings.items() if name not in market}
        return load_settings(rest | {"seed": seed, "market": market})

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
    def days_per_year(self) -> int:
        """365 as soon as one instrument trades every day, else 252."""
        return max(instrument.days_per_year for instrument in self.instruments.values())


def _list_paths(paths: Paths) -> list[Path]:
    listed = [paths] if isinstance(paths, str | Path) else paths
    return [Path(path).expanduser() for path in listed]


def load_settings(settings: Mapping[str, Any], folder: Path = Path()) -> MarketData:
    """Return the data that settings name, for callers from Python: errors name settings and not flags.

    Raises:
        DataError: For data that cannot be right.
        UsageError: For a setting that does not fit.
    """
    with name_settings():
        return replace(load_market_data(load_config(None, settings), folder), settings=settings)


def load_market_data(
    config: BacktestConfig, data_dir: Path, on_progress: Progress = lambda _stage, _done, _total: None
) -> MarketData:
    """Read or simulate everything that a configuration asks for.

    Args:
        config: The configuration.
        data_dir: The data folder, with what was fetched.
        on_progress: Called while files are read and checked.

    Raises:
        DataError: For data that cannot be right.
        UsageError: For a setting that does not fit.
    """
    if config.bars and config.store:
        raise UsageError("--bars and --store are two sources of bars; give one of them")
    if config.bars:
        with state_columns(config.columns.to_settings()):
            data = load_files(config, on_progress)
    elif config.store:
        data = load_store(config, data_dir)
    else:
        data = _simulate_market(config)
    return _attach_rates(config, data)


def _attach_rates(config: BacktestConfig, data: MarketData) -> MarketData:
    """Return the data with the rates they need; none where one currency is enough and none are asked for."""
    currencies = {instrument.currency for instrument in data.instruments.values()}
    if not (config.rates or config.rates_files):
        if len(currencies) > 1 or config.base_currency not in (None, *currencies):
            base = config.base_currency or "USD"
            constants = " ".join(f"{currency}=RATE" for currency in sorted(currencies - {base}))
            raise DataError(
                f"the symbols are quoted in {', '.join(sorted(currencies))}; choose symbols of one currency "
                f"with --symbols, give their rates in {base} as constants or files (--rates {constants}), "
                "or set `currency` under [instruments.SYMBOL]"
            )
        return data
    rates = read_rates(config.rates_files, config.base_currency or "USD", config.rates)
    bars = data.traded_bars
    rates.require_coverage(currencies, min(b.opens_at for b in bars), max(b.closes_at for b in bars))
    return replace(data, rates=rates)


def _simulate_market(config: BacktestConfig) -> MarketData:
    if config.news:
        raise UsageError("--news needs --bars or --store: the simulated market writes its own news")
    start = config.start or SIMULATED_START
    days = (config.end - start).days + 1 if config.end else config.market.days
    if days < 2:
        raise UsageError(f"--end {config.end} is not after --start {start}; choose a later end")
    if days > _MAX_SIMULATED_DAYS:
        raise UsageError(
            f"{days} simulated days to --end {config.end} are too many; stay within {_MAX_SIMULATED_DAYS}"
        )
    try:
        settings = MarketSettings(
            seed=config.seed, start=start, days=days, **config.market.model_dump(exclude={"days"})
        )
    except ValueError as error:
        raise UsageError(f"[market]: {error}") from error
    simulated = simulate(settings)
    picked = select_symbols(config.symbols, simulated.bars, "the simulated market")
    ignored = [
        f"{toml_table('instruments', name)} has no effect on a simulated market."
        for name in config.instruments
    ]
    return MarketData(
        instruments={symbol: simulated.instruments[symbol] for symbol in picked},
        calendars=simulated.calendars,
        bars={symbol: simulated.bars[symbol] for symbol in picked},
        news=[item for item in simulated.news if not item.symbols or item.symbols & set(picked)],
        start=midnight(start),
        source=f"simulated:{config.seed}",
        is_simulated=True,
        is_training_market=config.seed in TRAINING_SEEDS,
        oracle=simulated.oracle,
        notes=("The market, its news and every result are SIMULATED.", *ignored),
    )


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


BARS_FOLDER = "bars"
NEWS_FILE = Path("news") / "seen.jsonl"
_WARM_UP = timedelta(days=70)
"""Bars from before the start, so that the first forecast has a full window behind it."""


@read_once()
def load_files(config: BacktestConfig, on_progress: Progress) -> MarketData:
    """Read the files that `config` names. Raises DataError, also for data that would harm a backtest."""
    skipped = require_known_tables([*config.bars, *config.news], skip=config.skip_unknown_files)
    files = find_bar_files(config.bars)
    for symbol, path in files.items():
        if not symbol.isprintable():
            raise DataError(f"{path!r}: the name is the symbol, and it cannot be printed; rename the file")
    picked = select_symbols(config.symbols, files, ", ".join(str(path) for path in config.bars))
    days = {symbol: read_first_days(files[symbol]) for symbol in picked}
    instruments, notes = _set_day_offsets(build_instruments(picked, config, days), files)
    spans: dict[str, tuple[date, date]] = {}
    counts = [0]
    for symbol in picked:
        on_progress("reading files", len(spans), len(picked))
        dates = read_dates(files[symbol])
        spans[symbol] = dates[0], dates[-1]
        counts.append(counts[-1] + len(dates))
    on_progress("reading files", len(spans), len(picked))
    newest = max(last for _, last in spans.values())
    if config.start and newest < config.start:
        raise DataError(
            f"{config.bars[0]}: no bar from {config.start} on, the newest is of {newest}; "
            "choose an earlier --start"
        )
    notes += describe_assumptions(config, instruments)
    notes = skipped + notes + find_unused_names(config, instruments, files)
    calendars = load_calendars(instruments, spans)
    bars: dict[str, Sequence[Bar]] = {}
    for symbol, instrument in instruments.items():
        on_progress("reading bars", counts[len(bars)], counts[-1])
        bars[symbol] = read_bars(
            files[symbol],
            instrument,
            calendars[instrument.calendar],
            since=_history_start(config),
            until=config.end,
        )
    on_progress("reading bars", counts[-1], counts[-1])
    news = _read_archive(config, instruments)

    def report(done: int, _total: int) -> None:
        # Files of news come after those of bars.
        on_progress("checking bars", counts[min(done, len(picked))], counts[-1])

    notes += _check_files([files[symbol] for symbol in picked], instruments, config, report)
    notes += filter(None, [describe_bar_file(files[symbol]) for symbol in picked])
    return _build_market_data(config, instruments, calendars, bars, news, notes, "files")


def _set_day_offsets(
    instruments: dict[str, Instrument], files: Mapping[str, Path]
) -> tuple[dict[str, Instrument], list[str]]:
    """Return the instruments with the days that their files state, and a note on each that are not UTC's."""
    notes = []
    for symbol, instrument in instruments.items():
        if instrument.calendar == ROUND_THE_CLOCK and (offset := read_day_offset(files[symbol])):
            instruments[symbol] = replace(instrument, calendar=ROUND_THE_CLOCK + offset)
            notes.append(f"{symbol}: its days begin at midnight of {offset}, as its file states.")
    return instruments, notes


def load_store(config: BacktestConfig, data_dir: Path) -> MarketData:
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
    bars = {
        symbol: tuple(
            bar
            for bar in series.bars(instruments[symbol], calendars[instruments[symbol].calendar])
            if _is_within(bar.opens_at.date(), _history_start(config), config.end)
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
        for finding in check_stored(store, series, instruments, now=None, calendars=calendars_)
    ]
    notes = [
        *map(_describe_stored, stored.values()),
        *describe_assumptions(config, instruments),
        *find_unused_names(config, instruments, known),
        *_accept_findings(findings, config),
    ]
    if config.news:
        news = _read_archive(config, instruments)
    else:
        names = NameTable.for_instruments(instruments.values(), config.aliases)
        latency = timedelta(seconds=config.news_latency_seconds)
        news = NewsStore(data_dir / NEWS_FILE).items(names, latency), []
    return _build_market_data(config, instruments, calendars, bars, news, notes, "store")


def _build_market_data(
    config: BacktestConfig,
    instruments: Mapping[str, Instrument],
    calendars: Mapping[str, Calendar],
    bars: Mapping[str, Sequence[Bar]],
    news: tuple[Sequence[NewsItem], list[str]],
    notes: list[str],
    source: str,
) -> MarketData:
    first = min(series[0].closes_at.date() for series in bars.values())
    start = midnight(config.start) if config.start else midnight(first) - timedelta(days=1)
    if not any(series[-1].closes_at > start for series in bars.values()):
        raise DataError(f"no bar from {config.start} on; choose an earlier --start")
    last = max(series[-1].closes_at for series in bars.values())
    items, about_news = news
    usable = [item for item in items if start - _WARM_UP < item.available_at <= last]
    if items and not usable:
        known = sorted(item.available_at.date() for item in items)
        about_news = [
            *about_news,
            f"No news in these days: the {pluralize(len(items), 'item')} that concern what is traded "
            f"became known from {known[0]} to {known[-1]}; choose other days, or add news of these.",
        ]
    return MarketData(
        instruments=instruments,
        calendars=calendars,
        bars=bars,
        news=usable,
        start=start,
        source=source,
        is_simulated=False,
        notes=(*notes, *about_news),
    )


def _read_archive(
    config: BacktestConfig, instruments: Mapping[str, Instrument]
) -> tuple[Sequence[NewsItem], list[str]]:
    if not config.news:
        return (), []
    latency = timedelta(seconds=config.news_latency_seconds)
    archive = read_news(config.news, NameTable.for_instruments(instruments.values(), config.aliases), latency)
    notes = [
        "News comes from an archive: without a time of first sight it counts as known "
        f"{config.news_latency_seconds:g} s after publication, by the day where only the day is known."
    ]
    notes += [
        f"{path.name}: {times} stands for a day in {pluralize(count, 'news item')}, which count as known "
        "once 24 hours have passed and the day has ended."
        for path, (times, count) in archive.day_stamps.items()
    ]
    if archive.skipped_not_traded:
        subjects = ", ".join(f"{subject} ({count})" for subject, count in archive.unmatched)
        notes.append(
            f"{pluralize(archive.skipped_not_traded, 'news item')} skipped: on symbols that are not traded. "
            f"Most frequent: {subjects}; other names of a traded symbol go into [aliases]."
        )
    notes += filter(None, [describe_news_file(path) for path in config.news if path.is_file()])
    if archive.skipped_empty:
        notes.append(f"{pluralize(archive.skipped_empty, 'news item')} skipped: neither title nor text.")
    return archive.items, notes


def _check_files(
    files: Sequence[Path],
    instruments: Mapping[str, Instrument],
    config: BacktestConfig,
    on_progress: Callable[[int, int], None],
) -> list[str]:
    findings = check_files(
        [*files, *config.news], instruments=instruments, skip_unknown=True, on_progress=on_progress
    )
    return _accept_findings(findings, config)


def _accept_findings(findings: Sequence[Finding], config: BacktestConfig) -> list[str]:
    """Refuse what would harm a backtest in the days asked for, or note what was accepted or repaired."""
    since = _history_start(config)
    places = "--store" if config.store else shlex.join(map(str, (*config.bars, *config.news)))
    findings = [f for f in findings if f.day is None or _is_within(f.day, since, config.end)]
    repaired = [f"{f.symbol}: {f.sentence}." for f in findings if f.kind is Kind.OHLC and not f.blocking]
    harm = summarize_blocking(findings)
    if harm and not config.allow_bad_data:
        raise DataError(
            f"{harm}; list them with: closecall check data {places}; choose other dates, or accept them with "
            "--allow-bad-data"
        )
    return repaired + ([f"Accepted because of --allow-bad-data: {harm}."] if harm else [])


def _describe_stored(stored: StoredBars) -> str:
    gaps = ""
    if stored.gaps:
        lost = sum(gap.candles for gap in stored.gaps)
        gaps = f"; {len(stored.gaps)} named gaps ({lost} candles), the first {stored.gaps[0].first:%Y-%m-%d}"
    return (
        f"{stored.symbol}: {stored.adjustment} prices by {stored.provenance}, "
        f"fetched {stored.fetched_at:%Y-%m-%d}{gaps}."
    )


def _history_start(config: BacktestConfig) -> date | None:
    return config.start - _WARM_UP if config.start else None


def _is_within(day: date, since: date | None, until: date | None) -> bool:
    return (since is None or since <= day) and (until is None or day <= until)
