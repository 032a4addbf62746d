"""The modes by name: which program takes an answer from a model, and what it needs of the tokenizer."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from llm.answers import GRAMMAR, READOUT_GRAMMAR
from llm.decoding.answer_tree import AnswerTree
from llm.decoding.programs import Draw, JsonProgram, Program, ReadoutProgram, ThinkProgram
from llm.student import DecodingMode, StudentSettings

ANSWER_TOKENS = 64
"""Room for the tokens of an answer in JSON."""

_OPENING, _CLOSING, _END = "<think>\n", "\n</think>\n\n", "</think>"


class ProgramFactory:
    """Makes the program of each prompt.

    Args:
        tokenizer: The tokenizer of transformers.
        rows: The size of the model's vocabulary.
        wanted: The student's settings.
    """

    def __init__(self, tokenizer: Any, rows: int, wanted: StudentSettings) -> None:
        self._tokenizer = tokenizer
        self._rows = rows
        self._wanted = wanted
        thinks = wanted.mode is DecodingMode.THINK
        self.room = ANSWER_TOKENS + (wanted.think_tokens + ANSWER_TOKENS if thinks else 0)

    def create(self, prompt: str, number: int) -> Program:
        """Return the program for a prompt; from two samples on, `number` says which draw it is."""
        wanted = self._wanted
        if wanted.mode is DecodingMode.READOUT:
            return ReadoutProgram(self._readout_tree)
        draw = Draw(prompt, number, wanted.seed) if wanted.samples > 1 else None
        answer = JsonProgram(self._tree, draw)
        if wanted.mode is DecodingMode.JSON:
            return answer
        opened = prompt.rstrip().endswith(_OPENING.rstrip())
        return ThinkProgram(
            answer,
            opening=() if opened else self._encode(_OPENING),
            closing=self._encode(_CLOSING),
            ends=self._ends,
            barred=self._barred,
            budget=wanted.think_tokens,
            decode=self._decode,
            draw=draw,
        )

    @cached_property
    def _tree(self) -> AnswerTree:
        return AnswerTree(self._tokenizer, self._rows, GRAMMAR)

    @cached_property
    def _readout_tree(self) -> AnswerTree:
        return AnswerTree(self._tokenizer, self._rows, READOUT_GRAMMAR)

    @cached_property
    def _ends(self) -> frozenset[int]:
        """The tokens that end a thought."""
        closing = self._encode(_END)
        return frozenset({self._tokenizer.eos_token_id, *(closing if len(closing) == 1 else ())})

    @cached_property
    def _barred(self) -> Sequence[int]:
        """The tokens that no thought holds: special ones, and rows of the vocabulary without a token."""
        special = {*self._tokenizer.all_special_ids, *self._encode(_OPENING.strip())[:1]}
        special |= {token for token, added in self._tokenizer.added_tokens_decoder.items() if added.special}
        return sorted((special | set(range(len(self._tokenizer), self._rows))) - self._ends)

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer(text, add_special_tokens=False).input_ids)

    def _decode(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(tokens)))
