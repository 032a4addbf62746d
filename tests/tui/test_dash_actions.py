"""What a person does from the dashboard is one command through one door, and nothing else is ever written."""

import ast
from datetime import timedelta
from pathlib import Path

import pytest

import tui.dashboard
from llm.registry.registry import Registry
from tests.support.adapters_on_disk import adapter_on_disk, at, enter
from tests.support.dash_scenes import NOW, scene_of, sight_of, tree
from tests.support.paper_sessions import FACTS, NAME, everything, in_child, journal_of, replay
from tui.dashboard.actions import author, carried_out, deed
from tui.dashboard.view_state import Sight
from tui.dashboard.wording import remedy

SOURCES = sorted(Path(tui.dashboard.__file__).parent.rglob("*.py"))

WRITERS = {
    "actions.py": {"Journal", "Registry", "Popen"},
    "screenshots.py": {"write_text", "mkdir", "run"},
}

FORBIDDEN = {
    "write_text", "write_bytes", "mkdir", "makedirs", "unlink", "remove", "rename", "rmdir", "rmtree",
    "touch", "Journal", "Registry", "Popen", "run", "check_output", "system", "execv", "copyfile",
    "copytree",
}  # fmt: skip


@pytest.fixture
def waiting(tmp_path):
    """A session that was killed in its middle."""
    count = 0

    def stop():
        nonlocal count
        count += 1
        return count > 40

    replay(tmp_path, everything(), stop=stop, ahead=1)
    return tmp_path


def test_a_command_is_one_event_and_the_session_answers_it(waiting):
    before = tree(waiting)
    with journal_of(waiting) as journal:
        last = journal.last_seq
    planned = deed("halt", sight_of(waiting, NAME), lambda: NOW)
    assert tree(waiting) == before
    assert "No process has it open now" in planned.will
    done = carried_out(planned, "too hot")
    with journal_of(waiting) as journal:
        (row,) = journal.read(last)
    assert (row.seq, row.kind, row.payload) == (
        done.event, "command", {"command": "halt", "author": author(), "text": "too hot"}
    )  # fmt: skip
    assert {name for name, held in tree(waiting).items() if held != before.get(name)} == {
        f"sessions/{NAME}/journal.sqlite"
    }
    replay(waiting, everything())
    session = scene_of(waiting).get(f"session/{NAME}")
    answered = next(one for one in session.commands if one.seq == done.event)
    assert answered.answer.endswith("→ halted")


def test_a_session_that_was_stopped_says_how_it_goes_on(waiting):
    session = scene_of(waiting).get(f"session/{NAME}")
    assert session.state == "stopped"
    assert remedy(session) == f"told to stop; go on with: closecall paper start --name {NAME}"


@pytest.mark.parametrize(
    "name",
    ["pause", "resume", "reduce", "halt", "flatten", "promote", "rollback", "retrain", "backtest", "replay"],
)
def test_readonly_names_every_action_and_does_none(waiting, name):
    before = tree(waiting)
    planned = deed(name, sight_of(waiting, NAME, readonly=True), lambda: NOW)
    assert planned.will
    assert "--readonly" in carried_out(planned, "").said
    assert tree(waiting) == before


def test_a_command_needs_a_session_that_can_still_obey(tmp_path):
    replay(tmp_path)
    finished = deed("halt", sight_of(tmp_path, NAME), lambda: NOW)
    assert "has finished" in finished.refused
    nothing = deed("halt", Sight(scene=scene_of(tmp_path / "nowhere")), lambda: NOW)
    assert "choose a session" in nothing.refused


def test_a_journal_that_has_gone_is_said_and_nothing_breaks(waiting):
    sight = sight_of(waiting, NAME)
    (waiting / "sessions" / NAME / "journal.sqlite").unlink()
    done = carried_out(deed("halt", sight, lambda: NOW), "")
    assert done.event is None
    assert "halt failed" in done.said


def test_promote_and_roll_back_go_through_the_registry(tmp_path):
    with Registry.open(tmp_path) as registry:
        names = [enter(registry, adapter_on_disk(tmp_path / f"made-{n}", n), hours=n).name for n in (1, 2)]
    later = at(50)
    chosen = Sight(scene=scene_of(tmp_path), cursors={"adapters": 1})
    planned = deed("promote", chosen, lambda: later)
    assert names[0] in planned.will
    assert "is the champion of tiny" in carried_out(planned, "better").said
    after = Sight(scene=scene_of(tmp_path), cursors={"adapters": 1})
    assert dict(after.scene.registry.champions) == {"tiny": names[0]}
    assert "champion already" in deed("promote", after, lambda: later).refused
    said = carried_out(deed("rollback", after, lambda: later + timedelta(hours=1)), "").said
    assert "the bare base model speaks for tiny again" in said
    with Registry.open(tmp_path) as registry:
        assert [one.payload["by"] for one in registry.changes()[2:]] == [author(), author()]
    assert "nothing to roll back" in deed("rollback", Sight(scene=scene_of(tmp_path)), lambda: later).refused


def test_a_round_learns_from_the_session_that_is_chosen(waiting):
    assert f"retrain --from {NAME}" in deed("retrain", sight_of(waiting, NAME), lambda: NOW).will
    assert "--from" not in deed("retrain", Sight(scene=scene_of(waiting / "nowhere")), lambda: NOW).will


def test_a_process_that_fails_at_once_tells_why(tmp_path):
    (tmp_path / "file").write_text("no folder")
    scene = scene_of(tmp_path / "file")
    done = carried_out(deed("backtest", Sight(scene=scene), lambda: NOW), "")
    assert "runs as process" in done.said
    assert done.after is not None
    ended = done.after()
    assert "ended with code 2" in ended
    assert "is a file" in ended


def test_a_session_that_is_halted_by_the_dashboard_goes_on_to_the_same_end(waiting):
    """The command is an input like any other: a second replay of the journal gives the same effects."""
    carried_out(deed("pause", sight_of(waiting, NAME), lambda: FACTS.start + timedelta(days=400)), "")
    assert in_child(lambda: replay(waiting, everything())) == 0
    with journal_of(waiting) as journal:
        journal.verify()


@pytest.mark.parametrize("path", SOURCES, ids=[path.name for path in SOURCES])
def test_no_screen_code_can_write(path):
    allowed = WRITERS.get(path.name, set())
    for node in ast.walk(ast.parse(path.read_text())):
        names = set()
        if isinstance(node, ast.Call):
            called = node.func
            names = {called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")}
            if names == {"open"}:
                assert isinstance(called, ast.Attribute), "no file is opened but through a door"
        elif isinstance(node, ast.ImportFrom):
            names = {one.name for one in node.names}
        assert not (names & FORBIDDEN) - allowed, f"{path.name} line {getattr(node, 'lineno', 0)}"
