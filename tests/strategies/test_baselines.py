from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from engine.model import Direction
from engine.timeline import build_observations
from strategies.baselines import counting
from strategies.llm_strategy import PredictionIndex
from tests.support.markets import MONDAY, coin

START = datetime.min.replace(tzinfo=UTC)


def calls(baseline, closes):
    pairs = [(before, after) for before, after in zip([closes[0], *closes], closes, strict=False)]
    bars = {"BTC": coin("BTC", *pairs)}
    seen = build_observations(bars, [], window=8, start=START, minimum=2)
    return baseline(seen, bars)


def test_persistence_calls_the_last_move_again_and_knows_how_often_that_was_right():
    made = calls(counting.persistence, [10, 11, 12, 11, 10])
    assert [one.direction for one in made] == [Direction.UP, Direction.UP, Direction.DOWN, Direction.DOWN]
    assert [round(one.confidence, 3) for one in made] == [0.5, 0.667, 0.5, 0.6]


def test_majority_calls_the_more_frequent_move():
    made = calls(counting.majority, [10, 11, 10, 9, 8])
    assert [one.direction for one in made] == [Direction.UP, Direction.UP, Direction.DOWN, Direction.DOWN]


def test_buy_and_hold_is_always_up_with_the_share_of_rising_days_as_confidence():
    made = calls(counting.buy_and_hold, [10, 11, 12, 13])
    assert {one.direction for one in made} == {Direction.UP}
    assert [one.confidence for one in made] == [2 / 3, 3 / 4, 4 / 5]


def test_a_day_without_a_move_keeps_the_last_direction():
    made = calls(counting.persistence, [10, 9, 9, 9])
    assert {one.direction for one in made} == {Direction.DOWN}


def test_the_random_caller_depends_on_seed_symbol_and_instant_alone():
    bars = {"BTC": coin("BTC", *[(10, 10)] * 200)}
    seen = build_observations(bars, [], window=8, start=START)
    first = counting.random_baseline(seen, 1)
    assert counting.random_baseline(seen[50:], 1) == first[50:]
    assert counting.random_baseline(seen, 2) != first
    ups = sum(one.direction is Direction.UP for one in first)
    assert 70 < ups < 125


@given(st.lists(st.integers(1, 50), min_size=8, max_size=30), st.integers(7, 29))
def test_no_baseline_sees_a_later_close(closes, cut):
    for baseline in (counting.buy_and_hold, counting.persistence, counting.majority):
        whole, part = calls(baseline, closes), calls(baseline, closes[: cut + 1])
        assert whole[: len(part)] == part


def test_every_baseline_states_the_last_close():
    made = calls(counting.majority, [10, 11, 12])
    assert [one.close for one in made] == [one.last_close for one in made]
    assert made[0].as_of > MONDAY


def test_the_index_finds_the_predictions_of_each_close_whatever_their_order():
    bars = {name: coin(name, *[(10, 10), (10, 11)] * 10) for name in ("BTC", "ETH")}
    table = counting.majority(build_observations(bars, [], window=1, start=START), bars)
    by_decision = {(call.symbol, call.as_of): call for call in table}
    assert len(by_decision) == 30
    for calls in (table, table[::-1], list(table)):
        index = PredictionIndex(calls)
        assert dict(index) == by_decision
        assert ("SOL", MONDAY) not in index
    assert table[3].text == ""
