"""Screen 7, Health: feeds, clock, gaps, disk, delays and errors."""

from collections.abc import Iterable, Sequence

from rich.text import Text

from strategies.monitor.views import EventLine, JournalView
from tui.dashboard.drawing import Cell, draw_table, empty_state, key_values, row, text_line
from tui.dashboard.view_state import Panel, ScreenPlan, ViewState, grid_css
from tui.formatting import format_bytes, format_count, format_duration, format_short_datetime

_LITTLE = 2_000_000_000


def _feeds(state: ViewState, width: int, height: int) -> Sequence[Text]:
    lines: list[Text] = []
    for journal in _live(state):
        for name, status, reason, at in (*journal.health.sources, *journal.health.parts):
            style = "" if status == "up" else state.palette.warn
            mark = {"up": "✓", "down": "✗ !"}.get(status, "•")
            cells = [(journal.place.name, 14, "dim"), (name, 18, ""), (f"{mark} {status}", 9, style)]
            lines.append(
                row(
                    [*cells, (format_short_datetime(at, state.zone), 11, "dim"), (reason, width - 58, "")],
                    width,
                )
            )
    if not lines:
        message = "No source or part has failed: a journal records when one does and when it recovers."
        return empty_state(
            message, "Paper sessions and collections read sources; see: closecall collect --help", width
        )
    return lines[-height:]


def _live(state: ViewState) -> list[JournalView]:
    chosen = [state.journal] if state.journal else []
    return chosen + [journal for journal in state.snapshot.journals if journal.place.key != state.selected]


def list_gaps(state: ViewState) -> list[tuple[str, EventLine]]:
    """Gaps of all journals, newest first, with the journal's name."""
    gaps = [(journal.place.name, line) for journal in state.snapshot.journals for line in journal.health.gaps]
    return sorted(gaps, key=lambda pair: pair[1].at, reverse=True)


def _gaps(state: ViewState, width: int, height: int) -> Sequence[Text]:
    gaps = list_gaps(state)
    if not gaps:
        empty = "Bars and quotes that did not arrive in time are listed here."
        return empty_state("No gap is on record.", empty, width)

    def cells(gap: tuple[str, EventLine]) -> Iterable[Cell]:
        name, line = gap
        at = format_short_datetime(line.at, state.zone)
        return (at, 11, "dim"), (name, 14, "dim"), (line.symbol, 10, ""), (line.text, width - 41, "")

    return draw_table(state, "gaps", gaps, cells, (width, height))


def _numbers(state: ViewState, width: int, _height: int) -> Sequence[Text]:
    snapshot, journal = state.snapshot, state.journal
    low = snapshot.disk_free is not None and snapshot.disk_free < _LITTLE
    values: list[tuple[str, object, str]] = [
        (
            "disk free",
            ("! little: " if low else "") + format_bytes(snapshot.disk_free),
            state.palette.warn if low else "",
        ),
        (
            "this dashboard",
            f"{format_bytes(snapshot.memory)}, a round takes {snapshot.poll_seconds * 1000:,.0f} ms",
            "",
        ),
    ]
    if journal is not None:
        health = journal.health
        missing = "its time is simulated" if journal.own_time else "no slice is journaled yet"
        late = missing if health.latency is None or journal.own_time else f"{health.latency:,.1f} s"
        thinks = "not stated" if health.thinking is None else f"{health.thinking:,.1f} s"
        values += [
            ("journal", f"{format_count(journal.newest)} events, {journal.rate:,.1f} a second", ""),
            (
                "last event",
                missing
                if journal.last_at is None or journal.own_time
                else f"{format_duration(state.now - journal.last_at)} ago",
                "",
            ),
            ("slice came after", late, ""),
            ("student took", thinks, ""),
            ("refused bars", health.refused, ""),
            ("corrections", health.corrections, ""),
            ("gaps", health.gap_count, ""),
            ("unreadable", health.faulty, state.palette.warn if health.faulty else ""),
            *(
                (f"clock of {name}", f"{offset:+.1f} s at {format_short_datetime(at, state.zone)}", "")
                for name, offset, at in health.clock
            ),
        ]
    return key_values(values, width, 18)


def _errors(state: ViewState, width: int, _height: int) -> Sequence[Text]:
    lines: list[Text] = []
    for journal in state.snapshot.journals:
        if journal.trouble:
            lines.append(text_line(f"{journal.place.key}: {journal.trouble}", width, state.palette.warn))
        if journal.notice:
            lines.append(text_line(f"{journal.place.key}: {journal.notice}", width))
        if journal.state == "failed":
            lines.append(
                text_line(f"{journal.place.key} failed: {journal.reason}", width, state.palette.warn)
            )
        for reason, number in journal.score.reasons if journal.place.key == state.selected else ():
            lines.append(text_line(f"{journal.place.name}: {number:,} abstentions: {reason}", width))
    return lines or [text_line("No journal has an error, a failure or an abstention.", width, "dim")]


FEEDS = Panel(
    name="feeds",
    title="Feeds and parts",
    draw=_feeds,
    help="Each source and part of a session as last journaled: up, down and why, or an earlier error.",
)

GAPS = Panel(
    name="gaps",
    title="Gaps",
    draw=_gaps,
    rows=lambda s: len(list_gaps(s)),
    help="What did not arrive in time, newest first.",
)

NUMBERS = Panel(
    name="numbers",
    title="Clock, disk and delays",
    draw=_numbers,
    help="Room on the disk, this dashboard's own cost, how late slices came and how long the student took.",
)

ERRORS = Panel(
    name="errors",
    title="Errors",
    draw=_errors,
    help="Journals that cannot be read, runs that failed, and why the student abstained.",
)

SCREEN = ScreenPlan(
    name="health",
    title="Health",
    help="Feeds, clock, gaps, disk.",
    panels=(NUMBERS, FEEDS, GAPS, ERRORS),
    css=grid_css("small", 1, "1fr 1fr", numbers=1, feeds=1)
    + grid_css("middle", 2, "4fr 3fr 3fr", numbers=1, feeds=1, gaps=2, errors=2)
    + grid_css("large", 10, "1fr 1fr", numbers=4, feeds=6, gaps=5, errors=5),
)
