"""Compare what was predicted and traded in two worlds up to a close, and say what differs."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from engine.model import Forecast, Prediction
from engine.trading.records import Fill, OrderRecord
from strategies.lookahead.report import Leak, LeakKind
from strategies.lookahead.trading import Trades
from strategies.lookahead.worlds import Alteration, World

_WITH = {
    Alteration.REAL: "run again",
    Alteration.CUT: "with later data cut",
    Alteration.TURNED: "with other later data",
    Alteration.SCRAMBLED: "with other prices",
}


def describe_world(world: World) -> str:
    """Return what was done to the data after which instant, for a sentence."""
    return f"{_WITH[world.alteration]} after {world.at:%Y-%m-%d %H:%M}"


def describe_prediction(call: Prediction) -> str:
    """Return a prediction in a few words."""
    if isinstance(call, Forecast):
        return f"{call.direction} {call.confidence:.2f} {call.close:g}"
    return f"abstention ({call.reason[:40]})"


def compare_trades(run: Trades, other: Trades, world: World) -> Iterator[Leak]:
    """Yield what differs first of the weights, orders and fills up to the close of a world."""
    at = world.at
    if other.failure and other.failed_at is not None:
        what = f"{describe_world(world)}, the code fails: {other.failure}"
        yield Leak(kind=LeakKind.ORDER, at=other.failed_at, symbol="", what=what)
        return
    wanted = [{(w[0], w[1]): w[2:] for w in side.wanted if w[0] <= at} for side in (run, other)]
    differing = [key for key in sorted({*wanted[0], *wanted[1]}) if wanted[0].get(key) != wanted[1].get(key)]
    first = [key for key in differing if key[0] == differing[0][0]]
    for key in first:
        was, now = (_describe_weight(side.get(key)) for side in wanted)
        what = f"the run wants {was}; {describe_world(world)}, it wants {now}"
        yield Leak(kind=LeakKind.ORDER, at=key[0], symbol=key[1], what=what)
    if first:
        return
    # An order that is decided on at the close itself is one of the weights above.
    orders = [[_order_row(o) for o in side.orders if o.decided_at < at] for side in (run, other)]
    fills = [[_fill_row(f) for f in side.fills if f.at < at] for side in (run, other)]
    yield from _compare_rows(LeakKind.ORDER, orders, world)
    yield from _compare_rows(LeakKind.FILL, fills, world)


def _compare_rows(
    kind: LeakKind, sides: Sequence[Sequence[tuple[datetime, str, str]]], world: World
) -> Iterable[Leak]:
    for number in range(max(map(len, sides))):
        was, now = (side[number] if number < len(side) else None for side in sides)
        if was != now:
            at, symbol, _ = was or now or (world.at, "", "")
            says = [row[2] if row else "nothing" for row in (was, now)]
            what = f"the run has {says[0]}; {describe_world(world)}, it has {says[1]}"
            return [Leak(kind=kind, at=at, symbol=symbol, what=what)]
    return []


def _describe_weight(weight: tuple[float, str] | None) -> str:
    return f"a weight of {weight[0]:.4g}" if weight else "nothing"


def _order_row(order: OrderRecord) -> tuple[datetime, str, str]:
    size = order.size if order.requested is None else order.requested
    return order.decided_at, order.symbol, f"order {order.number} of {size!r} due {order.due_at}"


def _fill_row(fill: Fill) -> tuple[datetime, str, str]:
    return fill.at, fill.symbol, f"a fill of {fill.size!r} at {fill.price!r}"
