"""How a server is asked for the format of answers: each server has its own parameter.

Uses no network. The formats are in the order in which they are tried, the strictest first. A server may
ignore what it does not know, so the format of an answer is checked.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from llm.answers import GRAMMAR

_TAIL = r'", "confidence": (0\.[5-9][0-9]|1\.00), "close": '
ANSWER_REGEX = (
    rf'\{{"direction": "(up{_TAIL}[1-9][0-9][0-9]\.[0-9][0-9]|down{_TAIL}([1-9][0-9]\.[0-9][0-9]|100\.00))\}}'
)
"""The language of `llm.answers.GRAMMAR` as a regular expression."""

_KEYS = ["direction", "confidence", "close"]


def _side(direction: str, lowest: float, highest: float) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "direction": {"const": direction},
            "confidence": {"enum": [percent / 100 for percent in range(50, 101)]},
            "close": {"type": "number", "minimum": lowest, "maximum": highest},
        },
        "required": _KEYS,
        "additionalProperties": False,
    }


ANSWER_SCHEMA: Mapping[str, Any] = {"anyOf": [_side("up", 100, 999.99), _side("down", 10, 100)]}
"""The same as a JSON schema; some servers ignore its ranges of numbers, so that answers may contradict."""


def _follows_regex(text: str) -> bool:
    return re.fullmatch(ANSWER_REGEX, text.strip()) is not None


def _follows_schema(text: str) -> bool:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(answer, dict) and list(answer) == _KEYS and answer["direction"] in ("up", "down")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFormat:
    """One way to ask for the format.

    Attributes:
        name: The parameter that asks for it; "none" leaves the format to the model.
        body: What the request has in addition.
        owner: The `owned_by` of the models of servers that are known to take it.
        follows: Whether a text has the format, which shows whether a server knows the parameter.
    """

    name: str
    body: Mapping[str, Any]
    owner: str = ""
    follows: Callable[[str], bool] = _follows_regex


# A model that thinks first would use up the tokens of its answer.
_NO_THINKING = {"chat_template_kwargs": {"enable_thinking": False}}
# vLLM and SGLang take penalties from the model's generation_config.json.
_NO_PENALTY = {"repetition_penalty": 1.0}
_SCHEMA = {
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "forecast", "strict": True, "schema": ANSWER_SCHEMA},
    }
}

FORMATS = (
    OutputFormat(
        name="structured_outputs",
        body={"structured_outputs": {"regex": ANSWER_REGEX}, **_NO_THINKING, **_NO_PENALTY},
        owner="vllm",
    ),
    OutputFormat(name="regex", body={"regex": ANSWER_REGEX, **_NO_THINKING, **_NO_PENALTY}, owner="sglang"),
    OutputFormat(name="grammar", body={"grammar": GRAMMAR, **_NO_THINKING}, owner="llamacpp"),
    OutputFormat(
        name="guided_regex",  # vLLM before 0.12
        body={"guided_regex": ANSWER_REGEX, **_NO_THINKING, **_NO_PENALTY},
    ),
    OutputFormat(
        name="json_schema",  # Ollama, which takes "none" for a model that thinks, and LM Studio
        body={**_SCHEMA, **_NO_THINKING, "reasoning_effort": "none"},
        owner="library",
        follows=_follows_schema,
    ),
    OutputFormat(name="json_schema", body=_SCHEMA, follows=_follows_schema),
    OutputFormat(name="none", body=_NO_THINKING, follows=lambda _text: True),
    OutputFormat(name="none", body={}, follows=lambda _text: True),
)
"""In the order in which they are tried; one that suits the owner of the server's models goes first."""


def order_formats(owner: str) -> list[OutputFormat]:
    """Return the formats in the order in which to try them on a server whose models have this owner."""
    return sorted(FORMATS, key=lambda output_format: not owner or output_format.owner != owner)


class _Alternative(BaseModel):
    token: str
    logprob: float


class _Token(_Alternative):
    top_logprobs: Sequence[_Alternative] = ()


class _Logprobs(BaseModel):
    content: Sequence[_Token]


def read_probability_up(text: str, logprobs: object) -> float | None:
    """Return the probability of "up" against "down" at the direction of an answer, to 4 decimals.

    Args:
        text: The answer.
        logprobs: What the server states of its tokens, as the OpenAI interface has it.

    Returns:
        None where the server states none, or so few alternatives that the probability remains open.
    """
    try:
        tokens = _Logprobs.model_validate(logprobs).content
    except ValidationError:
        return None  # servers have other forms of it, and an answer does not need it
    found = re.search(r'"direction":\s*"', text)
    start = "".join(token.token for token in tokens).rfind(text)
    if found is None or start < 0:
        return None
    place = start + found.end()
    for token in tokens:
        if place < len(token.token):
            return _compare_directions(token, token.token[:place])
        place -= len(token.token)
    return None


def _compare_directions(chosen: _Token, prefix: str) -> float | None:
    """Return the probability at the token in which the direction begins, after `prefix`."""
    logprobs = {item.token: item.logprob for item in (chosen, *chosen.top_logprobs)}
    if not all(logprob <= 0.01 for logprob in logprobs.values()):  # NaN too
        return None
    listed = {token: math.exp(logprob) for token, logprob in logprobs.items()}
    up, down = (
        sum(
            probability
            for token, probability in listed.items()
            if token.startswith(prefix) and token != prefix and _agrees(token[len(prefix) :], word)
        )
        for word in ("up", "down")
    )
    # No token that is not listed has more than the least of the most probable.
    unlisted = min(
        [max(0.0, 1 - sum(listed.values())), *(listed[item.token] for item in chosen.top_logprobs)]
    )
    lowest = up / (up + (down or unlisted)) if up else 0.0
    highest = (up or unlisted) / ((up or unlisted) + down)
    return round(lowest, 4) if up + down > 0 and round(lowest, 4) == round(highest, 4) else None


def _agrees(rest: str, word: str) -> bool:
    return word.startswith(rest) or rest.startswith(word)
