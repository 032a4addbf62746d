"""What a person does from the dashboard is one command through one door, and nothing else is ever written."""

import ast
import json
from datetime import timedelta
from pathlib import Path

import pytest

import tui.dashboard
from llm.registry.registry import Registry
from tests.support.adapters_on_disk import adapter_on_disk, enter, instant_at
from tests.support.dash_scenes import NOW, load_snapshot, make_view_state, stopped_session, tree
from tests.support.paper_sessions import FACTS, NAME, full_script, open_journal, replay, run_in_child
from tui.cli.main import run
from tui.dashboard.actions import author, execute, plan_action
from tui.dashboard.keys import KEYS
from tui.dashboard.view_state import ViewState
from tui.dashboard.wording import suggest_remedy

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
    return stopped_session(tmp_path)


def test_a_command_is_one_event_and_the_session_answers_it(waiting):
    before = tree(waiting)
    with open_journal(waiting) as journal:
        last = journal.last_seq
    planned = plan_action("halt", make_view_state(waiting, NAME), lambda: NOW)
    assert tree(waiting) == before
    assert "No process has it open now" in planned.description
    done = execute(planned, "too hot")
    with open_journal(waiting) as journal:
        (row,) = journal.read(last)
    assert (row.seq, row.kind, row.payload) == (
        done.event, "command", {"command": "halt", "author": author(), "text": "too hot"}
    )  # fmt: skip
    assert {name for name, held in tree(waiting).items() if held != before.get(name)} == {
        f"sessions/{NAME}/journal.sqlite"
    }
    replay(waiting, full_script())
    session = load_snapshot(waiting).get(f"session/{NAME}")
    answered = next(one for one in session.commands if one.seq == done.event)
    assert answered.answer.endswith("→ halted")


def test_a_session_that_was_stopped_says_how_it_goes_on(waiting):
    session = load_snapshot(waiting).get(f"session/{NAME}")
    assert session.state == "stopped"
    assert suggest_remedy(session) == f"stop requested; go on with: closecall paper start --name {NAME}"


def test_pausing_is_halting_under_another_name(waiting, capsys):
    assert [key.action for key in KEYS if "P" in key.keys.split(",")] == ["act('halt')"]
    for name in ("halt", "pause"):
        assert run(["paper", name, NAME, "--reason", "lunch", "--data-dir", str(waiting), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["command"] == "halt"
    with open_journal(waiting) as journal:
        first, second = [row.payload for row in journal.read(kinds=("command",))][-2:]
    assert first == second


def test_a_command_needs_a_session_that_can_still_obey(tmp_path):
    replay(tmp_path)
    finished = plan_action("halt", make_view_state(tmp_path, NAME), lambda: NOW)
    assert "has finished" in finished.refusal
    nothing = plan_action("halt", ViewState(snapshot=load_snapshot(tmp_path / "nowhere")), lambda: NOW)
    assert "choose a session" in nothing.refusal


def test_a_journal_that_has_gone_is_said_and_nothing_breaks(waiting):
    sight = make_view_state(waiting, NAME)
    (waiting / "sessions" / NAME / "journal.sqlite").unlink()
    done = execute(plan_action("halt", sight, lambda: NOW), "")
    assert done.event is None
    assert "halt failed" in done.message


def test_promote_and_roll_back_go_through_the_registry(tmp_path):
    with Registry.open(tmp_path) as registry:
        names = [enter(registry, adapter_on_disk(tmp_path / f"made-{n}", n), hours=n).name for n in (1, 2)]
    later = instant_at(50)
    chosen = ViewState(snapshot=load_snapshot(tmp_path), cursors={"adapters": 1})
    planned = plan_action("promote", chosen, lambda: later)
    assert names[0] in planned.description
    assert "is the champion of tiny" in execute(planned, "better").message
    after = ViewState(snapshot=load_snapshot(tmp_path), cursors={"adapters": 1})
    assert dict(after.snapshot.registry.champions) == {"tiny": names[0]}
    assert "champion already" in plan_action("promote", after, lambda: later).refusal
    said = execute(plan_action("rollback", after, lambda: later + timedelta(hours=1)), "").message
    assert "the bare base model speaks for tiny again" in said
    with Registry.open(tmp_path) as registry:
        assert [one.payload["by"] for one in registry.changes()[2:]] == [author(), author()]
    assert (
        "nothing to roll back"
        in plan_action("rollback", ViewState(snapshot=load_snapshot(tmp_path)), lambda: later).refusal
    )


def test_a_round_learns_from_the_session_that_is_chosen(waiting):
    assert (
        f"retrain --from {NAME}"
        in plan_action("retrain", make_view_state(waiting, NAME), lambda: NOW).description
    )
    assert (
        "--from"
        not in plan_action(
            "retrain", ViewState(snapshot=load_snapshot(waiting / "nowhere")), lambda: NOW
        ).description
    )


def test_a_process_that_fails_at_once_tells_why(tmp_path):
    (tmp_path / "file").write_text("no folder")
    scene = load_snapshot(tmp_path / "file")
    done = execute(plan_action("backtest", ViewState(snapshot=scene), lambda: NOW), "")
    assert "runs as process" in done.message
    assert done.after is not None
    ended = done.after()
    assert "ended with code 2" in ended
    assert "is a file" in ended


def test_a_session_that_is_halted_by_the_dashboard_goes_on_to_the_same_end(waiting):
    """The command is an input like any other: a second replay of the journal gives the same effects."""
    execute(
        plan_action("halt", make_view_state(waiting, NAME), lambda: FACTS.start + timedelta(days=400)), ""
    )
    assert run_in_child(lambda: replay(waiting, full_script())) == 0
    with open_journal(waiting) as journal:
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
