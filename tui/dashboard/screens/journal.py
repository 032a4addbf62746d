"""Screen 6, Journal: every event as it comes, filtered by kind and text, and one of them opened."""

import json
from collections.abc import Iterable, Sequence

from rich.text import Text

from strategies.monitor.views import EventLine
from tui.dashboard.drawing import Cell, draw_table, empty_state, paragraph, text_line
from tui.dashboard.screens.session import CHOOSE, NO_JOURNAL
from tui.dashboard.view_state import Panel, ScreenPlan, ViewState, grid_css
from tui.formatting import format_count, format_datetime


def list_events(state: ViewState) -> Sequence[EventLine]:
    """The events that are listed, newest first: those that were found, or the last ones."""
    journal = state.journal
    if journal is None:
        return ()
    if state.search.text or state.search.kind:
        return state.search.rows
    return journal.lines[::-1]


def _draw(state: ViewState, width: int, height: int) -> Sequence[Text]:
    journal, events = state.journal, list_events(state)
    if journal is None:
        return empty_state(NO_JOURNAL, CHOOSE, width)
    search = state.search
    wanted = " and ".join(
        filter(None, (search.kind and f"kind {search.kind}", search.text and f"text {search.text!r}"))
    )
    looking = "" if search.ended else f", looking on from event {search.reached:,}"
    head = (
        f"{len(events):,} found with {wanted}{looking}"
        if wanted
        else f"{journal.newest:,} events, the last of them:"
    )

    def cells(line: EventLine) -> Iterable[Cell]:
        return (
            (f"{line.seq:,}", -9, "dim"),
            (format_datetime(line.at, state.zone), 16, "dim"),
            (line.kind, 16, "bold"),
            (line.symbol, 9, ""),
            (line.text, max(1, width - 56), state.palette.down if line.good is False else ""),
        )

    body = draw_table(state, "events", events, cells, (width, height - 1))
    if not events:
        body = empty_state(
            "Nothing was found." if wanted else "No event yet.", "esc shows all; / searches again.", width
        )
    return [text_line(head, width, "dim"), *body]


def _kinds(state: ViewState, width: int, height: int) -> Sequence[Text]:
    counts = state.journal.kinds if state.journal else {}

    def cells(kind: str) -> Iterable[Cell]:
        mark = "● " if kind == state.search.kind else "  "
        return (mark + kind, width - 9, ""), (format_count(counts[kind]), -6, "dim")

    return draw_table(state, "kinds", list_kinds(state), cells, (width, height))


def list_kinds(state: ViewState) -> list[str]:
    """The kinds of events in the chosen journal."""
    return sorted(state.journal.kinds) if state.journal else []


def _payload(state: ViewState, width: int, height: int) -> Sequence[Text]:
    event = state.event
    if event is None:
        return empty_state("No event is opened.", "enter on an event opens it.", width)
    if event.faulty:
        return [
            text_line(
                f"event {event.seq}: {event.size:,} characters that are no event of this version", width
            )
        ]
    head = text_line(
        f"{event.seq:,} {event.kind}  {format_datetime(event.as_of, state.zone)}  chain {event.chain[:12]}",
        width,
        "bold",
    )
    text = json.dumps(event.payload, indent=1, ensure_ascii=False)
    skipped = state.cursor("payload", 10_000)
    return [head, *paragraph(text, width, height - 1 + skipped)[skipped:]]


EVENTS = Panel(
    name="events",
    title="Events",
    draw=_draw,
    heading=1,
    rows=lambda s: len(list_events(s)),
    help="Every event, newest first. / looks for a text in all of them, enter on a kind keeps that kind, "
    "enter on an event opens it, esc shows all.",
)

KINDS = Panel(
    name="kinds",
    title="Kinds",
    draw=_kinds,
    rows=lambda s: len(list_kinds(s)),
    help="How many events of each kind there are. Enter keeps one kind.",
)

PAYLOAD = Panel(
    name="payload",
    title="Event",
    draw=_payload,
    scrolls=True,
    rows=lambda _s: 10_000,
    help="The opened event as it stands in the journal. j and k scroll.",
)

SCREEN = ScreenPlan(
    name="journal",
    title="Journal",
    help="Every event.",
    panels=(EVENTS, KINDS, PAYLOAD),
    css=grid_css("small", 1, "7fr 3fr", events=1, payload=1)
    + grid_css("middle", 4, "13fr 7fr", events=3, kinds=1, payload=4)
    + grid_css("large", 20, "1fr", events=10, kinds=3, payload=7),
)
