"""Pictures of every screen at three sizes, from seeded runs and a session, or from a data folder given.

    python -m tui.dashboard.screenshots OUT [DATA [NAME]]
    python -m tui.dashboard.screenshots --readme FILE

Each is what a terminal of that size shows: the app itself runs, without a terminal, by a clock that stands
still, and is exported as SVG, with its text beside it. A picture refers to nothing outside itself.
"""

import asyncio
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from textual.pilot import Pilot
from textual.screen import Screen

from strategies.monitor.catalog import JournalType
from strategies.monitor.views import CallView, JournalView
from tui.dashboard.app import DashApp
from tui.dashboard.screens import SCREENS
from tui.dashboard.screens.news import news_read_for

SIZES = ((80, 24), (120, 40), (200, 60))
NOW = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
SESSION = "demo"
README = (120, 40)
_SEED, _DAYS = 7, 90
_PATIENCE = 120.0
_STEP = timedelta(days=5)
"""Longer than from any call to the end of its step."""

_SCREENS: dict[str, Callable[[JournalView], bool]] = {
    "backtest": lambda journal: journal.place.type is JournalType.RUN and not journal.training.planned,
    "retrain": lambda journal: bool(journal.training.planned),
}
"""What the screens are about that are not about the session."""


def seed_journals(data_dir: Path) -> None:
    """A walk-forward, a backtest and a replayed session of the shipped student on a simulated market."""
    from llm.answer_cache import AnswerCache
    from llm.backends import load_student
    from strategies.backtest import backtest
    from strategies.config import student_settings
    from strategies.config_file import load_config
    from strategies.market_data import load_market_data
    from strategies.paper.replay import replay_session
    from training.walkforward.config import WalkForwardConfig
    from training.walkforward.run import walkforward

    config = load_config(None, {"seed": _SEED, "market": {"days": _DAYS}})
    settings = WalkForwardConfig(train_days=40, test_days=20, steps=6)
    walkforward(config, settings, data_dir=data_dir, clock=lambda: NOW)
    student = load_student(student_settings(config))
    backtest(config, data_dir=data_dir, clock=lambda: NOW, student=student)
    with AnswerCache(data_dir / "ledger.sqlite") as ledger:
        market_data = load_market_data(config, data_dir)
        replay_session(data_dir, SESSION, config, market_data, student=student, ledger=ledger)


async def take_screenshots(
    data_dir: Path,
    name: str | None,
    out: Path,
    screens: Sequence[str] | None = None,
    sizes: Sequence[tuple[int, int]] = SIZES,
) -> list[Path]:
    """Write these screens, or all, at these sizes to `out`; the files written."""
    wanted = [plan.name for plan in SCREENS] if screens is None else screens
    written: list[Path] = []
    for size in sizes:
        app = DashApp(data_dir, lambda: NOW, name=name)
        async with app.run_test(size=size) as pilot:
            written += await _take_screens(app, pilot, out, wanted, f"{size[0]}x{size[1]}")
    return written


async def _take_screens(
    app: DashApp, pilot: Pilot[None], out: Path, screens: Sequence[str], size: str
) -> list[Path]:
    await _wait_until(pilot, lambda: app.settled)
    written, first = [], app.view_state.selected
    for number, plan in enumerate(SCREENS, start=1):
        if plan.name in screens:
            await _open_screen(app, pilot, plan.name, number, first)
            path = out / f"{number}-{plan.name}-{size}.svg"
            path.write_text(embed_fonts(app.export_screenshot(title="closecall dash")), encoding="utf-8")
            path.with_suffix(".txt").write_text(screen_text(app.screen) + "\n", encoding="utf-8")
            written.append(path)
    return written


def screen_text(screen: Screen[object]) -> str:
    """Return what a screen shows as plain text, a line for each of its lines."""
    strips = screen._compositor.render_strips()  # Textual has no public way to the text
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


def embed_fonts(svg: str) -> str:
    """A picture that has nothing fetched: no font of another site's, but whatever is fixed-width there."""
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    families = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"
    return svg.replace("Fira Code, monospace", families).replace("arial;", "sans-serif;")


async def _open_screen(app: DashApp, pilot: Pilot[None], name: str, number: int, first: str) -> None:
    """Open a screen, on the journal that it is about."""
    meant = _SCREENS.get(name)
    keys = [
        journal.place.key
        for journal in app.view_state.snapshot.journals
        if meant is not None and meant(journal)
    ]
    chosen = keys[0] if keys else first
    app.set_view(replace(app.view_state, selected=chosen, call=None))
    if name == "forecast" and app.view_state.journal is not None:
        for call in _informative_calls(app.view_state.journal)[-1:]:
            app.set_view(replace(app.view_state, call=call.seq, screen=name, event=None))
            await _wait_until(
                pilot, lambda: app.view_state.event is not None and app.view_state.reward is not None
            )
    await pilot.press(str(number))
    await pilot.pause(0.8)


def _informative_calls(journal: JournalView) -> list[CallView]:
    """The calls that the student had news for, and whose steps have ended."""
    return [
        call
        for call in journal.calls
        if call.as_of < journal.calls[-1].as_of - _STEP and news_read_for(journal, call)
    ]


async def _wait_until(pilot: Pilot[None], met: Callable[[], bool]) -> None:
    """Wait, though not for ever: a picture of what there is then is better than none."""
    until = time.monotonic() + _PATIENCE
    while not met() and time.monotonic() < until:
        await pilot.pause(0.2)


def main(words: Sequence[str]) -> None:
    """Write the pictures."""
    if words[0] == "--seed":
        seed_journals(Path(words[1]))
        return
    with tempfile.TemporaryDirectory() as scratch:
        if words[0] == "--readme":
            _seed(Path(scratch))
            written = asyncio.run(
                take_screenshots(Path(scratch), SESSION, Path(scratch), ("session",), (README,))
            )
            Path(words[1]).write_text(written[0].read_text(encoding="utf-8"), encoding="utf-8")
            return
        out = Path(words[0])
        out.mkdir(parents=True, exist_ok=True)
        given = Path(words[1]) if len(words) > 1 else None
        if given is None:
            _seed(Path(scratch))
        name = SESSION if given is None else words[2] if len(words) > 2 else None
        written = asyncio.run(take_screenshots(given or Path(scratch), name, out))
    sys.stdout.write(f"{len(written)} screens in {out}\n")


def _seed(data_dir: Path) -> None:
    """In a process of its own, since a student's memory is none of the dashboard's."""
    subprocess.run([sys.executable, "-m", "tui.dashboard.screenshots", "--seed", str(data_dir)], check=True)  # noqa: S603  # our own


if __name__ == "__main__":
    main(sys.argv[1:])
