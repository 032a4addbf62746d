"""Pictures of every screen at three sizes, from a seeded run and session, or from a data folder given.

    python -m tui.dash.pictures OUT [DATA [NAME]]

Each is what a terminal of that size shows: the app itself runs, without a terminal, by a clock that stands
still, and is exported as SVG, with its text beside it.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tui.dash.app import DashApp
from tui.dash.canvas import Canvas
from tui.dash.screens import SCREENS

SIZES = ((80, 24), (120, 40), (200, 60))
NOW = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
SESSION = "demo"
_SEED, _DAYS = 7, 90
_PATIENCE = 120.0


def seeded(data_dir: Path) -> None:
    """A backtest and a replayed session of the shipped student on a simulated market."""
    from llm.ledger import Ledger
    from llm.transformers_student import StudentSettings, load_student
    from strategies.backtest import backtest
    from strategies.config import load_config
    from strategies.facts import gather
    from strategies.paper.replaying import replay_session

    config = load_config(None, {"seed": _SEED, "market": {"days": _DAYS}})
    student = load_student(StudentSettings(student=config.student))
    backtest(config, data_dir=data_dir, clock=lambda: NOW, student=student)
    with Ledger(data_dir / "ledger.sqlite") as ledger:
        facts = gather(config, data_dir)
        replay_session(data_dir, SESSION, config, facts, student=student, ledger=ledger)


async def take(data_dir: Path, name: str | None, out: Path) -> list[Path]:
    """Write every screen at every size to `out`; the files written."""
    written = []
    for width, height in SIZES:
        app = DashApp(data_dir, lambda: NOW, name=name)
        async with app.run_test(size=(width, height)) as pilot:
            until = time.monotonic() + _PATIENCE
            while not app.settled and time.monotonic() < until:
                await pilot.pause(0.2)
            for number, plan in enumerate(SCREENS, start=1):
                await pilot.press(str(number))
                await pilot.pause(0.8)
                path = out / f"{number}-{plan.name}-{width}x{height}.svg"
                path.write_text(app.export_screenshot(title="closecall dash"), encoding="utf-8")
                text = app.query_one(Canvas).plain
                path.with_suffix(".txt").write_text(text + "\n", encoding="utf-8")
                written.append(path)
    return written


def main(words: Sequence[str]) -> None:
    """Write the pictures."""
    if words[0] == "--seed":
        seeded(Path(words[1]))
        return
    out = Path(words[0])
    out.mkdir(parents=True, exist_ok=True)
    if len(words) > 1:
        written = asyncio.run(take(Path(words[1]), words[2] if len(words) > 2 else None, out))
    else:
        with tempfile.TemporaryDirectory() as made:
            # In a process of its own, since a student's memory is none of the dashboard's.
            subprocess.run([sys.executable, "-m", "tui.dash.pictures", "--seed", made], check=True)  # noqa: S603  # our own
            written = asyncio.run(take(Path(made), SESSION, out))
    sys.stdout.write(f"{len(written)} screens in {out}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
