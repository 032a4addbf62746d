"""Every screen at three sizes, and the state as text, as they stand in `snapshots`, cell by cell.

`make snapshots` writes those files again after an intended change; read the difference then.
"""

import asyncio
import contextlib
import functools
import os
import shutil
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from rich.cells import cell_len

from strategies.monitor.journal_reader import JournalFile
from tests.golden.commands import DATA, HERE, VERSION
from tests.support.dash_scenes import SIZES, load_snapshot, until
from training.reward_report import compute_rewards, get_reward
from tui.dashboard.app import DashApp
from tui.dashboard.screens import SCREENS
from tui.dashboard.screens.news import news_read_for
from tui.dashboard.screenshots import screen_text
from tui.dashboard.text import WIDTH, render_text
from tui.dashboard.view_state import ViewState

SNAPSHOTS = Path(__file__).with_name("snapshots")
REWRITE = "REWRITE_SNAPSHOTS"
NOW = datetime(2026, 12, 1, 9, 30, tzinfo=UTC)
JOURNALS = {
    "overview": "session/whole",
    "session": "session/whole",
    "forecast": "session/taught",
    "retrain": "run/20261129-025926",
    "backtest": "run/20261129-025025",
    "journal": "session/taught",
    "health": "session/halved",
}


@functools.cache
def golden_state():
    """What the golden data say, without the machine: its disk, its memory and the ages of its files."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(shutil.copytree(HERE / VERSION / DATA, Path(scratch) / "data"))
        for number, path in enumerate(sorted(folder.rglob("*"))):
            os.utime(path, (number, number))
        snapshot = load_snapshot(folder, NOW)
        journal = snapshot.get(JOURNALS["forecast"])
        call = next(call for call in journal.calls[40:] if news_read_for(journal, call) and call.hit)
        with contextlib.closing(
            JournalFile(folder / f"sessions/{journal.place.name}/journal.sqlite")
        ) as file:
            event = file.read_event(call.seq)
        reward = get_reward(compute_rewards(journal), call)
    machine = {"data_dir": "data", "disk_free": 52_000_000_000, "memory": 61_000_000, "poll_seconds": 0.004}
    return ViewState(snapshot=replace(snapshot, **machine), call=call.seq, event=event, reward=reward)


@functools.cache
def screens_at(size):
    """Return the lines of every screen, by its name."""

    async def show():
        lines = {}
        app = DashApp(Path("nowhere"), lambda: NOW)
        async with app.run_test(size=size) as pilot:
            app.reader.stop()
            for screen, key in JOURNALS.items():
                state = replace(golden_state(), screen=screen, selected=key)
                app.set_view(replace(state, call=None))
                app.view_state = state  # choosing another journal has closed the opened forecast
                app.draw()
                # The footer comes last on a new screen, the title on one that is drawn again.
                await until(pilot, partial(is_drawn, app, key.replace("/", " ")))
                lines[screen] = screen_text(app.screen).splitlines()
        return lines

    return asyncio.run(show())


def is_drawn(app, title):
    lines = screen_text(app.screen).splitlines()
    return bool(lines) and title in lines[0] and "Quit" in lines[-1]


def compare(name, text):
    """Compare a text with its snapshot, or write the snapshot where that is asked for."""
    path = SNAPSHOTS / f"{name}.txt"
    if os.environ.get(REWRITE):
        path.write_text(text, encoding="utf-8")
    assert text.splitlines() == path.read_text(encoding="utf-8").splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES, ids="{0[0]}x{0[1]}".format)
@pytest.mark.parametrize("screen", [plan.name for plan in SCREENS])
def test_a_screen_looks_as_its_snapshot(screen, size):
    lines = screens_at(size)[screen]
    assert (len(lines), {cell_len(line) for line in lines}) == (size[1], {size[0]})
    assert " PAPER " in lines[0]
    compare(f"{screen}-{size[0]}x{size[1]}", "\n".join(line.rstrip() for line in lines) + "\n")


@pytest.mark.parametrize(("name", "width"), [("session/halved", 80), ("run/20261129-025025", WIDTH)])
def test_the_state_as_text_is_its_snapshot(name, width):
    text = render_text(replace(golden_state(), selected=name), width)
    assert all(letter == "\n" or letter.isprintable() for letter in text)
    assert max(map(cell_len, text.splitlines()[2:])) <= width  # the lines above name the folder
    compare(f"text-{name.partition('/')[0]}-{width}", text)
