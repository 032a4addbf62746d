"""What is done with a model's distribution, mode by mode: choose tokens, or read probabilities.

A program serves one prompt. It is given the logits of its choices after the tokens that it returned before,
and returns the tokens to append, or None when its answer is complete. It knows no model and no batch.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from llm.answers import add_probability, format_answer
from llm.decoding.answer_tree import AnswerTree, Node
from llm.prompts import BASE

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[tuple[int], np.dtype[np.floating]]

_END = "</think>"
_END_TOKENS = 8
"""How many tokens at the end of a thought are searched for its end, where it is written in several."""


class Program(Protocol):
    """The way to one answer."""

    @property
    def start(self) -> tuple[int, ...]:
        """Return the tokens that follow the prompt."""

    @property
    def choices(self) -> Sequence[int] | None:
        """Return the tokens whose logits it wants; None wants those of the whole vocabulary."""

    def advance(self, logits: Floats) -> tuple[int, ...] | None:
        """Return the tokens to append, given the logits of its choices, in their order."""

    @property
    def answer(self) -> str:
        """Return the answer, once `advance` has returned None."""


class JsonProgram:
    """The most probable answer of the grammar, or a drawn one; only tokens that are a choice are taken."""

    def __init__(self, tree: AnswerTree, draw: Draw | None = None) -> None:
        self._tree = tree
        self._draw = draw
        self._node = tree.start.node
        self._probability: float | None = None
        self.start = tree.start.tokens

    @property
    def choices(self) -> tuple[int, ...]:
        """The tokens that the grammar allows next."""
        return self._node.choices

    def advance(self, logits: Floats) -> tuple[int, ...] | None:
        """Choose one token, and return it with what is forced after it."""
        if self._probability is None:
            self._probability = probability_up(self._tree, self.choices, logits)
        place = int(logits.argmax()) if self._draw is None else self._draw.take(logits)
        step = self._tree.advance(self._node.text, self.choices[place])
        self._node = step.node
        return step.tokens if step.node.choices else None

    @property
    def answer(self) -> str:
        """Return the answer with the probability of up."""
        return add_probability(self._node.text, self._probability)


class ReadoutProgram:
    """Probability and close from the distribution of an answer's tokens.

    The probability of up is that of the direction's tokens. The close is the expectation over its digit
    before the decimal point, for a move of less than 10%, and over the first digit after it, given the most
    probable one before.
    """

    def __init__(self, tree: AnswerTree) -> None:
        self._tree = tree
        self._node = tree.start.node
        self._up: float | None = None
        self._whole = 0.0
        self._close = BASE
        self.start = tree.start.tokens

    @property
    def choices(self) -> tuple[int, ...]:
        """The tokens that the grammar allows next."""
        return self._node.choices

    def advance(self, logits: Floats) -> tuple[int, ...] | None:
        """Read one distribution, and return the tokens that lead to the next."""
        choices = self.choices
        if self._up is None:
            self._up = probability_up(self._tree, choices, logits)
            direction = "up" if self._up >= 0.5 else "down"
            token = next(token for token in choices if self._tree.token_text(token) == direction)
            return self._follow(token)
        probabilities = softmax(logits).tolist()
        numbers = [_close(self._node.text + self._tree.token_text(token)) for token in choices]
        if "." not in _close(self._node.text):
            self._whole = _expectation(numbers, probabilities)
            return self._follow(choices[int(logits.argmax())])
        tenths = _expectation([number.partition(".")[2] for number in numbers], probabilities)
        self._close = self._whole + (tenths + 0.5) / 10
        return None

    @property
    def answer(self) -> str:
        """Return the answer, with the probability of up as its confidence too."""
        up = self._up or 0.0
        direction, confidence = ("up", up) if up >= 0.5 else ("down", 1.0 - up)
        close = max(BASE, self._close) if direction == "up" else min(BASE, self._close)
        return add_probability(format_answer(direction, confidence, close), up)

    def _follow(self, token: int) -> tuple[int, ...]:
        """Return a token and all up to the next digit of the close."""
        step = self._tree.advance(self._node.text, token)
        tokens = step.tokens
        while _is_confidence(step.node):
            step = self._tree.advance(step.node.text, self._confidence_token(step.node))
            tokens += step.tokens
        self._node = step.node
        return tokens

    def _confidence_token(self, node: Node) -> int:
        """Return the token that writes the probability as the answer's confidence."""
        up = self._up or 0.0
        wanted = f"{min(0.99, max(up, 1.0 - up)):.2f}"
        written = node.text.rpartition(" ")[2]
        rest = wanted[len(written) :]
        texts = {self._tree.token_text(token): token for token in node.choices}
        return texts[max((text for text in texts if rest.startswith(text)), key=len)]


