"""Lines, cells, tables and curves out of text. What is drawn is safe: it went through `shown`.

Knows styles and widths, no journal and no Textual.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from rich.text import Text

from strategies.monitor.views import Point
from tui.dashboard.sanitize import pad, truncate, wrap
from tui.dashboard.view_state import Panel, ViewState

T = TypeVar("T")
Cell = tuple[object, int, str]
"""A value, its width (negative: to the right) and its style."""

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


def row(cells: Iterable[Cell], width: int, *, chosen: bool = False, style: str = "reverse") -> Text:
    """Cells with a space between them, cut to the width; inverted, and marked with ›, where chosen."""
    line = Text("›" if chosen else " ", no_wrap=True, end="")
    for value, wide, how in cells:
        if wide:
            # Colours inverted would be bars; a chosen row is marked by itself.
            line.append(pad(value, abs(wide), right=wide < 0), "" if chosen else how)
            line.append(" ")
    return fit_line(line, width, style if chosen else "")


def fit_line(line: Text, width: int, style: str = "") -> Text:
    """A line of exactly `width` cells."""
    if line.cell_len > width:
        line.truncate(width)
    line.pad_right(width - line.cell_len)
    if style:
        line.stylize(style)
    return line


def text_line(text: object, width: int, style: str = "") -> Text:
    """One line of text."""
    return fit_line(Text(" " + truncate(text, width - 1), style=style, no_wrap=True, end=""), width)


def paragraph(text: object, width: int, most: int, style: str = "") -> list[Text]:
    """Text over several lines."""
    return [text_line(line, width, style) for line in wrap(text, max(1, width - 2), most)]


def key_values(values: Sequence[tuple[str, object, str]], width: int, label: int = 16) -> list[Text]:
    """A name and a value in each line."""
    return [
        row([(name, label, "dim"), (value, width - label - 3, how)], width) for name, value, how in values
    ]


def first_row(offset: int, cursor: int, count: int, height: int) -> int:
    """The first row that is drawn: as before, unless the chosen one would not be seen."""
    first = max(min(offset, cursor), cursor - height + 1)
    return max(0, min(first, count - height))


def draw_table(
    state: ViewState,
    panel: str,
    items: Sequence[T],
    cells: Callable[[T], Iterable[Cell]],
    size: tuple[int, int],
    *,
    columns: Sequence[tuple[str, int]] = (),
) -> list[Text]:
    """Return a table: a heading, and the rows around the chosen one, as many as fit; only those are drawn.

    Args:
        state: Has the chosen row of the panel, and whether the panel has the focus.
        panel: Name of the panel.
        items: What the rows show.
        cells: Makes the cells of a row.
        size: Cells and lines of the table.
        columns: The heading: names and widths, as in `Cell`.
    """
    width, height = size
    heading = [row([(name, wide, "bold") for name, wide in columns], width)] if columns else []
    height -= len(heading)
    cursor = state.cursor(panel, len(items))
    first = first_row(state.offsets.get(panel, 0), cursor, len(items), height)
    focused = state.focus == panel
    places = range(first, min(len(items), first + height))
    rows = [row(cells(items[at]), width, chosen=focused and at == cursor) for at in places]
    return [*heading, *rows]


def draw_panel(
    panel: Panel, state: ViewState, width: int, height: int, *, focused: bool = False
) -> list[Text]:
    """Return the body of a panel, at most `height` lines of exactly `width` cells.

    Args:
        panel: What to draw.
        state: What it is drawn from.
        width: Cells of a line, within the border.
        height: Lines, within the border.
        focused: Whether to mark its chosen row.
    """
    lines = panel.draw(replace(state, focus=panel.name if focused else ""), width, height)[:height]
    return [fit_line(line, width) for line in lines]


def empty_state(message: str, remedy: str, width: int) -> list[Text]:
    """Return an empty state: what is missing, and how to get it."""
    return [*paragraph(message, width, 3), *paragraph(remedy, width, 4, "bold")]


def draw_curve(
    series: Sequence[tuple[Sequence[Point], str]], width: int, height: int
) -> tuple[list[Text], float, float]:
    """Points as dots of braille, the later series on top; the lines, and the lowest and highest value."""
    points = [point for line, _ in series for point in line]
    low, high = min(p.value for p in points), max(p.value for p in points)
    first, last = min(p.at for p in points), max(p.at for p in points)
    masks = [[0] * width for _ in range(height)]
    styles = [[""] * width for _ in range(height)]
    for line, style in series:
        for x, y in _dots(line, first, last, low, high, width * 2, height * 4):
            masks[y // 4][x // 2] |= _DOTS[y % 4][x % 2]
            styles[y // 4][x // 2] = style
    drawn = [_braille(mask, style_row) for mask, style_row in zip(masks, styles, strict=True)]
    return drawn, low, high


def _braille(masks: Sequence[int], styles: Sequence[str]) -> Text:
    """A row of dots; cells of one style go in together, since each piece of a text costs."""
    text, start = Text(no_wrap=True, end=""), 0
    for place in range(1, len(masks) + 1):
        if place == len(masks) or styles[place] != styles[start]:
            cells = "".join(chr(0x2800 + bits) if bits else " " for bits in masks[start:place])
            text.append(cells, styles[start] or None)
            start = place
    return text


def _dots(
    line: Sequence[Point], first: datetime, last: datetime, low: float, high: float, wide: int, tall: int
) -> list[tuple[int, int]]:
    """Where a line's dots are, those between two points included."""
    seconds = max(1e-9, (last - first).total_seconds())
    dots: list[tuple[int, int]] = []
    for point in line:
        x = round((point.at - first).total_seconds() / seconds * (wide - 1))
        share = (point.value - low) / (high - low) if high > low else 0.5
        y = round((1 - share) * (tall - 1))
        if dots and x > dots[-1][0]:
            x0, y0 = dots[-1]
            dots += [(at, round(y0 + (y - y0) * (at - x0) / (x - x0))) for at in range(x0 + 1, x)]
        if dots:
            above = dots[-1][1]
            step = 1 if y > above else -1
            dots += [(x, each) for each in range(above + step, y, step)]
        dots.append((x, y))
    return dots


def draw_bar(share: float | None, width: int) -> str:
    """A share as a bar of blocks."""
    if share is None:
        return " " * width
    eighths = round(min(1.0, max(0.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")).ljust(width)[:width]


def draw_sparkline(values: Sequence[float], width: int) -> str:
    """Numbers as a line of small bars, the last ones where they do not all fit."""
    kept = [value for value in values if value == value][-width:]
    if not kept:
        return ""
    low, high = min(kept), max(kept)
    scale = 7 / (high - low) if high > low else 0.0
    return "".join("▁▂▃▄▅▆▇█"[round((value - low) * scale)] for value in kept)
