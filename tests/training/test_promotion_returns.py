"""What the gate holds the two students' earnings to is what the engine would have paid them."""

import math
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from engine.instruments import Costs
from engine.model import Abstention, Direction, Forecast
from strategies.backtest import backtest
from strategies.config_file import load_config
from tests.support.experiences_by_hand import build_all_experiences, make_facts
from tests.support.students import RuleStudent
from training.dataset.loaders import load_run_experiences
from training.promotion.evidence import compute_net_returns

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def make_forecast(item, way, confidence=0.6):
    symbol, as_of = item.key
    last = item.observation.last_close
    return Forecast(
        symbol=symbol, as_of=as_of, direction=way, confidence=confidence, close=last, last_close=last
    )


def silent(item):
    symbol, as_of = item.key
    return Abstention(symbol=symbol, as_of=as_of, reason="late", last_close=item.observation.last_close)


def test_a_traded_students_return_is_the_mean_of_the_days_of_the_engines_own_steps(tmp_path):
    config = load_config(
        None, {"market": {"coins": 3, "stocks": 0, "days": 60}, "allow_short": True, "prompt": "compact"}
    )
    run = backtest(config, data_dir=tmp_path, clock=lambda: NOW, student=RuleStudent())
    experience = load_run_experiences(tmp_path, run.name)
    steps = {(step.symbol, step.started_at): step for step in run.simulations["student"].engine.steps}
    earned = [steps.get((item.observation.symbol, item.trade_context.fill_at)) for item in experience]
    assert sum(step is not None for step in earned) > 50
    days = {item.observation.as_of for item in experience}
    wanted = math.fsum(step.net_return for step in earned if step) / len(days)
    calls = [item.call for item in experience]
    assert compute_net_returns(calls, calls, experience) == pytest.approx((wanted, wanted), abs=1e-9)


def test_a_side_that_keeps_what_it_holds_pays_for_the_change_only():
    days = build_all_experiences(make_facts())
    calm = [make_forecast(item, Direction.UP) for item in days]
    restless = [make_forecast(item, (Direction.UP, Direction.DOWN)[n % 2]) for n, item in enumerate(days)]
    steady, restless_return = compute_net_returns(calm, restless, days)
    free = [_without_cost(item) for item in days]
    free_steady, free_restless = compute_net_returns(calm, restless, free)
    assert 0 < free_steady - steady < (free_restless - restless_return) / 3


def _without_cost(item):
    free = Costs(fee_bps=0, slippage_bps=0, latency_bps=0, borrow_rate=0)
    return replace(item, trade_context=replace(item.trade_context, costs=free))


def test_silence_earns_nothing_and_no_experience_is_no_figure():
    days = build_all_experiences(make_facts())
    calls = [silent(item) for item in days]
    assert compute_net_returns(calls, calls, days) == (0.0, 0.0)
    assert compute_net_returns(calls, calls, []) is None
