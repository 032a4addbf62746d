"""The same state as plain text: for `--once`, for a pipe, and for a screen reader."""

from dataclasses import replace

from strategies.monitor.catalog import JournalType
from strategies.monitor.views import JournalView, Snapshot
from tui.dashboard.drawing import draw_panel
from tui.dashboard.screens import get_screen_plan
from tui.dashboard.view_state import Panel, ViewState
from tui.dashboard.wording import state_label

WIDTH = 118
"""Cells of a line where no terminal says how many there are."""

MIN_WIDTH = 40
_HEIGHT = 14
_SCREENS = ("overview", "session", "backtest", "health")
_SKIPPED = ("kinds", "payload", "chosen")


def select_journal(snapshot: Snapshot, name: str | None) -> str:
    """The key of the journal of that name, or of the one to look at first; empty where there is none.

    First come sessions that run, then other sessions, then runs.
    """
    journals = [
        journal
        for journal in snapshot.journals
        if journal.place.type in (JournalType.SESSION, JournalType.RUN, JournalType.COLLECTION)
    ]
    if name is not None:
        return next(
            (journal.place.key for journal in journals if name in (journal.place.name, journal.place.key)), ""
        )
    journals.sort(
        key=lambda journal: (journal.state != "running", journal.place.type is not JournalType.SESSION)
    )
    return journals[0].place.key if journals else ""


def render_text(state: ViewState, width: int = WIDTH) -> str:
    """The state as text, a heading for each part; no colour, no box and no control character."""
    journal = state.journal
    badges = ["PAPER", *(["SIMULATED"] if journal is not None and journal.simulated else [])]
    time = state.now.astimezone(state.zone)
    lines = [f"closecall {' '.join(badges)}  {time:%Y-%m-%d %H:%M:%S %Z}  {state.snapshot.data_dir}"]
    if journal is not None:
        lines.append(_format_heading(journal))
    seen: set[str] = set()
    for name in _SCREENS:
        for panel in get_screen_plan(name).panels:
            if panel.name in seen or panel.name in _SKIPPED:
                continue
            seen.add(panel.name)
            lines += [
                "",
                panel.title,
                "-" * len(panel.title),
                *_panel_lines(replace(state, screen=name), panel, width),
            ]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _format_heading(journal: JournalView) -> str:
    trouble = f"  JOURNAL {journal.trouble}" if journal.trouble else ""
    what = f"{journal.place.type} {journal.place.name}: {state_label(journal)}, {journal.title}"
    return f"{what}, {journal.newest:,} events{trouble}"


def _panel_lines(state: ViewState, panel: Panel, width: int) -> list[str]:
    drawn = "\n".join(line.plain for line in draw_panel(panel, state, width, _HEIGHT)).rstrip()
    return drawn.splitlines() or ["-"]
