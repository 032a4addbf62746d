"""Where a person goes next: pure functions from a sight to the sight after a key. Knows no Textual."""

from collections.abc import Sequence
from dataclasses import replace

from strategies.monitor.journal_reader import EventRow
from tui.dashboard.drawing import first_row
from tui.dashboard.frame import Box, box_at
from tui.dashboard.screens.journal import list_events, list_kinds
from tui.dashboard.screens.overview import list_journals
from tui.dashboard.screens.session import list_forecasts
from tui.dashboard.view_state import Panel, Search, ViewState


def move_cursor(sight: ViewState, box: Box, rows: int) -> ViewState:
    """The cursor of a panel moved by so many rows, kept in sight."""
    name, count = box.panel.name, box.panel.rows(sight)
    cursor = max(0, min(sight.cursor(name, count) + rows, count - 1))
    tall = max(1, box.height - 2 - box.panel.heading)
    offset = first_row(sight.offsets.get(name, 0), cursor, count, tall)
    after = replace(sight, cursors={**sight.cursors, name: cursor}, offsets={**sight.offsets, name: offset})
    if name == "journals" and count:
        after = replace(after, selected=list_journals(after)[cursor].place.key)
    return after


def handle_click(sight: ViewState, boxes: Sequence[Box], x: int, y: int) -> tuple[ViewState, bool]:
    """After a click on a cell, and whether it opens the row that was chosen already."""
    box = box_at(boxes, x, y)
    if box is None:
        return sight, False
    name, focused = box.panel.name, sight.focus == box.panel.name
    after = replace(sight, focus=name)
    rows = box.panel.rows(after)
    place = y - box.y - 1 - box.panel.heading + after.offsets.get(name, 0)
    if box.panel.scrolls or not 0 <= place < rows or not box.y < y < box.y + box.height - 1:
        return after, False
    step = place - after.cursor(name, rows)
    return move_cursor(after, box, step), focused and step == 0


def focus_other_panel(sight: ViewState, panels: Sequence[Panel], step: int) -> ViewState:
    """The focus on the next panel, or the one before."""
    names = [panel.name for panel in panels]
    return replace(sight, focus=names[(names.index(sight.focus) + step) % len(names)])


def select_other_journal(sight: ViewState, step: int) -> ViewState:
    """Another session or run, in the order of the overview."""
    keys = [one.place.key for one in list_journals(sight)]
    if not keys:
        return sight
    place = (keys.index(sight.selected) + step) % len(keys) if sight.selected in keys else 0
    cursors = {**sight.cursors, "journals": place}
    return replace(sight, selected=keys[place], cursors=cursors, notice=f"{keys[place]} is chosen")


def select_other_call(sight: ViewState, step: int) -> ViewState:
    """The forecast after the opened one, or before."""
    one, call = sight.journal, sight.opened_forecast()
    if one is None or call is None:
        return sight
    place = next(place for place, each in enumerate(one.calls) if each.seq == call.seq) + step
    return replace(sight, call=one.calls[max(0, min(place, len(one.calls) - 1))].seq)


def open_row(sight: ViewState, panel: str) -> ViewState:
    """What enter does in a panel."""
    if panel == "journals":
        found = list_journals(sight)
        if not found:
            return sight
        chosen = found[sight.cursor(panel, len(found))]
        screen = "backtest" if chosen.place.type == "run" else "session"
        return replace(sight, selected=chosen.place.key, screen=screen, focus="", notice="", filter_text="")
    if panel in ("calls", "news"):
        calls = list_forecasts(sight)
        if not calls:
            return sight
        call = calls[sight.cursor("calls", len(calls))] if panel == "calls" else None
        return replace(sight, screen="forecast", focus="", call=call.seq if call else sight.call)
    if panel == "kinds":
        kinds = list_kinds(sight)
        kind = kinds[sight.cursor(panel, len(kinds))] if kinds else ""
        return replace(
            sight, search=Search(text=sight.search.text, kind="" if kind == sight.search.kind else kind)
        )
    if panel == "events":
        lines = list_events(sight)
        if not lines:
            return sight
        line = lines[sight.cursor(panel, len(lines))]
        return replace(sight, event=_placeholder_event(line.seq, sight))
    return sight


def go_back(sight: ViewState) -> ViewState:
    """What esc does: the filter goes first, then an open event, then the screen."""
    if sight.zoomed:
        return replace(sight, zoomed=False)
    if sight.notice:
        return replace(sight, notice="")
    if sight.filter_text or sight.search.text or sight.search.kind:
        return replace(sight, filter_text="", search=Search(), cursors={}, offsets={})
    if sight.screen == "forecast":
        return replace(sight, screen="session", focus="calls")
    return sight if sight.screen == "overview" else replace(sight, screen="overview", focus="journals")


def _placeholder_event(seq: int, sight: ViewState) -> EventRow:
    """Names the event that is to be read."""
    return EventRow(seq=seq, as_of=sight.now, recorded_at=sight.now, kind="", payload={}, chain="")
