"""The same state as plain text: for `--once`, for a pipe, and for a screen reader."""

from collections.abc import Sequence
from dataclasses import replace

from strategies.monitor.catalog import JournalType
from strategies.monitor.views import JournalView, Snapshot
from tui.dashboard.screens import get_screen_plan
from tui.dashboard.view_state import Panel, ViewState
from tui.dashboard.wording import state_label

WIDTH = 118
_HEIGHT = 14
_SKIPPED = ("kinds", "payload", "chosen")


def select_journal(scene: Snapshot, name: str | None) -> str:
    """The key of the journal of that name, or of the one to look at first; empty where there is none.

    First come sessions that run, then other sessions, then runs.
    """
    found = [
        one
        for one in scene.journals
        if one.place.type in (JournalType.SESSION, JournalType.RUN, JournalType.COLLECTION)
    ]
    if name is not None:
        return next((one.place.key for one in found if name in (one.place.name, one.place.key)), "")
    found.sort(key=lambda one: (one.state != "running", one.place.type is not JournalType.SESSION))
    return found[0].place.key if found else ""


def render_text(
    state: ViewState, screens: Sequence[str] = ("overview", "session", "backtest", "health")
) -> str:
    """The state as text, a heading for each part; no colour, no box and no control character."""
    one = state.journal
    badges = ["PAPER", *(["SIMULATED"] if one is not None and one.simulated else [])]
    time = state.now.astimezone(state.zone)
    found = [f"closecall {' '.join(badges)}  {time:%Y-%m-%d %H:%M:%S %Z}  {state.snapshot.data_dir}"]
    if one is not None:
        found.append(_format_heading(one))
    seen: set[str] = set()
    for name in screens:
        for panel in get_screen_plan(name).panels:
            if panel.name in seen or panel.name in _SKIPPED:
                continue
            seen.add(panel.name)
            found += [
                "",
                panel.title,
                "-" * len(panel.title),
                *_panel_lines(replace(state, screen=name), panel),
            ]
    return "\n".join(line.rstrip() for line in found) + "\n"


def _format_heading(one: JournalView) -> str:
    trouble = f"  JOURNAL {one.trouble}" if one.trouble else ""
    return (
        f"{one.place.type} {one.place.name}: {state_label(one)}, {one.title}, {one.newest:,} events{trouble}"
    )


def _panel_lines(state: ViewState, panel: Panel) -> list[str]:
    drawn = [line.plain for line in panel.draw(state, WIDTH, _HEIGHT)]
    while drawn and not drawn[-1].strip():
        drawn.pop()
    return drawn or ["-"]
