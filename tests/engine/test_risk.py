from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.trading.risk import Command, CommandKind, OrderRequest, RiskEngine, RiskLimits, RiskState

NOON = datetime(2024, 3, 4, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ACTIVE, REDUCING, HALTED = RiskState


def say(kind, at=NOON, text=""):
    return Command(at=at, kind=CommandKind(kind), author="ann", text=text)


def order(size, held=0.0, price=10.0, equity=1000.0, others=0.0, at=NOON):
    return OrderRequest(
        at=at, symbol="BTC", position=held, size=size, price=price, equity=equity, other_exposure=others
    )


def guard(**limits):
    return RiskEngine(RiskLimits(**limits))


def test_a_daily_loss_reduces_until_the_next_day():
    watched = guard(daily_loss=0.1)
    assert watched.on_equity(NOON - DAY, 1000) == []
    (change,) = watched.on_equity(NOON, 899)
    assert (change.was, change.now, change.author) == (ACTIVE, REDUCING, "risk")
    assert "daily loss 10.1%" in change.cause
    assert watched.on_equity(NOON + timedelta(hours=1), 1200) == []
    (back,) = watched.on_equity(NOON + DAY, 1190)
    assert (back.now, back.cause) == (ACTIVE, "the cause is gone")


def test_a_drawdown_halts_and_only_a_person_leads_out():
    watched = guard(drawdown=0.2, daily_loss=0.9)
    watched.on_equity(NOON, 1000)
    (change,) = watched.on_equity(NOON + DAY, 800)
    assert change.now is HALTED
    assert watched.on_equity(NOON + 9 * DAY, 2000) == []
    assert watched.check_order(order(1))[0] == 0
    (back,) = watched.on_command(say("resume", NOON + 10 * DAY))
    assert (back.now, back.author) == (ACTIVE, "ann")
    assert watched.on_equity(NOON + 11 * DAY, 1700) == []


def test_stale_prices_and_abstentions_reduce_as_long_as_they_last():
    watched = guard(abstention_window=4, abstention_rate=0.5)
    assert [c.now for c in watched.on_stale_prices(NOON, ["BTC"])] == [REDUCING]
    assert watched.on_predictions(NOON, [True, True, False]) == []
    assert watched.on_stale_prices(NOON, []) == []
    assert watched.state is REDUCING
    assert [c.now for c in watched.on_predictions(NOON, [False, False])] == [ACTIVE]


def test_a_person_who_has_seen_a_stale_price_is_not_told_again_of_the_same():
    watched = guard()
    watched.on_stale_prices(NOON, ["BTC"])
    watched.on_command(say("resume"))
    assert watched.on_stale_prices(NOON + DAY, ["BTC"]) == []
    assert [c.now for c in watched.on_stale_prices(NOON + DAY, ["BTC", "ETH"])] == [REDUCING]


@pytest.mark.parametrize("kind", ["pause", "halt", "flatten"])
def test_a_person_halts_and_says_why(kind):
    watched = guard()
    (change,) = watched.on_command(say(kind, text="dinner"))
    assert (change.now, change.cause, change.author) == (HALTED, f"{kind}: dinner", "ann")
    assert watched.check_order(order(-5, held=5)) == (0.0, f"halted ({kind}: dinner)")
    assert watched.flattening is (kind == "flatten")


def test_while_reducing_positions_only_shrink_and_a_turn_becomes_a_close():
    watched = guard()
    watched.on_command(say("reduce"))
    assert watched.check_order(order(-3, held=5)) == (-3, "")
    assert watched.check_order(order(-5, held=5)) == (-5, "")
    assert watched.check_order(order(3, held=5))[0] == 0
    size, why = watched.check_order(order(-8, held=5))
    assert size == -5
    assert "no new risk while reducing (reduce)" in why


def test_exposures_beyond_a_limit_are_refused_with_the_figures():
    watched = guard(symbol_exposure=0.5, total_exposure=0.8)
    assert watched.check_order(order(50)) == (50, "")
    assert watched.check_order(order(51)) == (0.0, "BTC would be 51.0% of equity, the limit is 50.0%")
    refused = watched.check_order(order(40, others=450))
    assert refused == (0.0, "exposure would be 85.0% of equity, the limit is 80.0%")
    assert watched.check_order(order(-10, held=70, others=900)) == (-10, "")


def test_orders_are_counted_by_day_and_what_reduces_is_always_allowed():
    watched = guard(orders_per_day=2)
    for _ in range(2):
        assert watched.check_order(order(1))[0] == 1
        watched.on_order(NOON)
    assert watched.check_order(order(1)) == (0.0, "the limit of 2 orders a day is reached")
    assert watched.check_order(order(-1, held=1)) == (-1, "")
    assert watched.check_order(order(1, at=NOON + DAY))[0] == 1


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(list(CommandKind)),
            st.floats(1, 2000),
            st.booleans(),
            st.sampled_from([(), ("A",), ("A", "B")]),
        ),
        max_size=30,
    )
)
def test_nobody_but_a_person_leads_out_of_halted_and_changes_tell_the_whole_story(events):
    watched, state = guard(daily_loss=0.2, drawdown=0.4, abstention_window=3), ACTIVE
    for number, event in enumerate(events):
        at = NOON + number * timedelta(hours=5)
        if isinstance(event, CommandKind):
            changes = watched.on_command(say(event, at))
        elif isinstance(event, bool):
            changes = watched.on_predictions(at, [event])
        elif isinstance(event, tuple):
            changes = watched.on_stale_prices(at, event)
        else:
            changes = watched.on_equity(at, event)
        for change in changes:
            assert change.was is state
            if state is HALTED and change.now is not HALTED:
                assert change.author == "ann"
            state = change.now
        assert state is watched.state
        if state is not ACTIVE:
            assert watched.check_order(order(1))[0] == 0


@pytest.mark.parametrize(
    "wrong", [{"drawdown": 0}, {"daily_loss": float("nan")}, {"orders_per_day": 0}, {"stale_after": -DAY}]
)
def test_limits_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RiskLimits(**wrong)
