"""The two lines at the top of every screen and the notice at its bottom. Pure: a view state in, lines out."""

from collections.abc import Sequence
from datetime import timedelta

from rich.text import Text

from tui.dashboard.drawing import fit_line, text_line
from tui.dashboard.sanitize import truncate
from tui.dashboard.view_state import ScreenPlan, ViewState
from tui.dashboard.wording import state_label
from tui.formatting import zone_name

_NOTICE_AGE = timedelta(minutes=1)


def draw_header(state: ViewState, width: int) -> Text:
    """Return the badges, the selected journal and the time."""
    journal, palette = state.journal, state.palette
    line = Text(no_wrap=True, end="")
    line.append(" closecall ", "bold")
    line.append(" PAPER ", palette.paper)
    if journal is not None and journal.simulated:
        line.append(" SIMULATED ", palette.simulated)
    if state.readonly:
        line.append(" READ-ONLY ", "reverse")
    day = "%Y-%m-%d " if width >= 100 else ""
    time = f"{state.now.astimezone(state.zone):{day}%H:%M:%S} {zone_name(state.zone, state.now)} "
    if journal is not None:
        room = max(0, width - line.cell_len - len(time) - 2)
        what = f"{journal.place.type} {journal.place.name}: {state_label(journal)}"
        line.append("  " + truncate(what, room))
    line = fit_line(line, max(0, width - len(time)))
    line.append(time, "dim")
    return fit_line(line, width)


def draw_tabs(state: ViewState, plans: Sequence[ScreenPlan], width: int) -> Text:
    """Return the names of the screens with their digits, and the filter."""
    line = Text(no_wrap=True, end="")
    for number, plan in enumerate(plans, start=1):
        line.append(f" {number} {plan.title} ", state.palette.tab if plan.name == state.screen else "")
    if state.filter_text:
        line.append(f"  / {truncate(state.filter_text, 30)}", state.palette.warn)
    return fit_line(line, width)


def tab_at(plans: Sequence[ScreenPlan], x: int) -> str | None:
    """Return the screen whose tab is at cell `x` of the line of tabs."""
    end = 0
    for number, plan in enumerate(plans, start=1):
        end += len(f" {number} {plan.title} ")
        if x < end:
            return plan.name
    return None


def current_notice(state: ViewState) -> str:
    """Return what is wrong with the selected journal or has just happened; empty if nothing."""
    journal = state.journal
    if journal is not None and journal.trouble:
        return f"! journal {journal.trouble}; what is shown is from before"
    if state.notice:
        return state.notice
    if journal is not None and journal.notice_at is not None and state.now - journal.notice_at < _NOTICE_AGE:
        return f"journal of {journal.place.name}, {journal.notice}"
    return ""


def draw_notice(state: ViewState, width: int) -> Text:
    """Return the current notice as a line."""
    return text_line(current_notice(state), width, state.palette.warn)
