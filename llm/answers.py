"""Answers of the student: one JSON object, its grammar, and parsing it or abstaining with a reason.

Before the object there may be reasoning within `<think>` and `</think>`. A decoder that sees the
probabilities of tokens adds a fourth key, `probability_up`. Knows neither model nor prompt. Anything that
cannot be read strictly is an `Abstention`.
"""

import json
import math
import re
from collections.abc import Sequence
from datetime import datetime
from statistics import fmean, median

from engine.model import Abstention, Direction, Forecast, Observation, Prediction
from llm.prompts import BASE

GRAMMAR = r"""
root ::= "{\"direction\": \"" ("up" stated above | "down" stated below) "}"
stated ::= "\", \"confidence\": " confidence ", \"close\": "
confidence ::= "0." [5-9] [0-9] | "1.00"
above ::= [1-9] [0-9] [0-9] "." [0-9] [0-9]
below ::= [1-9] [0-9] "." [0-9] [0-9] | "100.00"
"""
"""The output format as an EBNF grammar of xgrammar: key order, digits, ranges, and no contradiction."""

READOUT_GRAMMAR = GRAMMAR.replace('[1-9] [0-9] [0-9] "."', '"10" [0-9] "."').replace(
    '[1-9] [0-9] "." [0-9] [0-9] | "100.00"', '"9" [0-9] "." [0-9] [0-9]'
)
"""The same for a close that is read off: within 10% of the last, so one digit is open before the point."""

_KEYS = ("direction", "confidence", "close")
_TOKEN_KEYS = (*_KEYS, "probability_up")
_THINK, _END_OF_THOUGHT = "<think>", "</think>"
_TOKEN_PROBABILITY = re.compile(r', "probability_up": [0-9.]+\}$')
_LOWEST, _HIGHEST = 10.0, 1000.0


def format_answer(direction: Direction | str, confidence: float, close: float) -> str:
    """Return the canonical answer; `confidence` is rounded to 0.01, `close` (rebased to 100) to 0.01.

    Example:
        >>> import closecall as cc
        >>> cc.format_answer("up", confidence=0.6, close=100.5)
        '{"direction": "up", "confidence": 0.60, "close": 100.50}'
    """
    stated = min(1.0, max(0.5, confidence))
    return f'{{"direction": "{direction}", "confidence": {stated:.2f}, "close": {close:.2f}}}'


def add_probability(text: str, probability_up: float | None) -> str:
    """Return an answer with the probability of the token "up", rounded to 0.0001, as a fourth key."""
    return (
        text
        if probability_up is None
        else f'{text.removesuffix("}")}, "probability_up": {probability_up:.4f}}}'
    )


def remove_probability(text: str) -> str:
    """Return an answer without the probability that `add_probability` put there."""
    return _TOKEN_PROBABILITY.sub("}", text)


def median_answer(texts: Sequence[str]) -> str:
    """Return the median of several answers: of the probability of up, and of the close on its side.

    The reasoning is that of the answer whose probability is nearest to the median. Answers are those of
    `llm.decoding`, which are always complete.
    """
    if len(texts) == 1:
        return texts[0]
    split = [split_reasoning(text) for text in texts]
    answers = [json.loads(answer) for _, answer in split]
    ups = [a["confidence"] if a["direction"] == "up" else 1.0 - a["confidence"] for a in answers]
    up = median(ups)
    closes = median(answer["close"] for answer in answers)
    direction, close = ("up", max(BASE, closes)) if up >= 0.5 else ("down", min(BASE, closes))
    whole = add_probability(
        format_answer(direction, max(up, 1.0 - up), close),
        fmean(answer["probability_up"] for answer in answers),
    )
    thought = split[min(range(len(ups)), key=lambda place: abs(ups[place] - up))][0]
    return f"{_THINK}\n{thought}\n{_END_OF_THOUGHT}\n\n{whole}" if thought else whole


def split_reasoning(text: str) -> tuple[str, str]:
    """Return the reasoning before an answer, empty where there is none, and the answer.

    Reasoning that does not end is all of the text, and the answer is empty.
    """
    if not text.lstrip().startswith(_THINK):
        return "", text
    reasoning, _, answer = text.partition(_END_OF_THOUGHT)
    return reasoning.lstrip().removeprefix(_THINK).strip(), answer


def parse_answer(text: str, observation: Observation) -> Prediction:
    """Return the forecast in `text`, in the observation's prices, or an abstention with its reason."""
    return parse_answer_text(text, observation.symbol, observation.as_of, observation.last_close)


def parse_answer_text(text: str, symbol: str, as_of: datetime, last_close: float) -> Prediction:
    """Do as `parse_answer`, for a symbol, an instant and a last close in the quote currency."""

    def abstain(reason: str) -> Abstention:
        return Abstention(symbol=symbol, as_of=as_of, reason=reason, last_close=last_close, text=text)

    try:
        pairs = json.loads(split_reasoning(text)[1], object_pairs_hook=list, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return abstain("not JSON")
    if not _is_answer(pairs):
        return abstain("not the three keys direction, confidence, close")
    direction, confidence, close, *token = (value for _, value in pairs)
    if direction not in ("up", "down"):
        return abstain("direction is neither up nor down")
    if not (_is_number(confidence) and 0.5 <= confidence <= 1.0):
        return abstain("confidence is not within 0.50 to 1.00")
    if not (_is_number(close) and _LOWEST <= close < _HIGHEST):
        return abstain("close is out of range")
    if (close - BASE) * Direction(direction).sign < 0:
        return abstain("close contradicts direction")
    if not all(_is_number(probability) and 0.0 <= probability <= 1.0 for probability in token):
        return abstain("probability_up is not within 0 to 1")
    price = last_close if close == BASE else last_close * (close / BASE)
    if not (math.isfinite(price) and price > 0):
        return abstain("close is out of range")
    return Forecast(
        symbol=symbol,
        as_of=as_of,
        direction=Direction(direction),
        confidence=float(confidence),
        close=price,
        last_close=last_close,
        token_probability_up=float(token[0]) if token else None,
        text=text,
    )


def _refuse_constant(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON number")


def _is_answer(pairs: object) -> bool:
    return isinstance(pairs, Sequence) and tuple(map(_parse_pair, pairs)) in (_KEYS, _TOKEN_KEYS)


def _parse_pair(pair: object) -> object:
    return pair[0] if isinstance(pair, tuple) and len(pair) == 2 else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
