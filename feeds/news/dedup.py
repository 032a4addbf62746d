"""Detect duplicate news: the same item again, or another source's copy of it.

The index errs on the side of keeping: an item that differs in a number, in a word that reverses the meaning,
or by one word in place of another is new.
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
"""Titles and texts are compared within this time, because a weekly column may reuse its title."""

_MIN_OVERLAP = 0.8
_MIN_TITLE_WORDS = 4
_MIN_NEAR_TITLE_WORDS = 6
_SHINGLE_WORDS = 4
_MIN_SHINGLES = 30
_SAMPLE_EVERY = 8
_MAX_OTHER_OVERLAP = 0.3
_MIN_TITLE_OVERLAP = 0.4
_WORD = re.compile(r"[0-9]+(?:[.,:/-][0-9]+)*%?|[^\W\d_]+(?:['’][^\W\d_]+)?")
_EAST_ASIAN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_PIECES = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")

_LEAD = re.compile(
    r"^(?:(?:update|corrected|refile|wrapup|rpt|exclusive|breaking|just in|live)\b[ 0-9]*[-:|]\s*)+", re.I
)

_SOURCE_AFTER = re.compile(r"\s+[-–—|·]\s+[^-–—|·]{2,40}$")
_STOP_WORD_LIST = "a an the to of in on at as and for by with from is are its it this that says said"
_STOP_WORDS = frozenset(_STOP_WORD_LIST.split())

_REVERSING_WORD_LIST = """
up down rise rises rose rising fall falls fell falling gain gains loss losses jump jumps drop drops surge
surges plunge plunges climb climbs slip slips above below over under more less buy sell bull bear bullish
bearish not no never without against before after ends begins opens closes higher lower cut cuts raise raises
beat beats miss misses approve approves approved reject rejects rejected deny denies denied confirm confirms
resume resumes halt halts may could will won't 涨 跌 升 降 不 未 无 否 增 减 买 卖
"""

_REVERSING_WORDS = frozenset(_REVERSING_WORD_LIST.split())


class DuplicateReason(StrEnum):
    """Why an item is a duplicate."""

    LINK = "same link"
    GUID = "same guid"
    TITLE = "same title"
    NEAR_TITLE = "nearly the same title"
    TEXT = "the same text elsewhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFingerprint:
    """The parts of an item that are compared. `published_at` is in UTC; any text may be empty."""

    feed: str
    guid: str
    link: str
    title: str
    text: str
    published_at: datetime


@dataclass(frozen=True, slots=True)
class _KnownItem:
    at: datetime
    words: frozenset[str]
    shingles: frozenset[int]


class DuplicateIndex:
    """The items seen so far, indexed for comparison; some 20 kB of memory per item with its text."""

    def __init__(self) -> None:
        self._links: set[str] = set()
        self._guids: set[tuple[str, str]] = set()
        self._known: list[_KnownItem] = []
        self._by_word: dict[str, list[int]] = defaultdict(list)
        self._by_shingle: dict[int, list[int]] = defaultdict(list)

    def add(self, item: ItemFingerprint, *, compare: bool = True) -> None:
        """Add an item; without `compare`, only its link and guid are kept."""
        if item.link:
            self._links.add(normalize_link(item.link))
        if item.guid:
            self._guids.add((item.feed, item.guid))
        if compare:
            known = _KnownItem(item.published_at, significant_words(item.title), build_shingles(item.text))
            for word in known.words:
                self._by_word[word].append(len(self._known))
            for shingle in _sample_shingles(known.shingles):
                self._by_shingle[shingle].append(len(self._known))
            self._known.append(known)

    def find_reason(self, item: ItemFingerprint) -> DuplicateReason | None:
        """Return why an item duplicates one in the index, or None where it is new."""
        if item.link and normalize_link(item.link) in self._links:
            return DuplicateReason.LINK
        if item.guid and (item.feed, item.guid) in self._guids:
            return DuplicateReason.GUID
        words, shingles = significant_words(item.title), build_shingles(item.text)
        for known in self._find_similar(
            self._by_word, _rarest_words(words, self._by_word), item.published_at
        ):
            if reason := _is_title_duplicate(words, shingles, known):
                return reason
        if len(shingles) >= _MIN_SHINGLES:
            for known in self._find_similar(self._by_shingle, _sample_shingles(shingles), item.published_at):
                if _overlap(shingles, known.shingles) >= _MIN_OVERLAP and _may_be_same_item(
                    words, known.words
                ):
                    return DuplicateReason.TEXT
        return None

    def _find_similar(self, index: dict[_K, list[int]], keys: list[_K], at: datetime) -> Iterator[_KnownItem]:
        for number in sorted({number for key in keys for number in index.get(key, ())}):
            if abs(self._known[number].at - at) <= WINDOW:
                yield self._known[number]


def normalize_link(link: str) -> str:
    """Return a link without scheme, www, tracking parameters and fragment, which one page may vary."""
    try:
        parts = urlsplit(link)
        host = (parts.hostname or "").removeprefix("www.")
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return link
    query = urlencode([pair for pair in parse_qsl(parts.query) if not _is_tracking(pair[0])])
    return f"{host}{port}{parts.path.rstrip('/')}?{query}"


def significant_words(title: str) -> frozenset[str]:
    """Return a title's words, without stop words, a lead such as "UPDATE 1-" and a source after a dash."""
    plain = unicodedata.normalize("NFKC", title).replace("’", "'")
    plain = _LEAD.sub("", plain)
    without_source = _SOURCE_AFTER.sub("", plain)
    if len(_tokenize(without_source)) >= _MIN_TITLE_WORDS:
        plain = without_source
    return frozenset(_tokenize(plain)) - _STOP_WORDS


