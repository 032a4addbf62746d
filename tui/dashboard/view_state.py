"""What is looked at and how: the scene, the chosen journal, and a person's place in it. Knows no Textual."""

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
    zoomed: bool = False
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

    def opened_forecast(self) -> CallView | None:
        """The forecast that was opened, or the newest."""
        journal = self.journal
        if journal is None or not journal.calls:
            return None
        return next((one for one in journal.calls if one.seq == self.call), journal.calls[-1])


Draw = Callable[[ViewState, int, int], Sequence[Text]]
"""Draws at most so many lines of so many cells: (sight, width, height)."""

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
