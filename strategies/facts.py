"""All facts of a run in one shape, wherever they come from. Knows no student."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from pathlib import Path

from engine.calendars import Calendar
from engine.errors import DataError, UsageError
from engine.instruments import DEFAULT_COSTS, Costs, Instrument
from engine.rates import Rates
from engine.values import Bar, NewsItem
from feeds.rates import read_rates
from feeds.simulated import TRAINING_SEEDS, MarketSettings, OracleView, simulate
from strategies.config import BacktestConfig

SIMULATED_START = date(2023, 1, 1)
_MOST_SIMULATED = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
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
    rehearsed: bool = False
    oracle: Mapping[tuple[str, datetime], OracleView] = field(default_factory=dict)
    rates: Rates | None = None
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


def gather(config: BacktestConfig, data_dir: Path) -> Facts:
    """Read or simulate everything that `config` asks for. Raises DataError or UsageError."""
    from strategies.real_facts import from_files, from_store

    if config.bars and config.store:
        raise UsageError("--bars and --store are two sources of bars; give one of them")
    if config.bars:
        facts = from_files(config)
    elif config.store:
        facts = from_store(config, data_dir)
    else:
        facts = _simulated(config)
    return _in_one_currency(config, facts)


def _in_one_currency(config: BacktestConfig, facts: Facts) -> Facts:
    """The facts with the rates they need: none where all is quoted in one currency and none is asked for."""
    currencies = {instrument.currency for instrument in facts.instruments.values()}
    if not (config.rates or config.rates_files):
        if len(currencies) > 1 or config.base not in (None, *currencies):
            raise DataError(
                f"the symbols are quoted in {', '.join(sorted(currencies))}; choose symbols of one currency "
                "with --symbols, give --rates, or set `currency` under [instruments.SYMBOL]"
            )
        return facts
    rates = read_rates(config.rates_files, config.base or "USD", config.rates)
    bars = facts.traded_bars
    rates.require(currencies, min(b.opens_at for b in bars), max(b.closes_at for b in bars))
    return replace(facts, rates=rates)


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
        raise UsageError("--news needs --bars or --store: the simulated market writes its own news")
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
    picked = chosen(config.symbols, made.bars, "the simulated market")
    return Facts(
        instruments={symbol: made.instruments[symbol] for symbol in picked},
        calendars=made.calendars,
        bars={symbol: made.bars[symbol] for symbol in picked},
        news=[item for item in made.news if not item.symbols or item.symbols & set(picked)],
        start=midnight(start),
        source=f"simulated:{config.seed}",
        simulated=True,
        rehearsed=config.seed in TRAINING_SEEDS,
        oracle=made.oracle,
        notes=("The market, its news and every result are SIMULATED.",),
    )


def chosen(wanted: Sequence[str], known: Mapping[str, object], place: str) -> list[str]:
    """The wanted symbols, or all that are known, sorted. Raises DataError, with the nearest, for another."""
    for symbol in wanted:
        if symbol not in known:
            near = difflib.get_close_matches(symbol, known, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]}?" if near else f"choose among {', '.join(sorted(known)[:12])}"
            raise DataError(f"{place}: no bars of symbol {symbol}; {hint}")
    return sorted(set(wanted) or known)


def midnight(day: date) -> datetime:
    """The start of a day in UTC."""
    return datetime.combine(day, time(0), tzinfo=UTC)
