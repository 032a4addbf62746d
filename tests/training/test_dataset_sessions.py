"""Experience rebuilt from a paper session is what its student saw and what its engine paid."""

from dataclasses import replace
from datetime import timedelta

import pytest

from engine.errors import UsageError
from engine.instruments import Costs
from engine.journal.events import Kind, decode
from engine.model import Direction, Forecast, Phase, Slice
from engine.timeline import build_observations, build_slices
from engine.trading.records import OrderRecord, OrderStatus
from engine.trading.runner import run
from strategies.backtest import backtest
from strategies.llm_strategy import BetSizing, LLMStrategy
from strategies.paper.replay import with_splits
from strategies.sizing import PositionSizing, volatility
from tests.support.markets import CALENDARS, DAY, MONDAY, coin, instrument
from tests.support.paper_sessions import (
    COINS,
    CONFIG,
    FACTS,
    NAME,
    STOCK,
    First,
    Second,
    day,
    full_script,
    read_rows,
    replay,
)
from training.dataset.counterfactual import simulate_step
from training.dataset.loaders import load_run_experiences
from training.dataset.reconstruction import reconstruct_experiences
from training.dataset.run_history import RunHistory
from training.retraining.source import read_source
from training.walkforward.config import Method, WalkForwardConfig

ADOPTED_AT = day(17, hours=1)


def actions(kind):
    (event,) = (item for item in full_script() if item.kind == kind)
    return decode(event)


@pytest.fixture(scope="module")
def eventful(tmp_path_factory):
    """A session with commands, a split, a dividend and an adoption, and what it lived through."""
    folder = tmp_path_factory.mktemp("eventful")
    replay(folder, full_script(), facts=with_splits(FACTS, [actions(Kind.SPLIT)]))
    return folder, read_source(folder, NAME).experiences


@pytest.mark.slow
def test_what_a_quiet_session_teaches_is_what_the_same_backtest_does(tmp_path):
    replay(tmp_path)
    result = backtest(CONFIG, data_dir=tmp_path, clock=lambda: day(60), student=First())
    assert read_source(tmp_path, NAME).experiences == load_run_experiences(tmp_path, result.name)


def test_every_observation_is_what_the_student_was_shown_before_and_after_a_split(eventful):
    folder, session_experiences = eventful
    shown = {
        (row.payload["symbol"], row.as_of): row.payload["prompt"] for row in read_rows(folder, "forecast")
    }
    split = actions(Kind.SPLIT)
    assert any(item.key[0] == STOCK and item.key[1] < split.at for item in session_experiences)
    assert any(item.key[0] == STOCK and item.key[1] > split.at for item in session_experiences)
    for item in session_experiences:
        speaker = First() if item.key[1] < ADOPTED_AT else Second()
        assert speaker.prompt(item.observation) == shown[item.key]
        assert item.call.last_close == item.observation.last_close


def test_no_day_is_taught_whose_units_changed_or_whose_price_left_a_dividend(eventful):
    folder, session_experiences = eventful
    decided = {row.as_of for row in read_rows(folder, "forecast") if row.payload["symbol"] == STOCK}
    kept = {item.key[1]: item for item in session_experiences if item.key[0] == STOCK}
    for action in (actions(Kind.SPLIT), actions(Kind.DIVIDEND)):
        before = sorted(at for at in decided if at < action.at)
        assert before[-1] not in kept
        assert before[-2] not in kept
        assert not any(at < action.at <= item.outcome.open_known_at for at, item in kept.items())
    assert all(abs(item.outcome.close_return) < 0.3 for item in session_experiences)


def test_a_call_that_a_person_kept_from_being_traded_is_taught_as_what_it_would_have_come_to(eventful):
    _, session_experiences = eventful
    paused = [item for item in session_experiences if day(7, hours=3) < item.key[1] <= day(8, hours=3)]
    assert paused
    assert all(
        abs(simulate_step(item.call, item.outcome, item.trade_context).net_return) < 1 for item in paused
    )


def test_a_session_is_read_as_it_stood_at_an_instant(eventful):
    folder, session_experiences = eventful
    then = read_source(folder, NAME, day(12)).experiences
    assert then == [item for item in session_experiences if item.known_at < day(12)]
    assert 8 < len(then) < len(session_experiences)


