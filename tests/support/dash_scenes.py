"""A data folder with a run, a session and a registry, and sights of it, for the tests of the dashboard."""

import atexit
import functools
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from strategies.backtest import backtest
from strategies.config_file import load_config
from strategies.monitor.follower import JournalFollower
from tests.support.paper_sessions import full_script, replay
from tests.support.students import RuleStudent
from tui.dashboard.text import select_journal
from tui.dashboard.view_state import ViewState

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
SMALL = {"market": {"coins": 2, "stocks": 1, "days": 45}}
SIZES = ((80, 24), (120, 40), (200, 60))


@functools.cache
def shared_folder() -> Path:
    """A folder with a finished run and a finished session, for tests that only look; made once a process."""
    holder = tempfile.TemporaryDirectory()
    atexit.register(holder.cleanup)
    folder = Path(holder.name)
    backtest(load_config(None, SMALL), data_dir=folder, clock=lambda: NOW, student=RuleStudent())
    replay(folder, full_script())
    return folder


def stopped_session(folder: Path) -> Path:
    """Make a session in a folder that was stopped in its middle."""
    turns = iter(range(41))
    replay(folder, full_script(), stop=lambda: next(turns, None) is None, ahead=1)
    return folder


def load_snapshot(folder: Path, now=NOW):
    """What the dashboard knows of a folder."""
    reader = JournalFollower(folder, lambda: now)
    try:
        return reader.read_all()
    finally:
        reader.close()


def make_view_state(folder: Path, name=None, **rest) -> ViewState:
    """A sight of the journal of that name."""
    scene = load_snapshot(folder)
    return ViewState(snapshot=scene, selected=select_journal(scene, name), **rest)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def until(pilot, met, seconds=20.0):
    """Let the dashboard run until a condition holds."""
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, "it did not happen in time"
        await pilot.pause(0.05)
