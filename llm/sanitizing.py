"""Make untrusted text inert: one short line without control characters, special tokens and disguises.

The work is bounded by the length that is asked for, not by the length of the text.
"""

import re
import unicodedata

_READ_FACTOR = 16  # how many characters are read for each column that is shown
_DEFUSED = str.maketrans({"<": "(", ">": ")", "[": "(", "]": ")", "{": "(", "}": ")", "|": "/", "`": "'"})
# Letters that are drawn as nothing, the space mark of sentencepiece, and a blank of Braille.
_BLANK = dict.fromkeys(map(ord, "\u115f\u1160\u3164\uffa0\u2581\u2800"), " ")
# Controls become spaces. Format characters (bidirectional, zero-width), private ones, halves of pairs and
# what is no character at all are removed, and so are marks that only choose a variant or join.
_REMOVED = frozenset({"Cf", "Co", "Cs", "Cn"})
_INVISIBLE_MARKS = re.compile("[\u034f\u17b4\u17b5\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_HALF_PAIR = re.compile("[\ud800-\udfff]")
_MANY_MARKS = re.compile(r"([#*=_~^-])\1{2,}")
_ADDRESS = re.compile(r"https?://\S*", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+")
_LATIN = re.compile(r"[A-Za-z]")
# Cyrillic and Greek letters that are drawn like Latin ones (Unicode Technical Standard 39, confusables).
_LOOK_ALIKES = str.maketrans(
    "АВЕЅІЈКМНОРСТУХаеѕіјорсухԁԛԝһӏктΑΒΕΖΗΙΚΜΝΟΡΤΥΧαικνορτυχıɡɑ",
    "ABESIJKMHOPCTYXaesijopcyxdqwhlktABEZHIKMNOPTYXaikvoptuxiga",
)


def sanitize(text: str, limit: int) -> str:
    """Return one line of untrusted text without the brackets that chat formats use for control tokens.

    The templates `compact` and `full-v1` use it; `clean_line` does more.
    """
    # As many words as the line has characters are enough. Halves of pairs are nothing a tokenizer takes.
    words = text.split(maxsplit=limit)[:limit]
    line = " ".join(word[:limit] for word in words).translate(_DEFUSED)[:limit].rstrip()
    return _HALF_PAIR.sub(" ", line)


def clean_line(text: str, width: int) -> str:
    """Return one inert line of untrusted text, at most `width` columns wide; "…" ends one that was cut."""
    return cut_to_width(normalize_line(text, width), width)


def normalize_line(text: str, width: int) -> str:
    """Return the beginning of a text as one inert line, not yet cut: enough of it for `width` columns.

    Compatible forms of characters become the plain ones (NFKC), letters of other scripts in a Latin word the
    Latin ones that look like them, and brackets of control tokens round ones. Invisible characters, addresses
    of the web, and all but two marks on a letter are removed.
    """
    read = text[: width * _READ_FACTOR]
    # Removed before and after, since both removing and composing can bring forth what the other looks for.
    composed = unicodedata.normalize("NFKC", read)[
        : len(read) + _READ_FACTOR * width
    ]  # one can become eighteen
    plain = unicodedata.normalize("NFKC", _remove_invisible(composed))
    plain = _WORD.sub(_unify_script, _limit_marks(plain)).translate(_DEFUSED)
    plain = _MANY_MARKS.sub(r"\1", _ADDRESS.sub(" ", plain))
    return " ".join(plain.split())


def cut_to_width(text: str, width: int) -> str:
    """Return a text of at most `width` columns, a Chinese character being two; "…" stands for the rest."""
    columns = 0
    for place, character in enumerate(text):
        columns += 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if columns > width:
            return _cut_at(text, place)
    return text


def _cut_at(text: str, place: int) -> str:
    end = place - 1
    while end > 0 and unicodedata.combining(text[end]):
        end -= 1
    return f"{text[:end].rstrip()}…"


def _remove_invisible(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    kept = []
    for character in _INVISIBLE_MARKS.sub("", text).translate(_BLANK):
        category = unicodedata.category(character)
        if category == "Cc":
            kept.append(" ")
        elif category not in _REMOVED:
            kept.append(character)
    return "".join(kept)


def _limit_marks(text: str) -> str:
    if text.isascii():
        return text
    kept: list[str] = []
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.category(character) in ("Mn", "Me") else 0
        if marks <= 2:
            kept.append(character)
    return "".join(kept)


def _unify_script(word: re.Match[str]) -> str:
    text = word[0]
    return text.translate(_LOOK_ALIKES) if not text.isascii() and _LATIN.search(text) else text
