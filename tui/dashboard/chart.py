"""Candles of half a line's height, with marks beside and below them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich.text import Text

from strategies.monitor.views import CandleView
from tui.dashboard.drawing import row, text_line
from tui.dashboard.sanitize import pad
from tui.dashboard.themes import Palette
from tui.dashboard.view_state import ViewState
from tui.formatting import format_date, format_price, format_signed_percent

_RISING = {
    (1, 1): "│",
    (2, 2): "┃",
    (1, 0): "╵",
    (0, 1): "╷",
    (2, 0): "╹",
    (0, 2): "╻",
    (1, 2): "╽",
    (2, 1): "╿",
}
_FALLING = {**_RISING, (2, 2): "█", (2, 0): "▀", (0, 2): "▄", (1, 2): "▄", (2, 1): "▀"}
"""Glyphs by what the upper and the lower half of a cell hold: nothing, wick (1) or body (2)."""

_FILLS = {frozenset({"buy"}): "▲", frozenset({"sell"}): "▼", frozenset({"buy", "sell"}): "◆"}
Half = Callable[[float], int]
"""The half line of a price, counted from the top."""

_AXIS = 10
_WIDE = 70


@dataclass(slots=True, kw_only=True)
class Day:
    """One day of a chart: `called` is the close that was called for it, `mark` what came of that."""

    candle: CandleView | None = None
    called: float | None = None
    mark: str = ""
    chosen: bool = False
    fills: set[str] = field(default_factory=set)
    news: int = 0


def draw_chart(symbol: str, days: Sequence[Day], state: ViewState, width: int, height: int) -> list[Text]:
    """Return the chart: a legend, candles with forecast closes beside them, fills and news below, and dates.

    Args:
        symbol: Whose prices they are.
        days: Oldest first; those that do not fit are left out, the chosen one stays.
        state: For the palette and the zone.
        width: Cells of a line.
        height: Lines; below six the dates are left out, below three all but the legend.
    """
    room = width - _AXIS - 1
    pitch = 3 if len(days) * 3 <= room else 2
    days = _visible_days(days, max(1, room // pitch))
    legend = _draw_legend(symbol, days, state.palette, width)
    values = [value for day in days for value in _prices(day)]
    rows = height - (3 if height >= 6 else 2)
    if rows < 1 or not values:
        return [legend][:height]
    low, high = min(values), max(values)
    scale = (rows * 2 - 1) / (high - low) if high > low else 0.0

    def half(value: float) -> int:
        """The half line of a price, from the top."""
        return round((high - value) * scale)

    cells: list[dict[int, tuple[str, str]]] = [{} for _ in range(rows)]
    for place, day in enumerate(days):
        for number, cell in _candle_cells(day.candle, half, state.palette):
            cells[number][place * pitch] = cell
        if day.called is not None:
            cells[half(day.called) // 2][place * pitch + 1] = day.mark, _mark_style(day, state.palette)
    lines = []
    for number, drawn in enumerate(cells):
        label = format_price(high) if number == 0 else format_price(low) if number == rows - 1 else ""
        line = Text(pad(label, _AXIS, right=True) + " ", no_wrap=True, end="")
        end = 0
        for x, (glyph, style) in drawn.items():
            line.append(" " * (x - end))
            line.append(glyph, style)
            end = x + 1
        lines.append(line)
    dates = [format_date(day.candle.at, state.zone) for day in days if day.candle]
    span = min(room, len(days) * pitch)
    axis = " " * _AXIS + "".join(dates[:1]) + (dates[-1].rjust(span - len(dates[0])) if span > 22 else "")
    below = [_draw_events(days, pitch, state.palette)]
    return [legend, *lines, *below, *([text_line(axis, width, "dim")] if height >= 6 else [])]


def _visible_days(days: Sequence[Day], count: int) -> Sequence[Day]:
    """The last days, or those around the chosen one where it would not be among them."""
    chosen = next((place for place, day in enumerate(days) if day.chosen), len(days))
    end = min(len(days), max(count, chosen + 1 + count // 3))
    return days[max(0, end - count) : end]


def _prices(day: Day) -> list[float]:
    candle = [day.candle.high, day.candle.low] if day.candle else []
    return candle + ([day.called] if day.called is not None else [])


def _candle_cells(
    candle: CandleView | None, half: Half, palette: Palette
) -> list[tuple[int, tuple[str, str]]]:
    """Return the lines that a candle touches, each with its glyph and style."""
    if candle is None:
        return []
    top, bottom = half(max(candle.open, candle.close)), half(min(candle.open, candle.close))
    high, low = half(candle.high), half(candle.low)
    falls = candle.close < candle.open
    glyphs, style = (_FALLING, palette.down) if falls else (_RISING, palette.up)
    cells = []
    for number in range(high // 2, low // 2 + 1):
        upper, lower = (
            2 if top <= at <= bottom else 1 if high <= at <= low else 0 for at in (number * 2, number * 2 + 1)
        )
        cells.append((number, (glyphs[upper, lower], style)))
    return cells


def _mark_style(day: Day, palette: Palette) -> str:
    """Return the style of the mark of a forecast close."""
    style = {"✓": f"bold {palette.curve}", "✗": palette.warn}.get(day.mark, palette.other)
    return f"{style} reverse" if day.chosen else style


def _draw_events(days: Sequence[Day], pitch: int, palette: Palette) -> Text:
    """The line of fills and news."""
    line = Text(" " * (_AXIS + 1), no_wrap=True, end="")
    for day in days:
        fill = _FILLS.get(frozenset(day.fills), " ")
        line.append(fill, {"▲": palette.up, "▼": palette.down}.get(fill, ""))
        line.append((" ", "•")[day.news] if day.news < 2 else str(min(9, day.news)), palette.warn)
        line.append(" " * (pitch - 2))
    return line


def _draw_legend(symbol: str, days: Sequence[Day], palette: Palette, width: int) -> Text:
    """The symbol with its last close and change, and what each mark means."""
    closes = [day.candle.close for day in days if day.candle]
    change = closes[-1] / closes[-2] - 1 if len(closes) > 1 and closes[-2] else None
    wide = width >= _WIDE
    marks = [
        ("┃ up" if wide else "┃up", palette.up),
        ("█ down" if wide else "█dn", palette.down),
        ("✓ hit" if wide else "✓hit", palette.curve),
        ("✗ miss" if wide else "✗miss", palette.warn),
        ("○ open" if wide else "○open", palette.other),
        ("▲▼ fill" if wide else "▲▼", ""),
        ("• news" if wide else "•news", palette.warn),
    ]
    cells: list[tuple[object, int, str]] = [(symbol, min(9, max(4, len(symbol))), "bold")]
    if wide:
        cells += [
            (format_price(closes[-1] if closes else None), -9, ""),
            (format_signed_percent(change), -6, palette.trend_style(change)),
        ]
    room = width - sum(abs(wide) + 1 for _, wide, _ in cells)
    while marks and sum(len(text) + 1 for text, _ in marks) > room:
        del marks[0]  # what stays is whole
    return row([*cells, *((text, len(text), style) for text, style in marks)], width)
