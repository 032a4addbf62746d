"""What the dashboard makes of a journal is what the run itself states, and no payload can trip it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.journal.events import PAYLOADS
from strategies.monitor.catalog import JournalPlace, JournalType
from strategies.monitor.journal_reader import EventRow
from strategies.monitor.projection import JournalProjection
from tests.support.dash_scenes import load_snapshot, shared_folder
from tests.support.journal_events import stored_payload
from tui.dashboard.screens.news import first_prediction_after

START = datetime(2024, 1, 1, tzinfo=UTC)
PLACE = JournalPlace(type=JournalType.SESSION, name="one", path=None)


def make_event(seq, kind, payload, hours=0, faulty=False):
    """An event with the payload of the kind's example, and what `payload` changes in it."""
    at = START + timedelta(hours=hours)
    stored = stored_payload(kind) | {"input": 0} | payload
    return EventRow(seq=seq, as_of=at, recorded_at=at, kind=kind, payload=stored, chain="c", faulty=faulty)


def call(seq, symbol, hours, last, direction="up", close=None, confidence=0.6):
    payload = {"symbol": symbol, "direction": direction, "confidence": confidence, "last_close": last}
    return make_event(seq, "forecast", payload | {"close": close or last, "abstention": None}, hours)


def fold_events(*rows):
    board = JournalProjection(PLACE)
    for row in rows:
        board.fold(row, listed=True)
    return board.view()


@pytest.fixture(scope="module")
def folder():
    return shared_folder()


def test_a_runs_score_and_money_are_those_of_its_own_result(folder):
    run = next(one for one in load_snapshot(folder).journals if one.place.type is JournalType.RUN)
    student = run.result["scores"]["student"]
    assert run.state == "finished"
    assert run.score.n == student["n"]
    assert run.score.accuracy == pytest.approx(student["accuracy"])
    assert (run.score.low, run.score.high) == pytest.approx(
        (student["accuracy_low"], student["accuracy_high"])
    )
    assert run.score.pending == student["pending"]
    assert run.score.error_bps == pytest.approx(student["close_mae_bps"])
    assert run.money.total_return == pytest.approx(student["total_return"])
    assert run.money.fills == student["trades"]
    assert sum(bucket.n for bucket in run.score.buckets) == run.score.n


def test_a_session_shows_its_state_positions_and_answered_commands(folder):
    session = next(one for one in load_snapshot(folder).journals if one.place.type is JournalType.SESSION)
    assert session.state == "finished"
    assert (session.risk.state, session.risk.author) == ("active", "ann")
    assert [one.answer for one in session.commands][:2] == ["active → halted", "halted → active"]
    assert session.health.faulty == 0
    assert {one.symbol for one in session.positions if one.size}
    assert all(one.price is not None and one.price_at == session.money.at for one in session.positions[:1])


def test_a_call_is_a_hit_a_miss_or_a_tie_by_the_close_that_the_next_one_states():
    view = fold_events(
        call(1, "A", 0, 10.0, close=11.0),
        call(2, "B", 0, 10.0, direction="down"),
        call(3, "A", 24, 12.0),
        call(4, "B", 24, 12.0),
        call(5, "A", 48, 12.0),
    )
    assert [one.hit for one in view.calls] == [True, False, None, None, None]
    assert view.calls[2].tie
    assert view.calls[0].error_bps == pytest.approx(1000.0)
    assert (view.score.n, view.score.hits, view.score.ties, view.score.pending) == (2, 1, 1, 2)


def test_a_split_between_two_closes_is_no_fall():
    split = make_event(2, "split", {"symbol": "A", "ratio": 2.0}, 12)
    view = fold_events(call(1, "A", 0, 10.0, close=11.0), split, call(3, "A", 24, 5.5))
    assert view.calls[0].hit is True
    assert view.calls[0].error_bps == pytest.approx(0.0)


def test_an_abstention_is_counted_with_its_reason():
    abstained = {"symbol": "A", "direction": None, "close": None, "last_close": 1.0}
    view = fold_events(make_event(1, "forecast", abstained | {"abstention": "late: too slow"}))
    assert (view.score.abstentions, view.score.reasons) == (1, (("late", 1),))


def test_entry_prices_follow_what_was_bought_sold_and_turned():
    def fill(seq, size, price):
        return make_event(seq, "fill", {"symbol": "A", "size": size, "price": price, "cost": 1.0}, seq)

    (bought,) = fold_events(fill(1, 1.0, 10.0), fill(2, 3.0, 20.0)).positions
    assert (bought.size, bought.entry) == (4.0, 17.5)
    (reduced,) = fold_events(fill(1, 1.0, 10.0), fill(2, 3.0, 20.0), fill(3, -2.0, 30.0)).positions
    assert (reduced.size, reduced.entry) == (2.0, 17.5)
    (turned,) = fold_events(fill(1, 1.0, 10.0), fill(2, -3.0, 20.0)).positions
    assert (turned.size, turned.entry) == (-2.0, 20.0)
    assert fold_events(fill(1, 1.0, 10.0), fill(2, -1.0, 20.0)).positions == ()


