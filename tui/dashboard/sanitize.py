"""Any text, made safe to stand in one line of a screen.

News, symbols and model output are written by strangers. What could move the cursor, turn the direction of
writing, or be as wide in one terminal and narrow in another never reaches the screen.
"""

import unicodedata
from collections.abc import Iterator

from rich.cells import cell_len

HIDDEN = "·"
"""Stands for a character that is not shown."""

CUT = "…"
_DROPPED = frozenset(map(chr, (*range(0xFE00, 0xFE10), *range(0x1F3FB, 0x1F400), *range(0xE0000, 0xE0200))))
_FLAG_A = 0x1F1E6
_MARKS = 1


def truncate(text: object, width: int) -> str:
    """`text` in at most `width` cells, "…" at its end where it was longer.

    Line ends and tabs become spaces; control, format and unassigned characters become a dot or nothing;
    joined emoji come apart, flags become letters, and a letter keeps one accent. Takes as long for a
    megabyte as for a line.
    """
    if width <= 0:
        return ""
    cells, out = 0, list[str]()
    for letter in _strip_unsafe(str(text)[: width * 8 + 64]):
        size = cell_len(letter)
        if cells + size > width:
            return _truncate_letters(out, width)
        out.append(letter)
        cells += size
    return "".join(out)


def pad(text: object, width: int, *, right: bool = False) -> str:
    """`truncate`, filled up with spaces to exactly `width` cells; on its left where `right`."""
    short = truncate(text, width)
    space = " " * (width - cell_len(short))
    return space + short if right else short + space


def wrap(text: object, width: int, most: int) -> list[str]:
    """`text` broken into at most `most` lines of at most `width` cells, each as by `truncate`."""
    lines: list[str] = []
    for raw in str(text)[: width * most * 2 + 4096].splitlines() or [""]:
        rest = "".join(_strip_unsafe(raw))
        while len(lines) < most:
            piece = _take_line(rest, width)
            lines.append(piece)
            rest = rest[len(piece) :].lstrip()
            if not rest:
                break
    return lines[:most]


def _take_line(text: str, width: int) -> str:
    """As much of a safe text as fits, up to a space where there is one late enough."""
    cells = 0
    for place, letter in enumerate(text):
        cells += cell_len(letter)
        if cells > width:
            space = text.rfind(" ", width // 2, place)
            return text[: max(1, space if space > 0 else place)]
    return text


def _strip_unsafe(text: str) -> Iterator[str]:
    marks = 0
    for letter in text:
        if letter.isascii():
            marks = 0
            yield letter if letter.isprintable() else " " if letter in "\t\r\n" else HIDDEN
            continue
        if letter in _DROPPED:
            continue
        kind = unicodedata.category(letter)
        marks = marks + 1 if kind[0] == "M" else 0
        if marks > _MARKS or kind == "Me" or kind == "Cf":
            continue
        if _FLAG_A <= ord(letter) < _FLAG_A + 26:
            yield chr(ord("A") + ord(letter) - _FLAG_A)
        elif kind[0] == "C":
            yield HIDDEN
        elif kind[0] == "Z":
            yield " "
        else:
            yield letter


def _truncate_letters(letters: list[str], width: int) -> str:
    while letters and cell_len("".join(letters)) > width - 1:
        letters.pop()
    return "".join(letters) + CUT
