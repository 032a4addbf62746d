"""Experiences: observations with their outcomes and the context in which they were traded.

`TrainingSet` is the guard against look-ahead: every training takes one, and none can be built that holds an
outcome too recent for its cut-off.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from types import MappingProxyType
from typing import Self

from engine.calendars import Calendar
from engine.errors import DataError, StudentError, UsageError
from engine.fx import FxRates
from engine.instruments import Costs, Instrument
from engine.model import Abstention, Bar, Observation, Prediction, require_utc
from engine.outcomes import Outcome, match_outcomes
from strategies.sizing import PositionSizing, volatility

Key = tuple[str, datetime]
"""A symbol and the instant of a decision on it."""

MIN_VOLATILITY = 0.001
"""Returns are measured in units of at least this daily standard deviation, a fraction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeContext:
    """What the position of one step starts from. Amounts and `price` are in the base currency.

    Attributes:
        instrument: What is traded, under `costs` and `sizing`.
        volatility: Standard deviation of a day's return, a fraction.
        equity: Value of the portfolio at the decision.
        position: Signed units held at the decision.
        price: Last price known at the decision; it sizes the order.
        fill_at: The next open.
        fill_equity: Value of the portfolio at the fill, before any cost.
        fill_rate: Value of one unit of the quote currency at the fill, and `exit_rate` at the step's end.
        traded: The value traded in the 30 days before the fill, for the fee tier.
        delay: The cost of delay at the fill, as a fraction of its price.
    """

    instrument: Instrument
    costs: Costs
    sizing: PositionSizing
    volatility: float
    equity: float
    position: float
    price: float
    fill_at: datetime
    fill_equity: float
    fill_rate: float = 1.0
    exit_rate: float = 1.0
    traded: float = 0.0
    delay: float = 0.0

    @property
    def sigma(self) -> float:
        """Return the volatility, at least `MIN_VOLATILITY`."""
        return max(self.volatility, MIN_VOLATILITY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Experience:
    """One decision with its outcome, up to the end of its step.

    Attributes:
        base_rate: Share of rises among the symbol's closes known at the decision, in (0, 1).
        call: The prediction made at the time; None if there was none.

    Raises:
        ValueError: If the parts belong to different decisions, or the step has not ended.
    """

    observation: Observation
    outcome: Outcome
    trade_context: TradeContext
    base_rate: float
    call: Prediction | None = None

    def __post_init__(self) -> None:
        seen, out = self.observation, self.outcome
        keys = {(seen.symbol, seen.as_of), (out.symbol, out.as_of)}
        if self.call is not None:
            keys.add((self.call.symbol, self.call.as_of))
        if len(keys) > 1 or self.trade_context.instrument.symbol != seen.symbol:
            raise ValueError(f"{seen.symbol} at {seen.as_of}: the parts are of different decisions")
        if out.open_known_at is None:
            raise ValueError(f"{seen.symbol} at {seen.as_of}: the step has not ended yet")
        if not seen.as_of <= self.trade_context.fill_at < out.open_known_at:
            raise ValueError(f"{seen.symbol} at {seen.as_of}: the fill is not between decision and end")

    @property
    def key(self) -> Key:
        """Return the symbol and the instant of the decision."""
        return self.observation.symbol, self.observation.as_of

    @property
    def known_at(self) -> datetime:
        """Return when the next close and the open that ends the step were both known."""
        return max(self.outcome.known_at, self.outcome.open_known_at or self.outcome.known_at)

    @property
    def horizon(self) -> timedelta:
        """Return the time from the decision to the close that was forecast."""
        return self.outcome.known_at - self.outcome.as_of


def find_longest_horizon(items: Iterable[Experience]) -> timedelta:
    """Return the longest horizon, which is the shortest embargo allowed; zero without experiences."""
    return max((item.horizon for item in items), default=timedelta())


def build_experiences(
    observed: Sequence[Observation],
    bars: Mapping[str, Sequence[Bar]],
    *,
    instruments: Mapping[str, Instrument],
    calendars: Mapping[str, Calendar],
    costs: Mapping[str, Costs],
    sizing: PositionSizing,
    calls: Mapping[Key, Prediction] = MappingProxyType({}),
    rates: FxRates | None = None,
    equity: float = 100_000.0,
) -> list[Experience]:
    """Build an experience of each observation whose step has ended, in the order given.

    Each starts with no position and the whole `equity`, so that it pays for its whole position. Closes
    followed by a gap are left out (see `build_decisions`).

    Args:
        observed: The observations.
        bars: Closed bars by symbol, oldest first.
        instruments: By symbol, as `costs`.
        calendars: By code.
        costs: Trading costs by symbol.
        sizing: How a forecast becomes a position.
        calls: Predictions made at the time, by symbol and instant.
        rates: Exchange rates to the base currency; None where every symbol is quoted in it.
        equity: Value of the portfolio at each decision, in the base currency.

    Raises:
        DataError: As `engine.outcomes.match_outcomes` does.
    """
    experiences = []
    for decision in build_decisions(observed, bars, instruments, calendars):
        symbol = decision.observation.symbol
        context = decision.trade_context(
            instruments[symbol], costs[symbol], sizing, rates, equity=equity, position=0.0, fill_equity=equity
        )
        experiences.append(
            Experience(
                observation=decision.observation,
                outcome=decision.outcome,
                trade_context=context,
                base_rate=decision.base_rate,
                call=calls.get((symbol, decision.observation.as_of)),
            )
        )
    return experiences


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSet:
    """Experiences fully known at least an embargo before `cutoff` (Lopez de Prado 2018, ch. 7).

    Raises:
        UsageError: For an embargo shorter than the longest horizon: the label of an item just before the
            cut-off would overlap what is tested just after it.
        DataError: For an item that was not known in time, and for an empty set.
    """

    items: tuple[Experience, ...]
    cutoff: datetime
    embargo: timedelta

    def __post_init__(self) -> None:
        require_utc(self.cutoff, "cutoff")
        _require_embargo(self.items, self.embargo)
        for item in self.items:
            if item.known_at + self.embargo >= self.cutoff:
                symbol, as_of = item.key
                raise DataError(
                    f"{symbol} at {_format_minute(as_of)}: its outcome was known at "
                    f"{_format_minute(item.known_at)}, not {_format_days(self.embargo)} before the cut-off "
                    f"{_format_minute(self.cutoff)}; leave it out"
                )
        if not self.items:
            raise DataError(
                f"no outcome was known {_format_days(self.embargo)} before the cut-off "
                f"{_format_minute(self.cutoff)}; choose a later cut-off"
            )

    @classmethod
    def select(
        cls,
        experiences: Iterable[Experience],
        *,
        cutoff: datetime,
        embargo: timedelta,
        since: datetime | None = None,
    ) -> Self:
        """Select the experiences that were known in time, by instant and symbol.

        Args:
            experiences: The candidates, in any order.
            cutoff: The end of the training data.
            embargo: How long before the cut-off an outcome must have been known.
            since: The earliest decision; None: no limit.

        Raises:
            UsageError: For an embargo shorter than the horizon of any candidate.
            DataError: If none is left.
        """
        candidates = [item for item in experiences if since is None or item.observation.as_of >= since]
        _require_embargo(candidates, embargo)
        kept = (item for item in candidates if item.known_at + embargo < cutoff)
        ordered = sorted(kept, key=lambda item: (item.observation.as_of, item.observation.symbol))
        return cls(items=tuple(ordered), cutoff=cutoff, embargo=embargo)


def require_past(name: str, cutoff: datetime, tested_from: datetime) -> None:
    """Refuse an adapter that was trained on data of its own test window.

    Args:
        name: The adapter.
        cutoff: The end of its training data.
        tested_from: The start of the test window.

    Raises:
        StudentError: If the data reach beyond the start of the window.
    """
    if cutoff > tested_from:
        raise StudentError(
            f"adapter {name} was trained on data up to {_format_minute(cutoff)}, and the test begins "
            f"earlier, at {_format_minute(tested_from)}; choose an older adapter or a later start"
        )


def require_disjoint(trained_from: datetime, cutoff: datetime, tested_from: datetime) -> None:
    """Refuse a test window that overlaps the training window.

    Args:
        trained_from: The start of the training window.
        cutoff: Its end.
        tested_from: The start of the test window.

    Raises:
        UsageError: If the test window begins before the cut-off.
    """
    if tested_from < cutoff:
        raise UsageError(
            f"the test window begins at {_format_minute(tested_from)}, before the end of the training "
            f"window {_format_minute(trained_from)} to {_format_minute(cutoff)}; let it begin at the "
            "cut-off or later"
        )


def _require_embargo(items: Sequence[Experience], embargo: timedelta) -> None:
    longest = max(items, key=lambda item: item.horizon, default=None)
    if longest is not None and embargo < longest.horizon:
        symbol, as_of = longest.key
        raise UsageError(
            f"the embargo of {_format_days(embargo)} is shorter than the horizon of {symbol} at "
            f"{_format_minute(as_of)}; make it at least {_format_days(longest.horizon)}"
        )


def _format_days(span: timedelta) -> str:
    return f"{span / timedelta(days=1):g} days"


def _format_minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """An observation with its outcome, the next open, and the base rate of rises known at the decision."""

    observation: Observation
    outcome: Outcome
    fill_at: datetime
    base_rate: float

    def trade_context(
        self,
        instrument: Instrument,
        costs: Costs,
        sizing: PositionSizing,
        rates: FxRates | None,
        *,
        equity: float,
        position: float,
        fill_equity: float,
    ) -> TradeContext:
        """Return what its step starts from.

        Args:
            instrument: What is traded.
            costs: Its trading costs.
            sizing: How a forecast becomes a position.
            rates: Exchange rates to the base currency; None where the symbol is quoted in it.
            equity: Value of the portfolio at the decision, and `fill_equity` at the fill.
            position: Signed units held at the decision.
            fill_equity: See `equity`.
        """
        exit_at = self.outcome.open_known_at or self.outcome.known_at
        moments = (self.observation.as_of, self.fill_at, exit_at)
        values = (rates.rate(instrument.currency, at) if rates else 1.0 for at in moments)
        at_decision, at_fill, at_exit = values
        return TradeContext(
            instrument=instrument,
            costs=costs,
            sizing=sizing,
            volatility=volatility(self.observation.bars),
            equity=equity,
            position=position,
            price=self.observation.last_close * at_decision,
            fill_at=self.fill_at,
            fill_equity=fill_equity,
            fill_rate=at_fill,
            exit_rate=at_exit,
            delay=costs.delay_fraction(self.observation.bars[-1]),
        )


def build_decisions(
    observed: Sequence[Observation],
    bars: Mapping[str, Sequence[Bar]],
    instruments: Mapping[str, Instrument],
    calendars: Mapping[str, Calendar],
) -> Iterator[Decision]:
    """Yield a decision for each observation whose step has ended by the last bar, in the order given.

    Left out are closes whose next open came later than the symbol's calendar says: an order would have
    expired, and the next close lies further ahead than the student was asked for.

    Args:
        observed: The observations.
        bars: Closed bars by symbol, oldest first.
        instruments: By symbol.
        calendars: By code.

    Raises:
        DataError: As `engine.outcomes.match_outcomes` does.
    """
    placeholders = [
        Abstention(symbol=seen.symbol, as_of=seen.as_of, reason="", last_close=seen.last_close)
        for seen in observed
    ]
    openings = {symbol: _next_opens(series) for symbol, series in bars.items()}
    rates = {symbol: _base_rates(series) for symbol, series in bars.items()}
    for observation, (_, outcome) in zip(observed, match_outcomes(placeholders, bars), strict=True):
        symbol, as_of = observation.symbol, observation.as_of
        if outcome is None or outcome.exit_open is None:
            continue
        fill_at = openings[symbol][as_of]
        if _next_due(calendars[instruments[symbol].calendar], as_of, fill_at):
            yield Decision(
                observation=observation, outcome=outcome, fill_at=fill_at, base_rate=rates[symbol][as_of]
            )


def _next_opens(bars: Sequence[Bar]) -> dict[datetime, datetime]:
    """Return when the next bar opened, by the instant of each close."""
    return {bar.closes_at: following.opens_at for bar, following in pairwise(bars)}


def _base_rates(bars: Sequence[Bar]) -> dict[datetime, float]:
    """Return the share of rises up to each close, by Laplace's rule of succession; ties do not count."""
    ups = moves = 0
    rates = {bars[0].closes_at: 0.5} if bars else {}
    for before, bar in pairwise(bars):
        ups += bar.close > before.close
        moves += bar.close != before.close
        rates[bar.closes_at] = (ups + 1) / (moves + 2)
    return rates


def _next_due(calendar: Calendar, as_of: datetime, fill_at: datetime) -> bool:
    try:
        return fill_at <= calendar.next_open(as_of)
    except DataError:
        return False
