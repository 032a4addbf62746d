"""`closecall dash` on no terminal, and where it looks."""

import re
import sys

import pytest
from rich.cells import cell_len

from engine.errors import UsageError
from strategies.monitor import catalog as places
from strategies.monitor.catalog import JournalType
from tests.support.dash_scenes import shared_folder
from tests.support.own_processes import ran
from tests.support.places import ROOT
from tui.cli.dash import dash


@pytest.fixture(scope="module")
def folder():
    return shared_folder()


def shown(capsys, folder, *words, **flags):
    dash(*words, data=folder, **{"utc": True} | flags)
    return capsys.readouterr().out


@pytest.mark.parametrize("once", [True, False])
def test_without_a_terminal_it_prints_the_state_as_text_as_once_does(capsys, folder, once):
    assert "session trial: finished" in shown(capsys, folder, "trial", once=once)


def test_the_text_is_as_wide_as_the_terminal_or_as_columns_says(monkeypatch, capsys, folder):
    def widest():
        return max(map(cell_len, shown(capsys, folder).splitlines()[2:]))

    monkeypatch.delenv("COLUMNS", raising=False)
    assert 80 < widest() <= 118
    monkeypatch.setenv("COLUMNS", "72")
    assert widest() <= 72


def test_an_empty_folder_says_what_to_do(capsys, tmp_path):
    assert "closecall backtest" in shown(capsys, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_name_that_is_not_there_and_a_palette_that_is_none_are_refused(folder):
    with pytest.raises(UsageError, match="did you mean trial"):
        dash("trail", once=True, data=folder)
    with pytest.raises(UsageError, match="colour-blind"):
        dash(palette="red", data=folder)


@pytest.mark.parametrize(("holder", "words"), [(4711, "runs on in the background"), (None, "has ended")])
def test_the_dashboard_beside_a_session_says_what_becomes_of_it(monkeypatch, capsys, folder, holder, words):
    from types import SimpleNamespace

    from tui.cli.dash import run_with_dashboard

    begun = []
    monkeypatch.setattr("strategies.paper_runtime.supervisor.start_in_background", begun.append)
    monkeypatch.setattr("strategies.paper.files.supervisor_pid", lambda _folder: holder)
    plan = SimpleNamespace(data_dir=folder, name="trial")
    run_with_dashboard(plan)
    out, err = capsys.readouterr()
    assert "session trial: finished" in out
    assert words in err.splitlines()[-1]
    assert begun == ([] if holder else [plan])


def test_the_picture_in_the_readme_fetches_nothing_from_elsewhere():
    from tui.dashboard.screenshots import embed_fonts

    assert "docs/dashboard.svg" in (ROOT / "README.md").read_text()
    svg = (ROOT / "docs" / "dashboard.svg").read_text()
    assert "SIMULATED" in svg and embed_fonts(svg) == svg
    beyond = svg.replace('xmlns="http://www.w3.org/2000/svg"', "").replace("url(#", "")
    assert not any(word in beyond for word in ("http", "url(", "@import", "<script", "<image", "href"))


def test_the_places_are_those_where_the_others_write():
    from llm.registry.store import JOURNAL as REGISTRY
    from strategies.paper.files import LOCK, SESSIONS
    from strategies.runs import JOURNAL
    from training.retraining.source import TRAINING_JOURNAL

    assert (places.JOURNAL, places.TRAINING, places.REGISTRY) == (JOURNAL, TRAINING_JOURNAL, REGISTRY)
    assert (places.FOLDERS[JournalType.SESSION], places.LOCKS[JournalType.SESSION]) == (SESSIONS, LOCK)


def test_a_session_that_is_open_is_known_by_its_lock(tmp_path):
    from strategies.paper.lock import SessionLock

    folder = tmp_path / "sessions" / "one"
    folder.mkdir(parents=True)
    place = places.JournalPlace(type=JournalType.SESSION, name="one", path=folder / places.JOURNAL)
    assert places.lock_owner(place) is None
    with SessionLock(folder / places.LOCKS[JournalType.SESSION]):
        assert places.lock_owner(place) is not None
    assert places.lock_owner(place) is None


def test_nothing_but_the_app_its_screen_and_its_dialogs_imports_textual():
    paths = [*(ROOT / "tui" / "dashboard").rglob("*.py"), *(ROOT / "strategies" / "monitor").glob("*.py")]
    assert len(paths) > 20
    for path in paths:
        if path.name not in ("app.py", "screen.py", "dialogs.py", "screenshots.py", "web.py"):
            assert not re.search(r"^\s*(import|from) textual", path.read_text(), re.MULTILINE), path.name


def test_the_state_as_text_needs_no_heavy_library():
    code = (
        "import sys; import tui.dashboard.text, strategies.monitor.follower, tui.cli.dash; "
        "heavy = ('torch', 'pandas', 'textual', 'sqlalchemy', 'backtrader', 'pydantic'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = ran([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
