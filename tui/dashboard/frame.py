"""Puts panels side by side in boxes, for any size of screen. Knows no journal and no Textual."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from tui.dashboard.drawing import fit_line, split_cells
from tui.dashboard.sanitize import truncate
from tui.dashboard.view_state import Panel, ViewState

_MIN_SIZE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Panels side by side, each with its share of the width; `height` is a share of the screen's."""

    height: float
    panels: tuple[tuple[Panel, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Where a panel stands, borders included, in cells from the top left."""

    panel: Panel
    x: int
    y: int
    width: int
    height: int


def layout_boxes(bands: Sequence[Band], width: int, height: int) -> list[Box]:
    """Where each panel stands. What cannot be at least a line high is left out."""
    shown_bands = list(bands)[: max(1, height // _MIN_SIZE)]
    found, y = [], 0
    for band, tall in zip(
        shown_bands, _split_shares([one.height for one in shown_bands], height), strict=True
    ):
        x = 0
        for (panel, _), wide in zip(
            band.panels, _split_shares([s for _, s in band.panels], width), strict=True
        ):
            found.append(Box(panel=panel, x=x, y=y, width=wide, height=tall))
            x += wide
        y += tall
    return found


def draw_boxes(sight: ViewState, where: Sequence[Box], width: int, height: int) -> list[Text]:
    """The lines of all boxes."""
    rows: list[list[tuple[int, Text]]] = [[] for _ in range(height)]
    for box in where:
        for number, line in enumerate(_draw_box(sight, box)):
            rows[box.y + number].append((box.x, line))
    return [_join_parts(parts, width) for parts in rows]


def box_at(where: Sequence[Box], x: int, y: int) -> Box | None:
    """The box that a cell of the screen belongs to."""
    return next((b for b in where if b.x <= x < b.x + b.width and b.y <= y < b.y + b.height), None)


def _join_parts(parts: Sequence[tuple[int, Text]], width: int) -> Text:
    line = Text(no_wrap=True, end="")
    for _, part in sorted(parts, key=lambda pair: pair[0]):
        line.append_text(part)
    return fit_line(line, width)


def _draw_box(sight: ViewState, box: Box) -> list[Text]:
    """A panel's lines within its border, each exactly as wide as the box."""
    focused = sight.focus == box.panel.name
    style = sight.palette.focus if focused else sight.palette.frame
    inner, tall = max(1, box.width - 2), max(0, box.height - 2)
    title = truncate(f"{'▶' if focused else ' '}{box.panel.title} ", inner)
    top = Text("╭" + title + "─" * (inner - split_cells(title)) + "╮", style=style, no_wrap=True, end="")
    side = Text("│", style=style, no_wrap=True, end="")
    found = [top]
    body = list(box.panel.draw(sight, inner, tall))[:tall]
    body += [Text("", no_wrap=True, end="") for _ in range(tall - len(body))]
    found += [Text.assemble(side, fit_line(line, inner), side, no_wrap=True, end="") for line in body]
    found.append(Text("╰" + "─" * inner + "╯", style=style, no_wrap=True, end=""))
    return found[: box.height]


def _split_shares(shares: Sequence[float], whole: int) -> list[int]:
    """Whole numbers in proportion that add up; a share of 1 or more is that many cells."""
    fixed = sum(int(one) for one in shares if one >= 1)
    loose = sum(one for one in shares if one < 1)
    left = max(0, whole - fixed)
    found = [min(int(one), whole) if one >= 1 else int(left * one / loose) for one in shares]
    for place, one in enumerate(shares):
        if one < 1:
            found[place] += whole - sum(found)
            return found
    found[-1] += whole - sum(found)
    return found
