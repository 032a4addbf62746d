"""What a student can learn from: an observation, what then happened, and what a position would have met.

`TrainingSet` is the one guard against the future: whatever trains takes one, and none can be made that holds
anything too new. Knows no reward, no model and no file.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeContext:
    """What the position of one step starts from. Amounts and `price` are in the base currency.

    Known at the decision: `equity` (the portfolio's value), `held` (signed units), `price` (the last known
    one, which sizes the order), `volatility` (standard deviation of a day's return), and the rules.
    Known later: `fill_at`, the next open; `fill_equity`, the portfolio's value there before any cost; and
    what the quote currency was worth there and at the step's end, `fill_rate` and `exit_rate`.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Experience:
    """One decision and all that came of it, up to the end of its step.

    `base_rate` is the share of rising closes of the symbol among those known at the decision, in (0, 1);
    `call` is what was said at the time, None if nothing was. Raises ValueError where the parts do not belong
    together, or where the step has not ended yet.
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
        """Symbol and instant of the decision."""
        return self.observation.symbol, self.observation.as_of

    @property
    def known_at(self) -> datetime:
        """When the whole outcome was known: the next close and the open at which the step ended."""
        return max(self.outcome.known_at, self.outcome.open_known_at or self.outcome.known_at)

    @property
    def horizon(self) -> timedelta:
        """From the decision to the close that was forecast."""
        return self.outcome.known_at - self.outcome.as_of


def longest_horizon(items: Iterable[Experience]) -> timedelta:
    """The longest horizon of some experiences: the shortest embargo that they allow; zero for none."""
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
    """Each of `observed` whose step has ended by the last of `bars`, in the order given.

    Every one stands alone: its step starts with nothing held and `equity` in the base currency, so it pays
    for its whole position. `bars`, closed and oldest first, `costs` and `instruments` are by symbol,
    `calendars` by code. Closes followed by a gap are left out (see `build_decisions`).
    """
    made = []
    for one in build_decisions(observed, bars, instruments, calendars):
        seen, out = one.observation, one.outcome
        ended_at = out.open_known_at or out.known_at
        moments = (seen.as_of, one.fill_at, ended_at)
        currency = instruments[seen.symbol].currency
        at_decision, at_fill, at_exit = (rates.rate(currency, at) if rates else 1.0 for at in moments)
        situation = TradeContext(
            instrument=instruments[seen.symbol],
            costs=costs[seen.symbol],
            sizing=sizing,
            volatility=volatility(seen.bars),
            equity=equity,
            position=0.0,
            price=seen.last_close * at_decision,
            fill_at=one.fill_at,
            fill_equity=equity,
            fill_rate=at_fill,
            exit_rate=at_exit,
        )
        made.append(
            Experience(
                observation=seen,
                outcome=out,
                trade_context=situation,
                base_rate=one.base_rate,
                call=calls.get((seen.symbol, seen.as_of)),
            )
        )
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSet:
    """Experiences that were wholly known, and an embargo older, before `cutoff` (Lopez de Prado 2018, ch. 7).

    Raises UsageError for an embargo shorter than the longest horizon, because the label of an item just
    before the cut-off would overlap what is tested just after it; DataError for an item that was not known
    in time, and for an empty set.
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
                    f"{_format_minute(item.known_at)}, not "
                    f"{_format_days(self.embargo)} before the cut-off "
                    f"{_format_minute(self.cutoff)}; leave it out"
                )
        if not self.items:
            raise DataError(
                f"no outcome was known {_format_days(self.embargo)} before the cut-off "
                f"{_format_minute(self.cutoff)}; "
                "choose a later cut-off"
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
        """Those decided at `since` or later that were known in time, by instant and symbol.

        Raises UsageError for an embargo shorter than the horizon of any of them, DataError if none is left.
        """
        offered = [item for item in experiences if since is None or item.observation.as_of >= since]
        _require_embargo(offered, embargo)
        kept = (item for item in offered if item.known_at + embargo < cutoff)
        ordered = sorted(kept, key=lambda item: (item.observation.as_of, item.observation.symbol))
        return cls(items=tuple(ordered), cutoff=cutoff, embargo=embargo)


def require_past(name: str, cutoff: datetime, tested_from: datetime) -> None:
    """Raise StudentError if the data of adapter `name` reach beyond the start of what it is tested on."""
    if cutoff > tested_from:
        raise StudentError(
            f"adapter {name} was trained on data up to {_format_minute(cutoff)}, and the test "
            "begins earlier, at "
            f"{_format_minute(tested_from)}; choose an older adapter or a later start"
        )


def require_disjoint(trained_from: datetime, cutoff: datetime, tested_from: datetime) -> None:
    """Raise UsageError unless the test window begins at the training cut-off or after it."""
    if tested_from < cutoff:
        raise UsageError(
            f"the test window begins at {_format_minute(tested_from)}, before the end of the training window "
            f"{_format_minute(trained_from)} to {_format_minute(cutoff)}; let it begin at the "
            "cut-off or later"
        )


def _require_embargo(items: Sequence[Experience], embargo: timedelta) -> None:
    longest = max(items, key=lambda item: item.horizon, default=None)
    if longest is not None and embargo < longest.horizon:
        symbol, as_of = longest.key
        raise UsageError(
            f"the embargo of {_format_days(embargo)} is shorter than the horizon of {symbol} at "
            f"{_format_minute(as_of)}; "
            f"make it at least {_format_days(longest.horizon)}"
        )


def _format_days(span: timedelta) -> str:
    return f"{span / timedelta(days=1):g} days"


def _format_minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was seen, what happened, when the next open came, and the `base_rate` of rises known by then."""

    observation: Observation
    outcome: Outcome
    fill_at: datetime
    base_rate: float


def build_decisions(
    observed: Sequence[Observation],
    bars: Mapping[str, Sequence[Bar]],
    instruments: Mapping[str, Instrument],
    calendars: Mapping[str, Calendar],
) -> Iterator[Decision]:
    """Those of `observed`, in their order, whose step has ended by the last of `bars` (closed, oldest first).

    Left out are closes after which the next open did not come when the symbol's calendar says: an order would
    have expired, and the next close lies further ahead than the student was asked for. Raises DataError as
    `engine.outcomes.match_outcomes` does.
    """
    asked = [
        Abstention(symbol=one.symbol, as_of=one.as_of, reason="", last_close=one.last_close)
        for one in observed
    ]
    openings = {symbol: _next_opens(series) for symbol, series in bars.items()}
    rates = {symbol: _base_rates(series) for symbol, series in bars.items()}
    for observation, (_, outcome) in zip(observed, match_outcomes(asked, bars), strict=True):
        symbol, as_of = observation.symbol, observation.as_of
        if outcome is None or outcome.exit_open is None:
            continue
        fill_at = openings[symbol][as_of]
        if _next_due(calendars[instruments[symbol].calendar], as_of, fill_at):
            yield Decision(
                observation=observation, outcome=outcome, fill_at=fill_at, base_rate=rates[symbol][as_of]
            )


def _next_opens(bars: Sequence[Bar]) -> dict[datetime, datetime]:
    """When the next bar opened, by the instant of each close."""
    return {bar.closes_at: following.opens_at for bar, following in pairwise(bars)}


def _base_rates(bars: Sequence[Bar]) -> dict[datetime, float]:
    """The share of rises among the moves up to each close, by Laplace's rule of succession; ties are none."""
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
