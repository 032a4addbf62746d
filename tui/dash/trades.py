"""The panel of orders and fills. Knows no forecast."""

from collections.abc import Sequence

from rich.text import Text

from tui.dash.drawing import hinted, row, window
from tui.dash.sight import Panel, Sight
from tui.dash.views import JournalView, Line
from tui.dash.written import short


def _trades(sight: Sight, width: int, height: int) -> Sequence[Text]:
    one = sight.journal
    found = [] if one is None else trades_of(one)
    if not found:
        return hinted("No order yet.", "An order follows a forecast at the next close.", width, height)

    at = 11 if width >= 62 else 5

    def draw(place: int, chosen: bool) -> Text:  # noqa: FBT001  # drawn rows
        line = found[place]
        return row(
            [
                (short(line.at, sight.zone)[:at], at, "dim"),
                (line.symbol, 8, ""),
                (line.kind, 9, sight.palette.way(line.good)),
                (line.said, width - at - 22, ""),
            ],
            width,
            chosen=chosen,
            style=sight.palette.chosen,
        )

    return window(sight, "trades", len(found), height, draw)


def trades_of(one: JournalView) -> list[Line]:
    """Orders and fills, newest first; a filled order shows as its fill."""
    lines = [line for line in one.orders if line.kind != "filled"]
    return sorted([*lines, *one.fills], key=lambda line: (line.at, line.seq), reverse=True)


TRADES = Panel(
    name="trades",
    title="Orders and fills",
    draw=_trades,
    rows=lambda s: len(trades_of(s.journal)) if s.journal else 0,
    help="Orders that wait, were rejected, withdrawn or expired, and why; fills with price and cost.",
)