def build_shingles(text: str) -> frozenset[int]:
    """Return the hash of each run of four words; of eight characters in Chinese, Japanese and Korean."""
    tokens = _tokenize(unicodedata.normalize("NFKC", text), pairs=False)
    size = 2 * _SHINGLE_WORDS if _EAST_ASIAN.search(text) else _SHINGLE_WORDS
    return frozenset(
        zlib.crc32(" ".join(tokens[at : at + size]).encode()) for at in range(len(tokens) - size + 1)
    )


def _tokenize(text: str, *, pairs: bool = True) -> list[str]:
    """Return words and numbers, casefolded; in scripts without spaces characters, or with `pairs` pairs."""
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
    words: frozenset[str], shingles: frozenset[int], known: _KnownItem
) -> DuplicateReason | None:
    if not words or not known.words:
        return None
    both_long = min(len(shingles), len(known.shingles)) >= _MIN_SHINGLES
    if both_long and _overlap(shingles, known.shingles) < _MAX_OTHER_OVERLAP:
        return None
    if words == known.words:
        # "Markets wrap" and the like come back daily with other news.
        return DuplicateReason.TITLE if len(words) >= _MIN_TITLE_WORDS or both_long else None
    smaller, larger = sorted((words, known.words), key=len)
    if (
        len(smaller) < _MIN_NEAR_TITLE_WORDS
        or not smaller < larger
        or len(smaller) < _MIN_OVERLAP * len(larger)
    ):
        return None
    return None if any(_reverses_meaning(word) for word in larger - smaller) else DuplicateReason.NEAR_TITLE


def _may_be_same_item(words: frozenset[str], other: frozenset[str]) -> bool:
    """Return whether titles of one text can be of one item; else the text is a notice or a template."""
    if not words or not other:
        return True
    numbers, others = (
        {word for word in difference if word[0].isdigit()} for difference in (words - other, other - words)
    )
    return len(words & other) >= _MIN_TITLE_OVERLAP * min(len(words), len(other)) and not (numbers and others)


def _reverses_meaning(word: str) -> bool:
    return word in _REVERSING_WORDS or any(char.isdigit() or char in _REVERSING_WORDS for char in word)


def _overlap(shingles: frozenset[int], other: frozenset[int]) -> float:
    """Return the share of the shorter text that the longer one contains, 0 to 1; 0 where one is too short."""
    smaller = min(len(shingles), len(other))
    return len(shingles & other) / smaller if smaller >= _MIN_SHINGLES else 0.0


def _sample_shingles(shingles: frozenset[int]) -> list[int]:
    return [shingle for shingle in shingles if shingle % _SAMPLE_EVERY == 0]


def _rarest_words(words: frozenset[str], index: dict[str, list[int]]) -> list[str]:
    """Return enough of the rarest words that two titles sharing four words in five share one of them."""
    by_count = sorted(words, key=lambda word: (len(index.get(word, ())), word))
    return by_count[: max(1, len(words) - int(_MIN_OVERLAP * len(words)) + 1)]


def _is_tracking(parameter: str) -> bool:
    name = parameter.lower()
    return name.startswith("utm_") or name in ("fbclid", "gclid", "cmpid", "ref", "ftag", "mc_cid", "mc_eid")
