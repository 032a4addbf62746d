from datetime import UTC, datetime

import pytest

from engine.model import Abstention, Direction, Forecast
from training.grpo.advantages import compute_direction_anchors

AT = datetime(2024, 1, 1, tzinfo=UTC)
WAYS = [Direction.UP, Direction.DOWN, Direction.UP]


def make_forecast(direction: Direction, confidence: float) -> Forecast:
    return Forecast(
        symbol="AAA", as_of=AT, direction=direction, confidence=confidence, close=100.0, last_close=100.0
    )


def test_only_the_direction_that_was_taken_before_is_held() -> None:
    assert compute_direction_anchors([make_forecast(Direction.UP, 0.5)], WAYS, 2.0) == [[2.0, 0.0, 2.0]]
    assert compute_direction_anchors([make_forecast(Direction.DOWN, 0.5)], WAYS, 2.0) == [[0.0, 2.0, 0.0]]


def test_the_surer_the_student_was_the_less_it_is_held() -> None:
    strengths = [
        compute_direction_anchors([make_forecast(Direction.DOWN, sure)], WAYS, 1.0)[0][1]
        for sure in (0.5, 0.6, 0.9, 1.0)
    ]
    assert strengths == pytest.approx([1.0, 0.96, 0.36, 0.0])


def test_an_abstention_holds_nothing() -> None:
    silent = Abstention(symbol="AAA", as_of=AT, reason="not JSON", last_close=100.0)
    assert compute_direction_anchors([silent], WAYS, 1.0) == [[0.0, 0.0, 0.0]]
