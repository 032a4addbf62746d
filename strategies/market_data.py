"""The bars, news, instruments and rates of a run, from frames, files, the store or the simulated market."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import DataError, UsageError
from feeds.files.rates import read_rates
from strategies.config import BacktestConfig, MarketTable
from strategies.config_file import load_config
from strategies.console import Progress, name_settings
from strategies.data_folder import data_dir
from strategies.instrument_settings import build_costs
from strategies.market import Benchmark, Market
from strategies.market_files import load_files
from strategies.market_simulation import simulate_market
from strategies.market_store import load_store

if TYPE_CHECKING:
    from pandas import DataFrame

Paths = Path | str | Sequence[Path | str]


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketData(Market):
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
        benchmark: The symbol that is bought and held beside the student; None without one.
        settings: The settings that the data were created with.

    Example:
        >>> import closecall as cc
        >>> data = cc.MarketData.simulated(seed=8, days=60)
        >>> len(data.bars), len(data.traded_bars) > 200, data.currency
        (6, True, 'USD')
    """

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
    market = _attach_rates(config, _load(config, data_dir, on_progress))
    if config.benchmark is not None:
        market = _attach_benchmark(config, market, data_dir)
    return MarketData(**{part.name: getattr(market, part.name) for part in fields(market)})


def _load(config: BacktestConfig, data_dir: Path, on_progress: Progress) -> Market:
    if config.bars:
        return load_files(config, on_progress)
    if config.store:
        return load_store(config, data_dir)
    return simulate_market(config)


def _attach_benchmark(config: BacktestConfig, market: Market, data_dir: Path) -> Market:
    """Return the data with the benchmark: a traded symbol, one of the same source, or that of a file."""
    name = str(config.benchmark)
    notes: tuple[str, ...] = ()
    source = market
    if name not in market.bars:
        place: dict[str, Any] = {"symbols": (name,)}
        if Path(name).is_file():
            place = {"symbols": (), "bars": (Path(name),), "store": ()}
        alone = {"news": (), "feeds": (), "benchmark": None, "instruments": {}, "aliases": {}} | place
        if name in config.instruments:
            alone["instruments"] = {name: config.instruments[name]}
        try:
            source = _load(config.model_copy(update=alone), data_dir, lambda *_: None)
        except UsageError as error:
            raise UsageError(f"--benchmark {name}: {error} (or name a file of its bars)") from error
        if len(source.bars) > 1:
            raise UsageError(f"--benchmark {name}: the file has {len(source.bars)} symbols; name one of one")
        (name,) = source.bars
        notes = tuple(note for note in source.notes if name in note and note not in market.notes)
    instrument = source.instruments[name]
    if market.rates is None and instrument.currency != market.currency:
        notes += (f"Benchmark {name} is in {instrument.currency}, the account in {market.currency}.",)
    last = market.traded_bars[-1].closes_at
    bars = [bar for bar in source.bars[name] if market.start < bar.closes_at <= last]
    if not bars:
        raise UsageError(f"--benchmark {name}: it has no bar in the days that are traded; choose another")
    if market.rates is not None:
        market.rates.require_coverage([instrument.currency], bars[0].opens_at, last)
    benchmark = Benchmark(
        instrument=instrument,
        calendar=source.calendars[instrument.calendar],
        costs=build_costs(config, {name: instrument})[name],
        bars=bars,
    )
    return replace(market, benchmark=benchmark, notes=(*market.notes, *notes))


def _attach_rates(config: BacktestConfig, data: Market) -> Market:
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
