from datetime import timedelta

import pytest

from engine.errors import JournalError
from engine.journal.events import decode, encode
from engine.journal.journal import Event
from engine.timeline import build_slices
from engine.trading.inputs import LastPrices, OpenMissed, TimeAdvanced
from engine.trading.records import OrderStatus
from engine.trading.risk import Command, CommandKind, RiskEngine, RiskLimits
from engine.trading.strategy import SliceStrategy
from tests.support.markets import DAY, MONDAY, coin, instrument, no_events, run_plan, stock

BTC, AAPL = instrument("BTC"), instrument("AAPL", calendar="NEW YORK")


class Obeying(SliceStrategy):
    """Wants half of equity at every close, and does what an item's text says."""

    def __init__(self, seen):
        self.seen = seen

    def on_close(self, slice_):
        for symbol in slice_.bars:
            self.order_target_percent(symbol, 0.5)

    def on_event(self, item):
        self.seen.append((type(item).__name__, self.cerebro.order_manager.now.as_of, self.equity))
        if isinstance(item, Command) and item.kind is CommandKind.FLATTEN:
            self.cerebro.order_manager.close_position("BTC", "flatten")
        if isinstance(item, Command) and item.kind is CommandKind.HALT:
            self.cerebro.order_manager.cancel_risk_increasing_orders("halt", every=True)


def between(slices, *items):
    """The slices with each item after the number of slices it comes with."""
    slices = list(slices)
    for after, item in sorted(items, key=lambda pair: -pair[0]):
        slices.insert(after, item)
    return slices


def obey(items, *instruments, **rest):
    from engine.trading.runner import run
    from tests.support.markets import CALENDARS, FREE

    seen = []
    named = {one.symbol: one for one in instruments}
    result = run(
        items,
        strategy=Obeying,
        settings={"seen": seen},
        instruments=named,
        costs=dict.fromkeys(named, FREE),
        calendars=CALENDARS,
        cash=10_000,
        **rest,
    )
    return result, seen


def command(kind, at):
    return Command(at=at, kind=CommandKind(kind), author="ann")


def days(count):
    return build_slices(coin("BTC", *[(10 + n, 10 + n) for n in range(count)]), [])


def test_a_command_is_read_back_from_the_journal_as_it_was_given():
    given = Command(at=MONDAY, kind=CommandKind.HALT, author="ann", text="too wild")
    assert decode(encode(given, MONDAY)) == given
    with pytest.raises(JournalError, match="cannot be read"):
        payload = {"command": "sell everything", "author": "x", "text": ""}
        decode(Event(kind="command", as_of=MONDAY, payload=payload))


@pytest.mark.parametrize(("author", "text"), [("", "x"), (" ", ""), ("ann", "x" * 500)])
def test_a_command_without_author_or_with_a_novel_is_refused(author, text):
    with pytest.raises(ValueError, match="command"):
        Command(at=MONDAY, kind=CommandKind.PAUSE, author=author, text=text)


def test_what_is_flattened_is_closed_at_the_next_open_after_the_command():
    given = MONDAY + DAY + timedelta(hours=5)
    items = between(days(4), (3, command("flatten", given)))
    del items[4]  # the close before that open, at which the strategy would want half again
    result, _ = obey(items, BTC)
    closed = result.orders[1]
    assert (closed.decided_at, closed.due_at, closed.reason) == (given, MONDAY + 2 * DAY, "flatten")
    assert (result.fills[1].at, result.fills[1].size) == (MONDAY + 2 * DAY, -result.fills[0].size)


def test_a_command_between_an_open_and_its_slice_is_not_filled_at_that_open():
    late = command("flatten", MONDAY + 2 * DAY + timedelta(seconds=3))
    items = between(days(4), (4, late), (5, late))
    items = [
        item for item in items if getattr(item, "phase", None) != "close" or item.as_of < MONDAY + 2 * DAY
    ]
    result, _ = obey(items, BTC)
    closed = next(order for order in result.orders if order.reason == "flatten")
    assert closed.due_at == MONDAY + 3 * DAY
    fill = next(fill for fill in result.fills if fill.number == closed.number)
    assert (fill.at, fill.price) == (MONDAY + 3 * DAY, 13)


def test_a_command_dated_in_the_past_acts_now_and_one_from_the_future_fills_nothing_early():
    back, ahead = command("flatten", MONDAY - 9 * DAY), command("flatten", MONDAY + 2 * DAY + DAY / 2)
    result, seen = obey(between(days(5), (3, back), (5, ahead)), BTC)
    assert [at for _, at, _ in seen] == [MONDAY + DAY, ahead.at]
    for fill in result.fills:
        assert fill.at >= fill.decided_at


def test_orders_that_wait_are_taken_back_and_give_no_fill():
    result, _ = obey(between(days(2), (2, command("halt", MONDAY + DAY))), BTC)
    assert (result.orders[0].status, result.orders[0].reason) == (OrderStatus.CANCELLED, "halt")
    assert result.fills == ()


def test_last_prices_and_passing_time_change_no_order_no_fill_and_no_mark():
    plain, _ = obey(days(6), BTC)
    quotes = [(n, LastPrices(at=MONDAY + n * DAY / 2, prices={"BTC": 99.0})) for n in range(1, 12)]
    ticks = [(n, TimeAdvanced(at=MONDAY + n * DAY / 2)) for n in range(1, 12)]
    result, seen = obey(between(days(6), *quotes, *ticks), BTC)
    assert result == plain
    assert len(seen) == 22


def test_an_order_whose_open_was_missed_lapses():
    missed = OpenMissed(at=MONDAY + DAY, symbols=("BTC",), reason="nobody looked")
    result, _ = obey(between(days(3), (2, missed)), BTC)
    assert (result.orders[0].status, result.orders[0].reason) == (
        OrderStatus.EXPIRED,
        "nobody looked",
    )


def test_a_gate_refuses_orders_beyond_its_limits_and_counts_waiting_ones():
    bars = [*coin("BTC", (10, 10), (10, 10)), *coin("ETH", (10, 10), (10, 10))]
    gate = RiskEngine(RiskLimits(total_exposure=0.7))
    result, _ = obey(build_slices(bars, []), BTC, instrument("ETH"), risk=gate)
    first, second = result.orders[:2]
    assert (first.symbol, first.status) == ("BTC", OrderStatus.FILLED)
    assert (second.symbol, second.status) == ("ETH", OrderStatus.REJECTED)
    assert second.reason == "exposure would be 100.0% of equity, the limit is 70.0%"


def test_a_run_that_keeps_no_records_still_tells_them():
    told = []
    result, _ = obey(days(4), BTC, keep=False, on_record=told.append)
    assert (result.orders, result.fills, result.marks, result.steps) == ((), (), (), ())
    assert len(told) > 10
    assert result.value == run_plan(days(4), want_half, [BTC]).value


def want_half(strategy, slice_):
    for symbol in slice_.bars:
        strategy.order_target_percent(symbol, 0.5)


def test_a_session_closes_stocks_and_coins_each_at_an_open_of_its_own():
    bars = [*coin("BTC", *[(10, 10)] * 4), *stock("AAPL", *[(10, 10)] * 3)]
    result, _ = obey(build_slices(bars, []), BTC, AAPL)
    assert {fill.symbol for fill in result.fills} == {"BTC", "AAPL"}
    assert run_plan(build_slices(bars, []), no_events, [BTC, AAPL]).fills == ()
