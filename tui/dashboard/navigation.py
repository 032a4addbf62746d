"""Where a person goes next: pure functions from a view state to the one after a key."""

from dataclasses import replace

from strategies.monitor.journal_reader import EventRow
from tui.dashboard.drawing import first_row
from tui.dashboard.screens.journal import list_events, list_kinds
from tui.dashboard.screens.overview import list_journals
from tui.dashboard.view_state import Panel, Search, ViewState


def move_cursor(state: ViewState, panel: Panel, rows: int, height: int) -> ViewState:
    """Return the state with a panel's cursor moved and kept in state.

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


def select_other_journal(state: ViewState, step: int) -> ViewState:
    """Another session or run, in the order of the overview."""
    keys = [journal.place.key for journal in list_journals(state)]
    if not keys:
        return state
    place = (keys.index(state.selected) + step) % len(keys) if state.selected in keys else 0
    cursors = {**state.cursors, "journals": place}
    return replace(state, selected=keys[place], cursors=cursors, notice=f"{keys[place]} is chosen")


def select_other_call(state: ViewState, step: int) -> ViewState:
    """The forecast after the opened one, or before."""
    journal, call = state.journal, state.opened_forecast()
    if journal is None or call is None:
        return state
    place = next(place for place, each in enumerate(journal.calls) if each.seq == call.seq) + step
    return replace(state, call=journal.calls[max(0, min(place, len(journal.calls) - 1))].seq)


def open_row(state: ViewState, panel: str) -> ViewState:
    """What enter does in a panel."""
    if panel == "journals":
        journals = list_journals(state)
        if not journals:
            return state
        chosen = journals[state.cursor(panel, len(journals))]
        screen = "backtest" if chosen.place.type == "run" else "session"
        return replace(state, selected=chosen.place.key, screen=screen, focus="", notice="", filter_text="")
    if panel in ("calls", "news"):
        calls = state.list_forecasts()
        if not calls:
            return state
        call = calls[state.cursor("calls", len(calls))] if panel == "calls" else None
        return replace(state, screen="forecast", focus="", call=call.seq if call else state.call)
    if panel == "kinds":
        kinds = list_kinds(state)
        kind = kinds[state.cursor(panel, len(kinds))] if kinds else ""
        return replace(
            state, search=Search(text=state.search.text, kind="" if kind == state.search.kind else kind)
        )
    if panel == "events":
        lines = list_events(state)
        if not lines:
            return state
        line = lines[state.cursor(panel, len(lines))]
        return replace(state, event=_placeholder_event(line.seq, state))
    return state


def go_back(state: ViewState) -> ViewState:
    """What esc does: the filter goes first, then an open event, then the screen."""
    if state.notice:
        return replace(state, notice="")
    if state.filter_text or state.search.text or state.search.kind:
        return replace(state, filter_text="", search=Search(), cursors={}, offsets={})
    if state.screen == "forecast":
        return replace(state, screen="session", focus="calls")
    return state if state.screen == "overview" else replace(state, screen="overview", focus="journals")


def _placeholder_event(seq: int, state: ViewState) -> EventRow:
    """Names the event that is to be read."""
    return EventRow(seq=seq, as_of=state.now, recorded_at=state.now, kind="", payload={}, chain="")
