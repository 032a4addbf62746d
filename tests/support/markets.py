"""Small markets for tests: bars by hand, two calendars, and a strategy that follows a function."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from engine.calendars import RoundTheClock
from engine.instruments import AssetClass, Costs, Instrument
from engine.model import Bar, Slice
from engine.trading.records import EngineResult
from engine.trading.runner import run
from engine.trading.strategy import SliceStrategy

DAY = timedelta(days=1)
MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
FREE = Costs(fee_bps=0, slippage_bps=0, latency_bps=0, borrow_rate=0)
DEAR = Costs(fee_bps=10, slippage_bps=20, latency_bps=5, borrow_rate=0.365)


class Weekdays:
    """Sessions of the same hours in UTC from Monday to Friday."""

    def __init__(self, opens: time, closes: time) -> None:
        self.opens, self.closes = opens, closes

    def session(self, day: date) -> tuple[datetime, datetime] | None:
        if day.weekday() > 4:
            return None
        return datetime.combine(day, self.opens, UTC), datetime.combine(day, self.closes, UTC)

    def next_open(self, after: datetime) -> datetime:
        day = after.date()
        while (session := self.session(day)) is None or session[0] < after:
            day += DAY
        return session[0]


CALENDARS = {
    "24/7": RoundTheClock(),
    "NEW YORK": Weekdays(time(14, 30), time(21)),
    "LONDON": Weekdays(time(8), time(16, 30)),
}


def instrument(symbol: str, **changes: Any) -> Instrument:
    """A coin in fractions that cannot be sold short, unless told otherwise."""
    settings = {"asset_class": AssetClass.COIN, "calendar": "24/7", "currency": "USD"} | changes
    return Instrument(symbol=symbol, **settings)


def bar(symbol: str, opens_at: datetime, closes_at: datetime, opening: float, closing: float) -> Bar:
    return Bar(
        symbol=symbol,
        opens_at=opens_at,
        closes_at=closes_at,
        open=opening,
        high=max(opening, closing),
        low=min(opening, closing),
        close=closing,
        volume=1.0,
    )


def coin(symbol: str, *prices: tuple[float, float], start: datetime = MONDAY) -> list[Bar]:
    """Bars of consecutive UTC days with these opens and closes."""
    days = [start + number * DAY for number in range(len(prices))]
    return [bar(symbol, day, day + DAY, *price) for day, price in zip(days, prices, strict=True)]


def stock(symbol: str, *prices: tuple[float, float], start: datetime = MONDAY) -> list[Bar]:
    """Bars of consecutive days with New York's hours."""
    hours = (timedelta(hours=14.5), timedelta(hours=21))
    days = [start + number * DAY for number in range(len(prices))]
    return [
        bar(symbol, day + hours[0], day + hours[1], *price) for day, price in zip(days, prices, strict=True)
    ]


PlannedTrades = Callable[[SliceStrategy, Slice], None]


class FollowPlan(SliceStrategy):
    """Calls `plan` at closes, `always` after every slice and `at_end` when the slices have ended."""

    def __init__(
        self,
        plan: PlannedTrades,
        always: PlannedTrades | None = None,
        at_end: Callable[[Any], None] | None = None,
    ) -> None:
        self.plan, self.always, self.at_end = plan, always, at_end

    def on_close(self, slice_: Slice) -> None:
        self.plan(self, slice_)

    def on_slice(self, slice_: Slice) -> None:
        if self.always is not None:
            self.always(self, slice_)

    def stop(self) -> None:
        if self.at_end is not None:
            self.at_end(self)


def no_events(_strategy: SliceStrategy, _slice: Slice) -> None:
    """A plan that wants nothing."""


def run_plan(
    slices: Iterable[Slice],
    plan: PlannedTrades,
    instruments: Sequence[Instrument],
    *,
    costs: Costs | Mapping[str, Costs] = FREE,
    cash: float = 10_000,
    settings: Mapping[str, Any] | None = None,
    **rest: Any,
) -> EngineResult:
    """Run `plan` over `slices`; `costs` are for all symbols or by symbol."""
    named = {each.symbol: each for each in instruments}
    return run(
        slices,
        strategy=FollowPlan,
        settings={"plan": plan} | dict(settings or {}),
        instruments=named,
        costs=dict.fromkeys(named, costs) if isinstance(costs, Costs) else costs,
        calendars=CALENDARS,
        cash=cash,
        **rest,
    )
