"""All facts of a run in one shape, wherever they come from. Knows no student."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from engine.calendars import Calendar, load_calendar
from engine.errors import DataError, UsageError, suggest
from engine.fx import FxRates
from engine.instruments import DEFAULT_COSTS, AssetClass, Costs, Instrument
from engine.model import Bar, NewsItem
from feeds.files.bars import find_bar_files, guess_instrument, read_bars, read_date_span
from feeds.files.news import read_news
from feeds.files.rates import read_rates
from feeds.files.tables import read_once
from feeds.history.file_import import SOURCE as FILES
from feeds.history.store import BarStore
from feeds.history.stored_bars import StoredBars
from feeds.news.store import NewsStore
from feeds.quality.checks import Calendars, check_files, summarize_blocking
from feeds.quality.findings import Finding
from feeds.quality.stored import check_stored
from feeds.simulated.market import TRAINING_SEEDS, MarketSettings, OracleView, simulate
from feeds.sources.registry import require_source
from feeds.symbols import NameTable
from strategies.config import BacktestConfig, InstrumentTable

SIMULATED_START = date(2023, 1, 1)

_MAX_SIMULATED_SYMBOLS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketData:
    """What a run is made on. `bars` may begin before `start`: decisions are taken on closes after it.

    `oracle` is empty for real data; `source` names the data in the record of trials; `rehearsed` tells
    that the tiny student was trained on this very market. `rates` is None where there is one currency.
    """

    instruments: Mapping[str, Instrument]
    calendars: Mapping[str, Calendar]
    bars: Mapping[str, Sequence[Bar]]
    news: Sequence[NewsItem]
    start: datetime
    source: str
    simulated: bool
    is_training_market: bool = False
    oracle: Mapping[tuple[str, datetime], OracleView] = field(default_factory=dict)
    rates: FxRates | None = None
    notes: tuple[str, ...] = ()

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


def load_market_data(config: BacktestConfig, data_dir: Path) -> MarketData:
    """Read or simulate everything that `config` asks for. Raises DataError or UsageError."""

    if config.bars and config.store:
        raise UsageError("--bars and --store are two sources of bars; give one of them")
    if config.bars:
        facts = load_files(config)
    elif config.store:
        facts = load_store(config, data_dir)
    else:
        facts = _simulate_market(config)
    return _attach_rates(config, facts)


def _attach_rates(config: BacktestConfig, facts: MarketData) -> MarketData:
    """The facts with the rates they need: none where all is quoted in one currency and none is asked for."""
    currencies = {instrument.currency for instrument in facts.instruments.values()}
    if not (config.rates or config.rates_files):
        if len(currencies) > 1 or config.base_currency not in (None, *currencies):
            raise DataError(
                f"the symbols are quoted in {', '.join(sorted(currencies))}; choose symbols of one currency "
                "with --symbols, give --rates, or set `currency` under [instruments.SYMBOL]"
            )
        return facts
    rates = read_rates(config.rates_files, config.base_currency or "USD", config.rates)
    bars = facts.traded_bars
    rates.require_coverage(currencies, min(b.opens_at for b in bars), max(b.closes_at for b in bars))
    return replace(facts, rates=rates)


def build_costs(config: BacktestConfig, instruments: Mapping[str, Instrument]) -> dict[str, Costs]:
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


def _simulate_market(config: BacktestConfig) -> MarketData:
    if config.news:
        raise UsageError("--news needs --bars or --store: the simulated market writes its own news")
    start = config.start or SIMULATED_START
    days = (config.end - start).days + 1 if config.end else config.market.days
    if days < 2:
        raise UsageError(f"--end {config.end} is not after --start {start}; choose a later end")
    if days > _MAX_SIMULATED_SYMBOLS:
        raise UsageError(
            f"{days} simulated days to --end {config.end} are too many; stay within {_MAX_SIMULATED_SYMBOLS}"
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
    picked = select_symbols(config.symbols, made.bars, "the simulated market")
    return MarketData(
        instruments={symbol: made.instruments[symbol] for symbol in picked},
        calendars=made.calendars,
        bars={symbol: made.bars[symbol] for symbol in picked},
        news=[item for item in made.news if not item.symbols or item.symbols & set(picked)],
        start=midnight(start),
        source=f"simulated:{config.seed}",
        simulated=True,
        is_training_market=config.seed in TRAINING_SEEDS,
        oracle=made.oracle,
        notes=("The market, its news and every result are SIMULATED.",),
    )


def select_symbols(requested: Sequence[str], known: Mapping[str, object], place: str) -> list[str]:
    """The wanted symbols, or all that are known, sorted. Raises DataError, with the nearest, for another."""
    for symbol in requested:
        if symbol not in known:
            hint = suggest(symbol, known, cutoff=0.4)
            raise DataError(f"{place}: no bars of symbol {symbol}; {hint}")
    return sorted(set(requested) or known)


def midnight(day: date) -> datetime:
    """The start of a day in UTC."""
    return datetime.combine(day, time(0), tzinfo=UTC)


BARS_FOLDER = "bars"

NEWS_FILE = Path("news") / "seen.jsonl"

_WARM_UP = timedelta(days=70)
"""Bars from before the start, so that the first forecast has a full window behind it."""


@read_once()
def load_files(config: BacktestConfig) -> MarketData:
    """The bars and news that `config` names. Raises DataError, also for data that would harm a backtest."""
    files = find_bar_files(config.bars)
    for symbol, path in files.items():
        if not symbol.isprintable():
            raise DataError(f"{path!r}: the name is the symbol, and it cannot be printed; rename the file")
    picked = select_symbols(config.symbols, files, ", ".join(str(path) for path in config.bars))
    instruments = build_instruments(picked, config)
    spans = {symbol: read_date_span(files[symbol]) for symbol in picked}
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
            since=_history_start(config),
            until=config.end,
        )
        for symbol, instrument in instruments.items()
    }
    news = _read_archive(config, instruments)
    notes = _check_files([files[symbol] for symbol in picked], instruments, config)
    return _build_market_data(config, instruments, calendars, bars, news, notes, "files")


def load_store(config: BacktestConfig, data_dir: Path) -> MarketData:
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
    picked = select_symbols(config.symbols, known, f"the store of {', '.join(config.store)}")
    instruments = build_instruments(picked, config)
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
            if _is_within(bar.opens_at.date(), _history_start(config), config.end)
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
    notes = [*map(_describe_stored, stored.values()), *_accept_findings(found, config)]
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
    return MarketData(
        instruments=instruments,
        calendars=calendars,
        bars=bars,
        news=[item for item in items if start - _WARM_UP < item.available_at <= last],
        start=start,
        source=source,
        simulated=False,
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
    if archive.skipped_not_traded:
        notes.append(f"{archive.skipped_not_traded} news items on symbols that are not traded were skipped.")
    return archive.items, notes


def _check_files(
    files: Sequence[Path], instruments: Mapping[str, Instrument], config: BacktestConfig
) -> list[str]:
    return _accept_findings(check_files([*files, *config.news], instruments=instruments), config)


def _accept_findings(findings: Sequence[Finding], config: BacktestConfig) -> list[str]:
    """Refuse what would harm a backtest in the days asked for, or say what it was told to accept."""
    since = _history_start(config)
    harm = summarize_blocking([f for f in findings if f.day is None or _is_within(f.day, since, config.end)])
    if harm and not config.allow_bad_data:
        raise DataError(
            f"{harm}; see closecall check data, choose other dates, or accept it with --allow-bad-data"
        )
    return [f"Accepted as told by --allow-bad-data: {harm}."] if harm else []


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


def build_instruments(symbols: Iterable[str], config: BacktestConfig) -> dict[str, Instrument]:
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
        code: load_calendar(code, min(first for first, _ in some), max(last for _, last in some))
        for code, some in codes.items()
    }