def test_a_session_without_one_known_outcome_is_refused(eventful):
    folder, _ = eventful
    with pytest.raises(UsageError, match="has no forecast with a known outcome"):
        read_source(folder, NAME, day(1))


def test_live_opens_are_the_prices_that_were_met_and_not_the_official_ones():
    prices = [(100 + number % 3, 100 + (number * 7) % 5) for number in range(14)]
    bars = {"AAA": coin("AAA", *prices)}
    costs = {"AAA": Costs(fee_bps=10, slippage_bps=5, latency_bps=0, borrow_rate=0.1)}
    sizing = PositionSizing(risk_aversion=25, cap=0.95, shortable=frozenset())
    instruments = {"AAA": instrument("AAA")}
    observed = build_observations(bars, [], window=6, start=MONDAY - DAY)
    calls = {
        (item.symbol, item.as_of): Forecast(
            symbol=item.symbol,
            as_of=item.as_of,
            direction=Direction.UP,
            confidence=0.5 + place % 3 * 0.02,
            close=item.last_close,
            last_close=item.last_close,
        )
        for place, item in enumerate(observed)
    }
    history = RunHistory()

    def met():
        for slice_ in build_slices(bars["AAA"], []):
            seen = slice_
            if slice_.phase is Phase.OPEN:
                seen = replace(slice_, bars={symbol: dearer(bar) for symbol, bar in slice_.bars.items()})
            history.add_slice(seen)
            yield seen

    run(
        met(),
        strategy=LLMStrategy,
        settings={
            "calls": calls,
            "volatilities": {(item.symbol, item.as_of): volatility(item.bars) for item in observed},
            "sizing": sizing,
            "bet_sizing": BetSizing.CONFIDENCE,
        },
        instruments=instruments,
        costs=costs,
        calendars=CALENDARS,
        cash=100_000.0,
        on_record=history.add_record,
    )
    session_experiences = reconstruct_experiences(
        history,
        calls,
        instruments=instruments,
        calendars=CALENDARS,
        costs=costs,
        sizing=sizing,
        rates=None,
        window=6,
    )
    assert len(session_experiences) > 4
    official = {bar.opens_at: bar.open for bar in bars["AAA"]}
    for item in session_experiences:
        assert item.outcome.fill_open == pytest.approx(official[item.trade_context.fill_at] * 1.002)


@pytest.mark.parametrize("reason", ["", "flatten"])
def test_an_order_to_flatten_is_not_the_calls_though_given_at_its_close(reason):
    history, (bar, *_) = RunHistory(), FACTS.bars[COINS[0]]
    history.add_slice(Slice(as_of=bar.closes_at, phase=Phase.CLOSE, bars={bar.symbol: bar}, news=()))
    order = OrderRecord(
        number=1,
        at=bar.closes_at,
        decided_at=bar.closes_at,
        due_at=bar.closes_at,
        symbol=bar.symbol,
        size=-1.0,
        status=OrderStatus.FILLED,
        reason=reason,
    )
    history.add_record(order)
    assert history.forced == ({(bar.symbol, bar.closes_at)} if reason else set())


def dearer(bar):
    price = bar.open * 1.002
    return replace(bar, open=price, high=price, low=price, close=price)


def test_one_round_of_retraining_takes_a_sessions_name(eventful, tmp_path):
    from tests.support.walks import Doubles
    from training.retraining.retrain import retrain

    folder, session_experiences = eventful
    doubles = Doubles(CONFIG)
    report = retrain(
        WalkForwardConfig(method=Method.SFT, train_days=17, test_days=5, held_out=0.4),
        data_dir=tmp_path,
        at=session_experiences[-1].known_at + timedelta(days=1),
        run=NAME,
        recorded_in=folder,
        load=doubles.load,
        trainers=doubles.trainers(),
    )
    (training, _), *_ = doubles.sets
    assert report["run"] == NAME
    assert report["trained"]["trained_on"] == len(training.items) > 8
    assert {item.key[0] for item in training.items} <= {*COINS, STOCK}