def test_news_leads_to_the_first_call_after_it_on_a_symbol_it_concerns():
    known_at = (START + timedelta(hours=1)).isoformat()
    news = {"id": "n", "source": "s", "title": "T", "symbols": ["B"], "available_at": known_at}
    view = fold_events(
        call(1, "B", 0, 1.0), make_event(2, "news", news, 1), call(3, "A", 2, 1.0), call(4, "B", 3, 1.0)
    )
    led = first_prediction_after(view, view.news[0])
    assert led is not None and led.seq == 4


def test_points_of_a_curve_stay_few_and_keep_both_ends():
    view = fold_events(*(make_event(n, "mark", {"value": float(n), "cash": 0.0}, n) for n in range(1, 5000)))
    assert len(view.money.equity) <= 1201
    assert (view.money.equity[0].value, view.money.equity[-1].value) == (1.0, 4999.0)


def test_a_walk_forward_tells_its_looks_with_their_guards_and_how_many_gates_there_will_be():
    settings_ = {"method": "grpo", "compare": True}
    look = {"arm": "grpo", "fold": 1, "accuracy": 0.5, "brier": 0.3}
    guard = {"arm": "grpo", "fold": 1, "guard": "one class", "value": 1.0, "limit": 0.9}
    view = fold_events(
        make_event(1, "walkforward_started", {"folds": [{}, {}, {}], "settings": settings_}),
        make_event(2, "training_look", look | {"step": 0}),
        make_event(3, "training_step", {"arm": "grpo", "fold": 1, "step": 8, "of": 16, "reward": 1.0}),
        make_event(4, "training_look", look | {"step": 8}),
        make_event(5, "training_guard", guard | {"done": "watched"}),
        make_event(6, "training_guard", guard | {"done": "kept, not clean"}),
    ).training
    assert (view.planned, view.now) == (6, "fold 1 grpo: training, step 8 of 16")
    assert [(one.step, one.guards) for one in view.looks] == [
        (0, ()),
        (8, ("one class 1, limit 0.9: kept, not clean",)),
    ]


def test_an_order_that_a_command_withdrew_is_dated_by_the_sessions_own_time():
    said = {"symbol": "A", "status": "withdrawn", "number": 1, "size": 0.0, "reason": "halted"}
    view = fold_events(make_event(1, "order", said | {"at": START.isoformat()}, 24 * 900))
    assert (view.orders[0].at, view.orders[0].text) == (START, "halted")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)

KINDS = sorted(PAYLOADS)
NAMES = sorted({name for kind in KINDS for name in stored_payload(kind)})


@given(
    st.lists(
        st.tuples(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6)),
        max_size=12,
    )
)
@settings(max_examples=100, deadline=None)
def test_no_payload_of_any_kind_trips_the_board(events):
    view = fold_events(
        *(make_event(n, kind, payload, n) for n, (kind, payload) in enumerate(events, start=1))
    )
    assert len(view.lines) == len(events)


def test_a_run_under_way_says_how_many_closes_are_forecast_and_then_traded():
    board = JournalProjection(JournalPlace(type=JournalType.RUN, name="one", path=None))
    board.fold(make_event(1, "run_started", {}), listed=True)
    assert board.view().done is None
    board.fold(make_event(2, "forecasting", {"done": 30, "total": 120}), listed=True)
    assert (board.view().asked, board.view().done) == ((30, 120), 0.25)
    board.fold(call(3, "AAA", 1, 100.0), listed=True)
    board.fold(call(4, "AAA", 2, 100.0), listed=True)
    assert board.view().done == 0
    board.fold(make_event(5, "mark", {"value": 1.0, "cash": 1.0}, 1), listed=True)
    assert board.view().done == 0.5


def test_a_run_took_the_time_from_its_first_to_its_last_event():
    ended = replace(make_event(2, "run_finished", {}, 2), recorded_at=START)
    view = fold_events(make_event(1, "run_started", {}), ended)
    assert view.ended_at - view.started_at == timedelta(hours=2)


@pytest.mark.parametrize(("plan", "simulated"), [({}, True), ({"simulated": False}, False)])
def test_a_walk_forward_over_frames_is_not_called_simulated_while_it_runs(plan, simulated):
    started = make_event(1, "run_started", {"config": {"student": "tiny"}})
    assert fold_events(started, make_event(2, "walkforward_started", plan)).simulated is simulated
