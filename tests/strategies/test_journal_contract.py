"""Every kind of event is written by what the program really does, and read by every reader."""

import itertools
import json
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from engine.corporate_actions import ActionKind
from engine.errors import StudentError
from engine.journal.canonical import canonical_json
from engine.journal.events import OUTPUT_KINDS, PAYLOADS, Kind, decode, encode, encode_output
from engine.journal.journal import Journal
from llm.registry.registry import Registry
from strategies.backtest import backtest
from strategies.market_data import load_market_data
from strategies.monitor.catalog import JournalType, list_places
from strategies.monitor.descriptions import FOLLOWED_KINDS, LOGGED_KINDS, NOTIFIED_KINDS, describe, log_line
from strategies.monitor.fields import summarize_payload
from strategies.monitor.status import read_status
from strategies.paper.outputs import load_outputs, session_digests
from strategies.paper.results import score_session
from strategies.paper_runtime import model_updates
from strategies.paper_runtime.control import announce_action
from strategies.paper_runtime.model_updates import ChampionWatcher
from strategies.replay_check import check_run_replay, check_session_replay
from strategies.runs import list_runs
from tests.support.adapters_on_disk import add_scores, enter_many, instant_at, promote
from tests.support.dash_scenes import load_snapshot
from tests.support.paper_sessions import (
    CONFIG,
    NAME,
    STOCK,
    First,
    day,
    full_script,
    open_journal,
    plan_in,
    replay,
    session_opens,
)
from tests.support.places import ROOT
from tests.support.students import RuleStudent
from tests.support.tables_on_disk import write_lines
from tests.support.walks import NOW, SETTINGS, Doubles, run_walkforward
from training.dataset.loaders import load_run_experiences, load_session_experiences
from training.retraining.source import train_once

pytestmark = pytest.mark.slow

ELSEWHERE = {
    Kind.REFUSED: "tests/feeds/test_collector_sources.py",
    Kind.TRAINING_LABELS: "tests/training/test_sft.py",  # training with real weights
    Kind.TRAINING_LOOK: "tests/training/test_grpo.py",
    Kind.TRAINING_GUARD: "tests/training/test_grpo.py",
    Kind.TRAINING_DONE: "tests/training/test_grpo.py",
    Kind.GATED: "tests/training/test_retrain.py",  # two rounds of retraining
    Kind.ENTERED: "tests/training/test_retrain.py",
}
"""Kinds that neither folder holds, and a test that has them written by what writes them."""

RETRAINED = 'import sys; sys.stdin.readline(); print(\'{"report": {"gated": [], "trained": null}}\')'


def fail(error):
    def answer(_prompt):
        raise error

    student = RuleStudent(answer)
    student.fingerprint = "failing"  # so that no answer is in the cache
    return student


def with_rates(folder):
    """The configuration of the trial with an account in euros."""
    lines = ["date,close", *(f"{day(number - 40).date()},{0.9 + number / 1000}" for number in range(80))]
    path = write_lines(folder / "USDEUR.csv", lines)
    return CONFIG.model_copy(update={"base_currency": "EUR", "rates_files": (path,)})


