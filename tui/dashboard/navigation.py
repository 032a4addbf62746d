"""Where a person goes next: pure functions from a view state to the one after a key."""

from dataclasses import replace

from strategies.monitor.journal_reader import EventRow
from tui.dashboard.drawing import first_row
from tui.dashboard.screens.journal import list_events, list_kinds
from tui.dashboard.screens.overview import list_journals
from tui.dashboard.screens.session import list_forecasts
from tui.dashboard.view_state import Panel, Search, ViewState


def move_cursor(state: ViewState, panel: Panel, rows: int, height: int) -> ViewState:
    """Return the state with a panel's cursor moved and kept in sight.

    Args:
        state: What is looked at.
        panel: The panel whose cursor moves.
        rows: How far, negative for up.
        height: Lines of the panel within its border.
    """
    name, count = panel.name, panel.rows(state)
    cursor = max(0, min(state.cursor(name, count) + rows, count - 1))
    offset = first_row(state.offsets.get(name, 0), cursor, count, max(1, height - panel.heading))
    after = replace(state, cursors={**state.cursors, name: cursor}, offsets={**state.offsets, name: offset})
    if name == "journals" and count:
        after = replace(after, selected=list_journals(after)[cursor].place.key)
    return after


def choose_row(state: ViewState, panel: Panel, line: int, height: int) -> tuple[ViewState, bool]:
    """Return the state after a click on a line of a panel, and whether its row was chosen already.

    Args:
        state: What is looked at.
        panel: The panel that was clicked.
        line: The line within its border, from 0.
        height: Lines of the panel within its border.
    """
    rows = panel.rows(state)
    row = line - panel.heading + state.offsets.get(panel.name, 0)
    if panel.scrolls or not panel.heading <= line < height or not 0 <= row < rows:
        return state, False
    step = row - state.cursor(panel.name, rows)
    return move_cursor(state, panel, step, height), step == 0


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
