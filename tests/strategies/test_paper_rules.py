"""Journals of rules that this version does not have: shown, and neither replayed nor resumed."""

import shutil
from datetime import UTC, datetime

import pytest

from engine.errors import UsageError
from engine.journal.events.rules import OLDEST_RULES, RULES, RulesError
from engine.journal.journal import Journal
from strategies.backtest import backtest
from strategies.console import utc_now
from strategies.monitor.follower import JournalFollower
from strategies.monitor.status import read_status
from strategies.paper.results import score_session
from strategies.paper_runtime.launch import build_launch_spec
from strategies.replay_check import check_run_replay
from strategies.runs import JOURNAL
from tests.support.paper_sessions import (
    CONFIG,
    NAME,
    First,
    check_replay,
    copy_rows,
    open_journal,
    read_rows,
    replay,
    rewrite_journal,
)
from training.dataset.loaders import load_run_experiences, load_session_experiences
from tui.cli.main import run

NOW = datetime(2030, 1, 1, tzinfo=UTC)
FUTURE, PAST = RULES + 1, OLDEST_RULES - 1


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return folder, backtest(CONFIG, data_dir=folder, clock=lambda: NOW, student=First()).name


def set_rules(rules):
    """A change of rows that states other rules; None takes them out, as older versions wrote it."""

    def change(row, payload):
        if row.kind in ("session_started", "run_started", "settings"):
            payload.pop("rules")
            if rules is not None:
                payload["rules"] = rules
        if row.kind == "session_started":
            payload["about"]["tied"] = {}

    return change


def session_of(session, folder, rules):
    return rewrite_journal(session, folder, set_rules(rules))


def run_of(run_folder, folder, rules):
    source, name = run_folder
    (folder / "runs" / name).mkdir(parents=True)
    shutil.copy(source / "trials.jsonl", folder)
    with (
        Journal.open(source / "runs" / name / JOURNAL, name) as rows,
        Journal.open(folder / "runs" / name / JOURNAL, name, create=True) as journal,
    ):
        copy_rows(rows.read(), journal, set_rules(rules))
    return name


def launch(folder, name, **rest):
    options = {"replay": False, "speed": "max", "symbol_overrides": {}, "environment": {}}
    return build_launch_spec(folder, name, None, {}, **options | rest)


def test_new_journals_state_the_rules_and_a_journal_without_them_has_the_first(session, run_folder, tmp_path):
    assert read_rows(session)[0].payload["rules"] == RULES
    folder, name = run_folder
    with Journal.open(folder / "runs" / name / JOURNAL, name) as journal:
        stated = [row for row in journal.read() if "rules" in row.payload]
    assert [(row.kind, row.payload["rules"]) for row in stated] == [
        ("run_started", RULES),
        ("settings", RULES),
    ]
    session_of(session, tmp_path, None)
    assert check_replay(tmp_path).equal
    name = run_of(run_folder, tmp_path, None)
    with Journal.open(tmp_path / "runs" / name / JOURNAL, name) as journal:
        assert check_run_replay(journal).equal


@pytest.mark.parametrize(("rules", "word"), [(PAST, "older rules"), (FUTURE, "newer closecall")])
def test_a_session_of_other_rules_is_neither_resumed_nor_replayed(session, tmp_path, rules, word):
    session_of(session, tmp_path, rules)
    before = read_rows(tmp_path)
    for refused in (
        lambda: replay(tmp_path),
        lambda: check_replay(tmp_path),
        lambda: launch(tmp_path, NAME),
        lambda: launch(tmp_path, NAME, replay=True),
    ):
        with pytest.raises(RulesError, match=rf"{word}.*closecall paper start --like {NAME}$") as error:
            refused()
        assert "\n" not in str(error.value)
    assert read_rows(tmp_path) == before


@pytest.mark.parametrize("rules", [PAST, FUTURE])
def test_a_session_of_other_rules_is_shown_scored_exported_and_learned_from(session, tmp_path, rules, capsys):
    session_of(session, tmp_path, rules)
    shown = read_status(tmp_path, NAME, utc_now())
    assert shown == read_status(session, NAME, utc_now()) | {"events": shown["events"]}
    (view,) = JournalFollower(tmp_path, utc_now).read_all().journals
    assert (view.state, view.health.faulty, view.trouble) == ("finished", 0, "")
    experiences = []
    for folder in (session, tmp_path):
        with open_journal(folder) as journal:
            assert score_session(journal, folder, NOW) is not None
            experiences.append(load_session_experiences(journal))
    assert experiences[0] == experiences[1] != []
    assert run(["paper", "export", NAME, str(tmp_path / "saved"), "--data-dir", str(tmp_path)]) == 0


@pytest.mark.parametrize(("rules", "word"), [(PAST, "older rules"), (FUTURE, "newer closecall")])
def test_check_parity_names_other_rules_instead_of_a_difference(
    session, run_folder, tmp_path, capsys, rules, word
):
    session_of(session, tmp_path, rules)
    for name, remedy in (
        (NAME, f"--like {NAME}"),
        (run_of(run_folder, tmp_path, rules), "run the backtest again"),
    ):
        assert run(["check", "parity", name, "--data-dir", str(tmp_path)]) == 3
        shown = capsys.readouterr()
        assert shown.out == ""
        (line,) = shown.err.splitlines()
        assert word in line
        assert line.endswith(remedy)


@pytest.mark.parametrize("rules", [PAST, FUTURE])
def test_a_run_of_other_rules_is_shown_and_learned_from(run_folder, tmp_path, capsys, rules):
    name = run_of(run_folder, tmp_path, rules)
    assert run(["runs", name, "--data-dir", str(tmp_path)]) == 0
    assert "Verdict" in capsys.readouterr().out
    assert load_run_experiences(tmp_path, name) == load_run_experiences(run_folder[0], name) != []


def test_a_new_session_takes_the_settings_of_one_of_any_rules(session, tmp_path):
    session_of(session, tmp_path, PAST)
    plan = launch(tmp_path, None, like=NAME)
    assert (plan.name, plan.replay) == (f"{NAME}-2", True)
    assert plan.config == CONFIG.model_copy(update={"symbols": plan.config.symbols})
    assert launch(tmp_path, "other", like=NAME).name == "other"
    (tmp_path / "sessions" / f"{NAME}-2").mkdir()
    assert launch(tmp_path, None, like=NAME).name == f"{NAME}-3"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (NAME, {"like": NAME}, f"there is a session {NAME} already.*leave --name out for {NAME}-2"),
        ("other", {"like": NAME, "replay": True}, "takes all settings"),
        ("other", {"like": "trail"}, f"no session 'trail'.*did you mean {NAME}"),
    ],
)
def test_settings_of_another_session_are_refused_where_that_makes_no_sense(
    session, tmp_path, name, options, message
):
    session_of(session, tmp_path, RULES)
    with pytest.raises(UsageError, match=message):
        launch(tmp_path, name, **options)
