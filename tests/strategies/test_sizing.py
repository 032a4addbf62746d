from datetime import UTC, datetime, timedelta
from statistics import stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import Bar, Direction, Forecast
from strategies.sizing import PositionSizing, volatility


def forecast(direction, confidence):
    return Forecast(
        symbol="A",
        as_of=datetime(2024, 1, 1, tzinfo=UTC),
        direction=direction,
        confidence=confidence,
        close=100.0,
        last_close=100.0,
    )


RULE = PositionSizing(risk_aversion=25, cap=0.5, shortable=frozenset({"A"}))


def test_the_weight_maximises_expected_return_less_the_charge_for_risk():
    sigma, p = 0.03, 0.6
    expected = (2 * p - 1) * sigma * (2 / 3.141592653589793) ** 0.5

    def worth(w):
        return w * expected - 0.5 * RULE.risk_aversion * w**2 * sigma**2

    w = RULE.weight(forecast(Direction.UP, p), sigma)
    assert w < RULE.cap
    assert worth(w) > max(worth(w * 0.99), worth(w * 1.01))


def test_a_coin_flip_is_worth_no_position():
    assert RULE.weight(forecast(Direction.UP, 0.5), 0.02) == 0


@given(st.sampled_from(Direction), st.floats(0.5, 1), st.floats(0, 1))
def test_no_weight_exceeds_the_cap_and_the_sign_is_the_direction_s(direction, confidence, sigma):
    weight = RULE.weight(forecast(direction, confidence), sigma)
    assert abs(weight) <= RULE.cap
    assert weight * direction.sign >= 0


@given(st.sampled_from(Direction), st.floats(0.5, 1), st.floats(0, 1))
def test_without_shorting_no_weight_is_negative(direction, confidence, sigma):
    rule = PositionSizing(risk_aversion=25, cap=0.5)
    assert rule.weight(forecast(direction, confidence), sigma) >= 0
    assert rule.full(forecast(direction, confidence)) in (0.0, 0.5)


def test_volatility_is_the_sample_deviation_of_log_returns():
    closes = [100.0, 110.0, 99.0, 101.0]
    start = datetime(2024, 1, 1, tzinfo=UTC)
    bars = [
        Bar(
            symbol="A",
            opens_at=start + timedelta(days=n),
            closes_at=start + timedelta(days=n + 1),
            open=close,
            high=close,
            low=close,
            close=close,
            volume=0,
        )
        for n, close in enumerate(closes)
    ]
    from math import log

    assert volatility(bars) == pytest.approx(stdev([log(1.1), log(0.9), log(101 / 99)]))
