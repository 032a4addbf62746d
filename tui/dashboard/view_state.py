"""What is looked at and how: the snapshot, the selected journal, and the place in it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo

from rich.text import Text

from strategies.monitor.journal_reader import EventRow
from strategies.monitor.views import CallView, EventLine, JournalView, Snapshot
from tui.dashboard.themes import PALETTES, Palette


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is looked for in a journal, and what was found down to event `reached`."""

    text: str = ""
    kind: str = ""
    rows: tuple[EventLine, ...] = ()
    reached: int = 0
    ended: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewState:
    """Everything that a panel may draw from.

    `chosen` is the key of a journal, `call` the event of the opened forecast and `event` that event whole.
    `cursors` holds the chosen row by panel, `offsets` the first one that is drawn.
    """

    snapshot: Snapshot
    screen: str = "overview"
    selected: str = ""
    focus: str = ""
    cursors: Mapping[str, int] = field(default_factory=dict)
    offsets: Mapping[str, int] = field(default_factory=dict)
    search: Search = field(default_factory=Search)
    filter_text: str = ""
    call: int | None = None
    event: EventRow | None = None
    reward: Mapping[str, object] | None = None
    palette: Palette = PALETTES["western"]
    zone: tzinfo = UTC
    readonly: bool = False
    notice: str = ""

    @property
    def journal(self) -> JournalView | None:
        """The chosen journal."""
        return self.snapshot.get(self.selected)

    @property
    def now(self) -> datetime:
        """The moment of the scene."""
        return self.snapshot.at

    def today(self, journal: JournalView) -> datetime:
        """The instant against which ages count: that of the inputs where time is theirs."""
        return journal.reached or self.now if journal.own_time else self.now

    def age(self, journal: JournalView, at: datetime | None) -> timedelta | None:
        """How long ago, in the journal's own time."""
        return None if at is None else self.today(journal) - at

    def cursor(self, panel: str, rows: int) -> int:
        """The chosen row of a panel that has so many."""
        return min(max(0, self.cursors.get(panel, 0)), max(0, rows - 1))

    def list_forecasts(self) -> list[CallView]:
        """Return the selected journal's forecasts, newest first, with the filter's text in them."""
        journal, wanted = self.journal, self.filter_text.lower()
        calls = reversed(journal.calls if journal is not None else ())
        return [
            call
            for call in calls
            if wanted in f"{call.symbol} {call.direction} {call.abstention or ''}".lower()
        ]

    def opened_forecast(self) -> CallView | None:
        """The forecast that was opened, or the newest."""
        journal = self.journal
        if journal is None or not journal.calls:
            return None
        return next((call for call in journal.calls if call.seq == self.call), journal.calls[-1])


Draw = Callable[[ViewState, int, int], Sequence[Text]]
"""Draws lines of so many cells, for a panel of so many lines: (state, width, height)."""

Count = Callable[[ViewState], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A part of a screen. `rows` says how many rows can be chosen in it, `help` what it shows.

    `heading` is how many lines stand above its rows, and `scrolls` says that it is read, not chosen from.
    """

    name: str
    title: str
    help: str
    draw: Draw
    rows: Count = lambda _sight: 0
    heading: int = 0
    scrolls: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenPlan:
    """A screen: its panels, and the CSS of its grid on a small, a middle and a large terminal.

    `css` is nested in the screen's own rule. A panel is displayed at a size whose CSS says so; z shows any.
    """

    name: str
    title: str
    help: str
    panels: tuple[Panel, ...]
    css: str


def grid_css(size: str, columns: int, rows: str, **spans: int | tuple[int, int]) -> str:
    """Return the CSS of a screen's grid at a size, for `ScreenPlan.css`.

    Args:
        size: small, middle (from 110x32 cells) or large (from 160x50).
        columns: Columns of equal width.
        rows: Heights as in Textual's `grid-rows`: cells, or shares as `2fr`.
        spans: Each displayed panel's columns, or columns and rows, in the order of the plan's panels.
    """
    rules = [f"&.{size} .body {{ grid-size: {columns} {len(rows.split())}; grid-rows: {rows}; }}"]
    for panel, span in spans.items():
        wide, tall = span if isinstance(span, tuple) else (span, 1)
        rules.append(f"&.{size} #{panel} {{ display: block; column-span: {wide}; row-span: {tall}; }}")
    return "\n".join(rules)
