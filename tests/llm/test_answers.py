from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import Abstention, Direction, Forecast
from llm.answers import format_answer, parse_answer_text

AS_OF = datetime(2024, 1, 1, tzinfo=UTC)


def parse_text(text, last_close=50.0):
    return parse_answer_text(text, "BTC", AS_OF, last_close)


def test_a_canonical_answer_is_read_in_the_prices_of_the_market():
    call = parse_text(format_answer(Direction.UP, 0.734, 101.5))
    assert isinstance(call, Forecast)
    assert (call.direction, call.confidence) == (Direction.UP, 0.73)
    assert call.close == pytest.approx(50.75)


def test_a_close_equal_to_the_last_one_is_neutral_and_exact():
    call = parse_text(format_answer(Direction.DOWN, 0.5, 100.0), last_close=0.1 + 0.2)
    assert isinstance(call, Forecast)
    assert call.close == 0.1 + 0.2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ("up", "not JSON"),
        ('{"direction": "up", "confidence": 0.7, "close": 101.00} and more', "not JSON"),
        ('{"direction": "up", "confidence": NaN, "close": 101.00}', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1, 2, 3]", "keys"),
        ('{"direction": "up", "confidence": 0.7}', "keys"),
        ('{"confidence": 0.7, "direction": "up", "close": 101}', "keys"),
        ('{"direction": "up", "direction": "up", "confidence": 0.7, "close": 101}', "keys"),
        ('{"direction": "flat", "confidence": 0.7, "close": 101}', "neither up nor down"),
        ('{"direction": ["up"], "confidence": 0.7, "close": 101}', "neither up nor down"),
        ('{"direction": "up", "confidence": 0.49, "close": 101}', "confidence"),
        ('{"direction": "up", "confidence": 1.01, "close": 101}', "confidence"),
        ('{"direction": "up", "confidence": true, "close": 101}', "confidence"),
        ('{"direction": "up", "confidence": "0.7", "close": 101}', "confidence"),
        ('{"direction": "up", "confidence": 0.7, "close": 0}', "out of range"),
        ('{"direction": "up", "confidence": 0.7, "close": 1e999}', "out of range"),
        ('{"direction": "up", "confidence": 0.7, "close": ' + "9" * 400 + "}", "out of range"),
        ('{"direction": "up", "confidence": 0.7, "close": 99.99}', "contradicts"),
        ('{"direction": "down", "confidence": 0.7, "close": 100.01}', "contradicts"),
    ],
)
def test_anything_else_is_an_abstention_with_its_reason(text, reason):
    call = parse_text(text)
    assert isinstance(call, Abstention)
    assert reason in call.reason
    assert call.text == text


@given(st.text() | st.from_regex(r'\{"direction": "(up|down)", "confidence": .{0,6}, "close": .{0,8}\}'))
def test_no_text_whatever_raises(text):
    assert isinstance(parse_text(text), Forecast | Abstention)


@given(
    st.sampled_from(Direction),
    st.floats(0, 2),
    st.floats(100, 900),
    st.floats(min_value=1e-6, max_value=1e9),
)
def test_every_written_answer_can_be_read_back(direction, confidence, far, last_close):
    close = far if direction is Direction.UP else 100 - (far - 100) / 10
    call = parse_answer_text(format_answer(direction, confidence, close), "BTC", AS_OF, last_close)
    assert isinstance(call, Forecast)
    assert call.direction is direction
