"""Whether an item was there before: the same item again, or another source's copy of it.

Knows links, titles and texts, not what they are about. It errs on the side of keeping: what differs in a
number, in a word that turns the meaning, or by one word in place of another is new.
"""

import re
import unicodedata
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

_K = TypeVar("_K")

WINDOW = timedelta(days=3)
"""Titles and texts are compared within this time; a weekly column may use its title again."""

_NEAR = 0.8

_FEW_WORDS = 4

_MANY_WORDS = 6

_SHINGLE = 4

_LONG_ENOUGH = 30

_SAMPLED = 8

_OTHER_TEXT = 0.3

_ONE_ITEM = 0.4

_WORD = re.compile(r"[0-9]+(?:[.,:/-][0-9]+)*%?|[^\W\d_]+(?:['’][^\W\d_]+)?")

_EAST_ASIAN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")

_PIECES = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")

_LEAD = re.compile(
    r"^(?:(?:update|corrected|refile|wrapup|rpt|exclusive|breaking|just in|live)\b[ 0-9]*[-:|]\s*)+", re.I
)

_SOURCE_AFTER = re.compile(r"\s+[-–—|·]\s+[^-–—|·]{2,40}$")

_NO_WORDS = "a an the to of in on at as and for by with from is are its it this that says said"

_EMPTY = frozenset(_NO_WORDS.split())

_TURNS = """
up down rise rises rose rising fall falls fell falling gain gains loss losses jump jumps drop drops surge
surges plunge plunges climb climbs slip slips above below over under more less buy sell bull bear bullish
bearish not no never without against before after ends begins opens closes higher lower cut cuts raise raises
beat beats miss misses approve approves approved reject rejects rejected deny denies denied confirm confirms
resume resumes halt halts may could will won't 涨 跌 升 降 不 未 无 否 增 减 买 卖
"""

_TURNING = frozenset(_TURNS.split())


class DuplicateReason(StrEnum):
    """What makes an item a repeat."""

    LINK = "same link"
    GUID = "same guid"
    TITLE = "same title"
    NEAR_TITLE = "nearly the same title"
    TEXT = "the same text elsewhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFingerprint:
    """What is compared of an item; `at` is when it was published, in UTC. All texts may be empty."""

    feed: str
    guid: str
    link: str
    title: str
    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class _KnownItem:
    at: datetime
    words: frozenset[str]
    shingles: frozenset[int]


class DuplicateIndex:
    """What was seen so far. Memory grows with what is remembered, by some 20 kB for an item with its text."""

    def __init__(self) -> None:
        self._links: set[str] = set()
        self._guids: set[tuple[str, str]] = set()
        self._known: list[_KnownItem] = []
        self._by_word: dict[str, list[int]] = defaultdict(list)
        self._by_shingle: dict[int, list[int]] = defaultdict(list)

    def add(self, one: ItemFingerprint, *, compare: bool = True) -> None:
        """Keep `one` for comparison; without `compare`, its link and guid only."""
        if one.link:
            self._links.add(normalize_link(one.link))
        if one.guid:
            self._guids.add((one.feed, one.guid))
        if compare:
            known = _KnownItem(one.at, significant_words(one.title), build_shingles(one.text))
            for word in known.words:
                self._by_word[word].append(len(self._known))
            for shingle in _sample_shingles(known.shingles):
                self._by_shingle[shingle].append(len(self._known))
            self._known.append(known)

    def find_reason(self, one: ItemFingerprint) -> DuplicateReason | None:
        """Why `one` is a repeat of something remembered; None where it is new."""
        if one.link and normalize_link(one.link) in self._links:
            return DuplicateReason.LINK
        if one.guid and (one.feed, one.guid) in self._guids:
            return DuplicateReason.GUID
        words, text = significant_words(one.title), build_shingles(one.text)
        for known in self._find_similar(self._by_word, _rarest_words(words, self._by_word), one.at):
            if found := _is_title_duplicate(words, text, known):
                return found
        if len(text) >= _LONG_ENOUGH:
            for known in self._find_similar(self._by_shingle, _sample_shingles(text), one.at):
                if _overlap(text, known.shingles) >= _NEAR and _may_be_same_item(words, known.words):
                    return DuplicateReason.TEXT
        return None

    def _find_similar(self, index: dict[_K, list[int]], keys: list[_K], at: datetime) -> Iterator[_KnownItem]:
        for number in sorted({number for key in keys for number in index.get(key, ())}):
            if abs(self._known[number].at - at) <= WINDOW:
                yield self._known[number]


