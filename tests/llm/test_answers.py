import json
import random
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import Abstention, Direction, Forecast
from llm.answers import format_answer, parse_answer_text, split_reasoning

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
        ('{"direction": "up", "confidence": 0.7, "close": 101, "probability_up": 1.01}', "probability_up"),
        ('{"direction": "up", "confidence": 0.7, "close": 101, "probability_up": null}', "probability_up"),
        ('{"direction": "up", "confidence": 0.7, "close": 101, "probability_up": 0.6, "n": 1}', "keys"),
        ('{"direction": "up", "confidence": 0.7, "close": 101, "n": 1}', "keys"),
        ("<think>It will rise.", "not JSON"),
        ("<think>It will rise.</think>", "not JSON"),
        ('<think></think></think>{"direction": "up", "confidence": 0.7, "close": 101}', "not JSON"),
        ('So: <think>up</think>{"direction": "up", "confidence": 0.7, "close": 101}', "not JSON"),
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


def test_the_token_probability_is_kept_beside_the_stated_one():
    call = parse_text('{"direction": "up", "confidence": 0.60, "close": 100.50, "probability_up": 0.7123}')
    assert isinstance(call, Forecast)
    assert (call.probability_up, call.token_probability_up) == (0.6, 0.7123)
    assert parse_text(format_answer("up", 0.6, 100.5)).token_probability_up is None


def test_reasoning_before_the_answer_is_not_part_of_it():
    answer = format_answer("down", 0.6, 99.5)
    text = f"\n<think>\nNot {format_answer('up', 0.9, 105)}\n</think>\n\n{answer}"
    call = parse_text(text)
    assert isinstance(call, Forecast)
    assert (call.direction, call.text) == (Direction.DOWN, text)
    assert split_reasoning(text) == (f"Not {format_answer('up', 0.9, 105)}", f"\n\n{answer}")
    assert split_reasoning("<think>no end") == ("no end", "")


NUMBER = r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?"
VALID = re.compile(
    r'\s*(?:<think>.*?</think>)?\s*\{\s*"direction"\s*:\s*"(up|down)"\s*,\s*"confidence"\s*:\s*'
    rf'({NUMBER})\s*,\s*"close"\s*:\s*({NUMBER})\s*(?:,\s*"probability_up"\s*:\s*({NUMBER})\s*)?\}}\s*',
    re.DOTALL,
)
PIECES = (
    *(
        '{"',
        '"}',
        '": ',
        ", ",
        '"',
        "{",
        "}",
        "[",
        "]",
        "<think>",
        "</think>",
        "\n",
        " ",
        "\\",
        "\x00",
        "\ufeff",
    ),
    *(
        "up",
        "down",
        "direction",
        "confidence",
        "close",
        "probability_up",
        "NaN",
        "-",
        "1e3",
        "0",
        "9",
        ".",
        "true",
    ),
    *("null", "０", "\u202e", "<|im_end|>", "/* */", "'", "Infinity", "0.5", "100", "99.99", "1.00", "٣"),
)


def mutate(random_, text):
    """One or two edits: a piece put in, a stretch cut out or repeated, numbers changed, the end cut off."""
    for _ in range(random_.randint(1, 2)):
        at, length = random_.randint(0, len(text)), random_.randint(0, 12)
        match random_.randrange(5):
            case 0:
                text = text[:at] + random_.choice(PIECES) + text[at:]
            case 1:
                text = text[:at] + text[at + length :]
            case 2:
                text = text[: at + length] + text[at:]
            case 3:
                number = random_.choice(
                    ("0.49", "1.5", "-0.7", "1e400", "99.99", "100.00", "1e2", "0.7", "00.7")
                )
                text = re.sub(r"\d+\.\d+", number, text, count=random_.randint(1, 3))
            case 4:
                text = text[:at]
    return text


def test_of_ten_thousand_random_outputs_nothing_invalid_passes():
    random_, passed = random.Random(15), 0
    for _ in range(10_000):
        up = random_.random() < 0.5
        answer = format_answer(
            "up" if up else "down", random_.uniform(0.5, 1), 100 + (up - 0.5) * random_.random()
        )
        if random_.random() < 0.4:
            answer = answer.replace("}", f', "probability_up": {random_.random():.4f}}}')
        if random_.random() < 0.3:
            answer = f"<think>\nThe news is {random_.choice(PIECES)}.\n</think>\n{answer}"
        text = mutate(random_, answer)
        call = parse_text(text)
        if isinstance(call, Abstention):
            assert (call.reason, call.text) == (call.reason or None, text)
            continue
        passed += 1
        (direction, *numbers) = VALID.fullmatch(text).groups()
        confidence, close, token = (None if each is None else json.loads(each) for each in numbers)
        assert 0.5 <= confidence <= 1
        assert 10 <= close < 1000
        assert close == 100 or (close > 100) == (direction == "up")
        assert token is None or 0 <= token <= 1
        assert (call.direction, call.confidence, call.token_probability_up) == (direction, confidence, token)
    assert 300 < passed < 5_000