def make_runs(folder):
    """A finished run with rates, a failed and an interrupted one, a walk-forward and one training."""
    ticks = itertools.count()
    student = First()
    run = backtest(
        with_rates(folder),
        data_dir=folder,
        clock=lambda: NOW + timedelta(seconds=2 * next(ticks)),
        student=student,
    )
    for error in (StudentError("out of memory"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            backtest(CONFIG, data_dir=folder, clock=lambda: NOW, student=fail(error))
    doubles = Doubles(skills=("right", "wrong"))
    walk = run_walkforward(folder, doubles)
    train_once(
        SETTINGS,
        data_dir=folder,
        run=walk.name,
        out=folder / "by-hand",
        clock=lambda: NOW,
        on_progress=lambda *_: None,
        trainers=doubles.trainers(),
    )
    return run.name, walk.name


def make_session(folder, patch):
    """A scored session with rates that was stopped, retrained and shown the registry's changes."""
    facts = load_market_data(with_rates(folder), Path("unused"))
    steps = itertools.count()
    replay(folder, full_script(), facts=facts, ahead=1, stop=lambda: next(steps) > 60)
    on = session_opens(STOCK)[-2].date()
    announce_action(folder, NAME, ActionKind.DIVIDEND, STOCK, 0.1, on, clock=lambda: NOW)
    replay(folder, full_script(), facts=facts, ahead=1)
    patch.setattr(model_updates, "RETRAIN_COMMAND", (sys.executable, "-c", RETRAINED))
    plan = replace(plan_in(folder), replay=False)
    with open_journal(folder) as journal:
        assert score_session(journal, folder, NOW, count=True)
        for each in (replace(plan, replay=True), plan):
            watcher = ChampionWatcher(
                each, journal, fingerprint=str, look=lambda: None, record_fault=lambda *_: None
            )
            watcher(day(8))
            watcher.close()


def make_registry(folder):
    with Registry.open(folder) as registry:
        first, second = enter_many(registry, folder, (1, 2))
        promote(registry, first)
        add_scores(registry, first, 101, "user", {"brier": 0.2})
        registry.reject(second, at=instant_at(102), by="gate", reason="worse", scores={})
        registry.rollback(at=instant_at(103), by="user", reason="worse")


@pytest.fixture(scope="module")
def folders(tmp_path_factory, collected):
    """A folder with runs, a replayed session and a registry, and one with a collecting session."""
    replayed = tmp_path_factory.mktemp("replayed")
    make_registry(replayed)
    make_runs(replayed)
    with pytest.MonkeyPatch.context() as patch:
        make_session(replayed, patch)
    return replayed, collected[0]


@pytest.fixture(scope="module")
def rows(folders):
    """Every event of both folders."""
    events = []
    for folder in folders:
        for place in list_places(folder):
            with Journal.open(place.path, load_name(place)) as journal:
                events += journal.read()
    return events


def load_name(place):
    return "registry" if place.type is JournalType.REGISTRY else place.name


def test_every_kind_is_written_here_or_in_a_test_that_is_named(rows):
    assert {row.kind for row in rows} == set(Kind) - ELSEWHERE.keys()
    for kind, path in ELSEWHERE.items():
        text = (ROOT / path).read_text(encoding="utf-8")
        assert f'"{kind}"' in text, kind


def test_every_event_is_decoded_and_encoded_again_to_what_is_stored(rows):
    for row in rows:
        payload = decode(row)
        assert isinstance(payload, PAYLOADS[row.kind])
        if row.kind in OUTPUT_KINDS and "input" in row.payload:
            event = encode_output(payload, row.payload["input"], row.as_of)
        else:
            event = encode(payload, row.as_of)
        stored = {key: value for key, value in row.payload.items() if key != "replay"}
        assert (event.kind, json.loads(canonical_json(event.payload))) == (row.kind, stored)


def test_every_event_has_one_line_for_dashboard_log_webhook_and_terminal(rows):
    assert set(NOTIFIED_KINDS) < set(LOGGED_KINDS) < set(FOLLOWED_KINDS)
    for row in rows:
        line = describe(row)
        assert line.text not in ("", "cannot be read") or summarize_payload(row.payload) == "", row
        if row.kind in LOGGED_KINDS and (logged := log_line(row)) is not None:
            assert line.text[:200] in logged


def test_the_projection_reads_every_journal_to_its_end_without_a_fault(folders):
    for folder in folders:
        for view in load_snapshot(folder).journals:
            assert (view.health.faulty, view.trouble, view.counted) == (0, "", view.newest)
            with Journal.open(view.place.path, load_name(view.place)) as journal:
                counts = {}
                for row in journal.read():
                    counts[row.kind] = counts.get(row.kind, 0) + 1
            assert view.kinds == counts
            assert [line.seq for line in view.lines][-1] == view.newest


def test_the_dashboard_and_the_status_show_the_currency_that_the_account_has(folders):
    replayed, collected = folders
    views = {view.place.key: view for view in load_snapshot(replayed).journals}
    assert views[f"session/{NAME}"].currency == read_status(replayed, NAME, NOW)["currency"] == "EUR"
    runs = [view for view in views.values() if view.place.type is JournalType.RUN]
    assert sorted(view.currency for view in runs) == ["EUR", "USD", "USD", "USD"]
    (session,) = load_snapshot(collected).journals
    assert session.currency == read_status(collected, NAME, NOW)["currency"] == "USD"


def test_sessions_and_runs_are_loaded_replayed_and_learned_from(folders):
    for folder in folders:
        assert read_status(folder, NAME, NOW)["events"] > 300
        with open_journal(folder) as journal:
            outputs = load_outputs(journal)
            report = check_session_replay(journal)
            assert report.equal, report
            assert session_digests(outputs) == report.digests
            assert load_session_experiences(journal)
    replayed, _ = folders
    runs = {run.run: run.state for run in list_runs(replayed)}
    assert sorted(runs.values()) == ["failed", "finished", "finished", "interrupted"]
    for name in (name for name, state in runs.items() if state == "finished"):
        assert load_run_experiences(replayed, name)
        with Journal.open(replayed / "runs" / name / "journal.sqlite", name) as journal:
            if next(journal.read(kinds=(Kind.WALKFORWARD_STARTED,)), None) is None:
                assert check_run_replay(journal).equal