def normalize_link(link: str) -> str:
    """What two addresses of one page have in common: no scheme, www, tracking parameters or fragment."""
    try:
        parts = urlsplit(link)
        host = (parts.hostname or "").removeprefix("www.")
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return link
    query = urlencode([pair for pair in parse_qsl(parts.query) if not _is_tracking(pair[0])])
    return f"{host}{port}{parts.path.rstrip('/')}?{query}"


def significant_words(title: str) -> frozenset[str]:
    """The words that count in a title, without a lead such as "UPDATE 1-" and the source after a dash."""
    plain = unicodedata.normalize("NFKC", title).replace("’", "'")
    plain = _LEAD.sub("", plain)
    without_source = _SOURCE_AFTER.sub("", plain)
    if len(_tokenize(without_source)) >= _FEW_WORDS:
        plain = without_source
    return frozenset(_tokenize(plain)) - _EMPTY


def build_shingles(text: str) -> frozenset[int]:
    """Each run of four words of `text` as a number; of eight characters in Chinese, Japanese and Korean."""
    tokens = _tokenize(unicodedata.normalize("NFKC", text), pairs=False)
    size = 2 * _SHINGLE if _EAST_ASIAN.search(text) else _SHINGLE
    return frozenset(
        zlib.crc32(" ".join(tokens[at : at + size]).encode()) for at in range(len(tokens) - size + 1)
    )


def _tokenize(text: str, *, pairs: bool = True) -> list[str]:
    """Words and numbers, casefolded; in scripts without spaces characters or, for titles, pairs of them."""
    tokens: list[str] = []
    for word in _WORD.findall(text.casefold()):
        if not _EAST_ASIAN.search(word):
            tokens.append(word.removesuffix("'s"))
            continue
        pieces = _PIECES.findall(word)
        tokens += [first + second for first, second in pairwise(pieces)] if pairs else pieces
        if pairs and len(pieces) == 1:
            tokens += pieces
    return tokens


def _is_title_duplicate(
    words: frozenset[str], text: frozenset[int], known: _KnownItem
) -> DuplicateReason | None:
    if not words or not known.words:
        return None
    both_long = min(len(text), len(known.shingles)) >= _LONG_ENOUGH
    if both_long and _overlap(text, known.shingles) < _OTHER_TEXT:
        return None
    if words == known.words:
        # "Markets wrap" and the like come back daily with other news.
        return DuplicateReason.TITLE if len(words) >= _FEW_WORDS or both_long else None
    smaller, larger = sorted((words, known.words), key=len)
    if len(smaller) < _MANY_WORDS or not smaller < larger or len(smaller) < _NEAR * len(larger):
        return None
    return None if any(_reverses_meaning(word) for word in larger - smaller) else DuplicateReason.NEAR_TITLE


def _may_be_same_item(words: frozenset[str], other: frozenset[str]) -> bool:
    """Whether two titles over one text can be of one item: else the text is a site's notice or a template."""
    if not words or not other:
        return True
    numbers, others = ({word for word in one if word[0].isdigit()} for one in (words - other, other - words))
    return len(words & other) >= _ONE_ITEM * min(len(words), len(other)) and not (numbers and others)


def _reverses_meaning(word: str) -> bool:
    return word in _TURNING or any(char.isdigit() or char in _TURNING for char in word)


def _overlap(one: frozenset[int], other: frozenset[int]) -> float:
    """The part of the shorter text that the longer one has too, 0 to 1; 0 where one is too short to tell."""
    smaller = min(len(one), len(other))
    return len(one & other) / smaller if smaller >= _LONG_ENOUGH else 0.0


def _sample_shingles(text: frozenset[int]) -> list[int]:
    return [shingle for shingle in text if shingle % _SAMPLED == 0]


def _rarest_words(words: frozenset[str], index: dict[str, list[int]]) -> list[str]:
    """So many of the rarest words that two titles which share four in five have at least one of them."""
    by_count = sorted(words, key=lambda word: (len(index.get(word, ())), word))
    return by_count[: max(1, len(words) - int(_NEAR * len(words)) + 1)]


def _is_tracking(parameter: str) -> bool:
    name = parameter.lower()
    return name.startswith("utm_") or name in ("fbclid", "gclid", "cmpid", "ref", "ftag", "mc_cid", "mc_eid")