def _is_confidence(node: Node) -> bool:
    return '"close"' not in node.text


def _close(text: str) -> str:
    """Return what is written of the close."""
    return text.rpartition(" ")[2]


def _expectation(numbers: Sequence[str], probabilities: Sequence[float]) -> float:
    """Return the mean of numbers, the beginnings of longer ones standing for their middle."""
    size = max(map(len, numbers))
    middles = [float(number + "44"[: size - len(number)] or 0) for number in numbers]
    return sum(m * p for m, p in zip(middles, probabilities, strict=True))


class ThinkProgram:
    """Free reasoning up to a budget of tokens, then the answer of another program."""

    def __init__(
        self,
        then: Program,
        *,
        opening: tuple[int, ...],
        closing: tuple[int, ...],
        ends: frozenset[int],
        barred: Sequence[int],
        budget: int,
        decode: Callable[[Sequence[int]], str],
        draw: Draw | None = None,
    ) -> None:
        self._then = then
        self._closing = closing
        self._ends = ends
        self._barred = list(barred)
        self._budget = budget
        self._decode = decode
        self._draw = draw
        self._thought: list[int] = []
        self._closed = False
        self.start = opening

    @property
    def choices(self) -> Sequence[int] | None:
        """All tokens while it thinks, then those of the answer."""
        return self._then.choices if self._closed else None

    def advance(self, logits: Floats) -> tuple[int, ...] | None:
        """Choose the next token of the thought, or go on with the answer."""
        if self._closed:
            return self._then.advance(logits)
        allowed = logits.copy()
        allowed[self._barred] = -math.inf
        token = int(allowed.argmax()) if self._draw is None else self._draw.take(allowed)
        if token not in self._ends:
            self._thought.append(token)
            if len(self._thought) < self._budget and _END not in self._decode(self._thought[-_END_TOKENS:]):
                return (token,)
        self._closed = True
        last = () if token in self._ends else (token,)
        return (*last, *self._closing, *self._then.start)

    @property
    def answer(self) -> str:
        """Return the thought between its tags, and the answer."""
        thought = self._decode(self._thought).partition(_END)[0].strip()
        return f"<think>\n{thought}\n{_END}\n\n{self._then.answer}"


class Draw:
    """A random choice among logits that depends on the prompt, the number of the draw and a seed alone."""

    def __init__(self, prompt: str, number: int, seed: int) -> None:
        import random

        digest = hashlib.sha256(f"{seed}\n{number}\n{prompt}".encode()).digest()
        self._random = random.Random(digest)  # noqa: S311  # repeatable draws, no secrets

    def take(self, logits: Floats) -> int:
        """Return the place of one of the logits, drawn with its probability."""
        point = self._random.random()
        total = softmax(logits).cumsum()
        return min(int((total <= point).sum()), len(total) - 1)


def softmax(logits: Floats) -> Floats:
    """Return the probabilities of logits, shape as theirs."""
    import numpy as np

    powers = np.exp(logits.astype(np.float64) - logits.max())
    probabilities: Floats = powers / powers.sum()
    return probabilities


def probability_up(tree: AnswerTree, choices: Sequence[int], logits: Floats) -> float:
    """Return the probability of "up" among the tokens with which a direction may begin."""
    of_up = [place for place, token in enumerate(choices) if tree.token_text(token).startswith("u")]
    return float(softmax(logits)[of_up].sum())
