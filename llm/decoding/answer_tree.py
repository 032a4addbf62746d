"""The answers of a grammar as a tree of tokens: where a model has a choice, and what is forced in between.

It is given a tokenizer and no model. Forced tokens are those of the tokenizer's own encoding of a whole
answer, so that a model reads answers as it was trained on them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

_CACHED_STEPS = 65_536
_DIGIT = re.compile(r"[0-9]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A place in an answer.

    Attributes:
        text: The answer so far.
        choices: The tokens that may come next, ascending; empty at the end of the answer.
    """

    text: str
    choices: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A move from one choice to the next: the tokens to append, and where they lead."""

    tokens: tuple[int, ...]
    node: Node


class AnswerTree:
    """The tree of answers that a grammar allows under a tokenizer.

    Args:
        tokenizer: The tokenizer of transformers.
        rows: The size of the model's vocabulary, the rows of its embedding.
        grammar: The grammar, as EBNF of xgrammar.
    """

    def __init__(self, tokenizer: Any, rows: int, grammar: str) -> None:
        import xgrammar

        self._tokenizer = tokenizer
        self._information = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=rows)
        self._compiled = xgrammar.GrammarCompiler(self._information).compile_grammar(grammar)
        self._bitmask = xgrammar.allocate_token_bitmask(1, rows)
        self._encode = lru_cache(maxsize=_CACHED_STEPS)(self._encode_forced)
        self.advance = lru_cache(maxsize=_CACHED_STEPS)(self._advance)

    @cached_property
    def start(self) -> Step:
        """The tokens with which each answer begins."""
        return self._force("")

    def token_text(self, token: int) -> str:
        """Return the text of a token of an answer."""
        return self._pieces[token].decode()

    def _advance(self, text: str, token: int) -> Step:
        """Return the step that a chosen token makes from the answer so far."""
        step = self._force(text + self.token_text(token))
        return Step(tokens=(token, *step.tokens), node=step.node)

    def _force(self, text: str) -> Step:
        """Return the tokens that are forced after `text`, and the choice that they lead to."""
        matcher = self._matcher(text)
        forced = str(matcher.find_jump_forward_string())
        if not forced:
            return Step(tokens=(), node=Node(text=text, choices=self._choices(matcher)))
        matcher.accept_string(forced)
        choices = self._choices(matcher)
        # Which digits a number has does not change how the text after it is split into tokens.
        tokens = self._encode(_DIGIT.sub("5", text), forced, self._continuations(choices))
        reached = b"".join(self._pieces[token] for token in tokens).decode()
        if reached != forced:
            choices = self._choices(self._matcher(text + reached))
        return Step(tokens=tokens, node=Node(text=text + reached, choices=choices))

    def _encode_forced(self, text: str, forced: str, continuations: tuple[str, ...]) -> tuple[int, ...]:
        """Return the tokens of `forced` after `text`, as every continuation would have them."""
        ways = [self._split(text, text + forced + rest) for rest in continuations]
        if any(way is None for way in ways):
            return self._longest_pieces(forced.encode())
        room = len(forced)
        tokens: list[int] = []
        for column in zip(*(way for way in ways if way is not None), strict=False):
            room -= len(self._pieces[column[0]])
            if len(set(column)) > 1 or room < 0:
                break
            tokens.append(column[0])
        return tuple(tokens)

    def _split(self, text: str, whole: str) -> list[int] | None:
        """Return the tokens of `whole` after `text`; None if a token lies across its end."""
        tokens = self._tokenizer(whole, add_special_tokens=False).input_ids
        place = -_leading_space(self._pieces.get(tokens[0], b""), whole)
        for number, token in enumerate(tokens):
            if place == len(text):
                return list(tokens[number:])
            place += len(self._pieces.get(token, b""))
        return None

    def _longest_pieces(self, rest: bytes) -> tuple[int, ...]:
        tokens: list[int] = []
        while rest:
            token = next(
                (
                    self._tokens[rest[:size]]
                    for size in range(len(rest), 0, -1)
                    if rest[:size] in self._tokens
                ),
                None,
            )
            if token is None:
                break  # left to the model, whose choice is masked
            tokens.append(token)
            rest = rest[len(self._pieces[token]) :]
        return tuple(tokens)

    def _continuations(self, choices: tuple[int, ...]) -> tuple[str, ...]:
        """Return the longest choices with the first and the last of their initials."""
        texts = sorted((self.token_text(token) for token in choices), key=lambda text: (text[0], len(text)))
        longest = {text[0]: text for text in texts}
        return (longest[min(longest)], longest[max(longest)]) if longest else ("",)

    def _choices(self, matcher: Any) -> tuple[int, ...]:
        if matcher.is_completed():
            return ()
        matcher.fill_next_token_bitmask(self._bitmask)
        words = self._bitmask[0].numpy().view("uint32")
        return tuple(
            32 * int(place) + bit
            for place in words.nonzero()[0]
            for bit in range(32)
            if words[place] >> bit & 1
        )

    def _matcher(self, text: str) -> Any:
        import xgrammar

        matcher = xgrammar.GrammarMatcher(self._compiled, terminate_without_stop_token=True)
        if text and not matcher.accept_string(text):
            raise ValueError(f"{text!r} is no beginning of an answer")
        return matcher

    @cached_property
    def _pieces(self) -> Mapping[int, bytes]:
        """The bytes of each token that is a text."""
        special = set(self._information.special_token_ids)
        vocabulary = self._information.decoded_vocab
        return {
            token: bytes(piece) for token, piece in enumerate(vocabulary) if token not in special and piece
        }

    @cached_property
    def _tokens(self) -> Mapping[bytes, int]:
        """The lowest token of each text."""
        return {piece: token for token, piece in sorted(self._pieces.items(), reverse=True)}


def _leading_space(piece: bytes, text: str) -> int:
    """Return 1 where a tokenizer puts a space of its own before a text."""
    return int(piece.startswith(b" ") and not text.startswith(" "))
