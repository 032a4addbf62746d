"""What a session learns: when it retrains, from what, and which adapter it then takes."""

import shutil
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from engine.journal.events import Kind
from engine.outcomes import match_outcomes
from llm.model_files import fingerprint
from llm.registry.registry import Registry
from strategies.paper.files import learning_dir
from strategies.paper.journal_writer import StopRequested
from strategies.paper.results import load_session_history
from strategies.paper_runtime import model_updates as retraining
from strategies.paper_runtime.model_updates import ChampionWatcher, Retrainer
from tests.support.adapters_on_disk import adapter_on_disk
from tests.support.paper_sessions import CONFIG, FACTS, NAME, day, open_journal, plan_in, replay
from tests.support.walks import Doubles
from training.dataset.loaders import load_session_experiences
from training.retraining.worker import retrain_for
from training.walkforward.config import Method

DONE = """
import json, sys
wanted = json.loads(sys.stdin.readline())
report = {"at": wanted["at"], "if_drift": wanted["if_drift"], "gated": [], "trained": None}
print(json.dumps({"report": report}))
"""


def read_notes(folder):
    with open_journal(folder) as journal:
        return [row.payload for row in journal.read(kinds=(Kind.RETRAINED,))]


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A folder with a session that ran to its end."""
    replay(folder := tmp_path_factory.mktemp("ended"))
    return folder


@pytest.fixture
def session(ended, tmp_path):
    """A copy of it, to which a test may add."""
    return Path(shutil.copytree(ended, tmp_path, dirs_exist_ok=True))


def trained_adapters(monkeypatch, code):
    monkeypatch.setattr(retraining, "RETRAIN_COMMAND", (sys.executable, "-c", code))


def watch(plan, journal, fingerprint=str, record_fault=lambda *_: None):
    return ChampionWatcher(
        plan, journal, fingerprint=fingerprint, look=lambda: None, record_fault=record_fault
    )


def test_rounds_come_evenly_from_the_start_and_each_once(session, monkeypatch):
    trained_adapters(monkeypatch, DONE)
    with open_journal(session) as journal:
        retrainer = Retrainer(plan_in(session), journal, lambda: None)
        for hours in range(0, 24 * 16, 12):
            retrainer.step(FACTS.start + timedelta(hours=hours))
        again = Retrainer(plan_in(session), journal, lambda: None)
        again.step(day(15))
        again.step(day(30))  # two were missed: the last of them is done
    dues = [one["due"][:10] for one in read_notes(session)]
    assert dues == [day(7).isoformat()[:10], day(14).isoformat()[:10], day(28).isoformat()[:10]]
    assert {one["report"]["if_drift"] for one in read_notes(session)} == {False}


def test_on_drift_asks_for_drift_and_never_asks_for_nothing(session, monkeypatch):
    trained_adapters(monkeypatch, DONE)
    with open_journal(session) as journal:
        Retrainer(plan_in(session, "on-drift"), journal, lambda: None).step(day(8))
        Retrainer(plan_in(session, "never"), journal, lambda: None).step(day(20))
    assert [one["report"]["if_drift"] for one in read_notes(session)] == [True]


def test_a_training_that_dies_is_tried_again_and_then_named(session, monkeypatch):
    trained_adapters(monkeypatch, "import os; os.kill(os.getpid(), 9)")
    with open_journal(session) as journal:
        Retrainer(plan_in(session), journal, lambda: None).step(day(8))
    (one,) = read_notes(session)
    assert one["failed"] == "the training's process died of signal 9"


def test_a_session_that_is_told_to_stop_does_not_wait_for_its_training(session, monkeypatch):
    trained_adapters(monkeypatch, "import time; time.sleep(60)")

    def stop():
        raise StopRequested

    begun = time.monotonic()
    with open_journal(session) as journal, pytest.raises(StopRequested):
        Retrainer(plan_in(session), journal, stop).step(day(8))
    assert time.monotonic() - begun < 10
    assert read_notes(session) == []


def test_a_live_session_goes_on_while_it_is_retrained(session, monkeypatch):
    trained_adapters(monkeypatch, "import time; time.sleep(1)\n" + DONE)
    plan = replace(plan_in(session), replay=False)
    with open_journal(session) as journal:
        retrainer = Retrainer(plan, journal, lambda: None)
        begun = time.monotonic()
        retrainer.step(day(8))
        assert time.monotonic() - begun < 0.9
        while not read_notes(session):
            assert time.monotonic() - begun < 20
            retrainer.step(day(8, hours=1))
            time.sleep(0.05)
    assert read_notes(session)[0]["due"][:10] == day(7).isoformat()[:10]


def test_what_is_learned_from_is_the_session_as_it_stood_at_that_instant(session):
    with open_journal(session) as journal:
        experience = load_session_experiences(journal, day(12))
        whole = load_session_history(journal, session)
    known = match_outcomes([call for call in whole.calls if call.as_of <= day(12)], whole.market_data.bars)
    calls = {(call.symbol, call.as_of): (call, outcome) for call, outcome in known}
    assert len(experience) > 8
    for one in experience:
        call, outcome = calls[one.observation.symbol, one.observation.as_of]
        assert one.call == call
        assert one.outcome.next_close == outcome.next_close
        assert one.known_at <= day(12)


class Died(Exception):
    """Stands for a process that is killed."""


def test_a_round_that_died_after_its_gate_is_done_again_and_tells_of_the_gate(session):
    paper = {"method": "sft", "train_days": 30, "test_days": 4, "steps": None}
    wanted = {"data_dir": str(session), "name": NAME, "paper": paper, "seed": 1, "if_drift": False}

    def round_(home, number, trainers=None):
        doubles = Doubles(CONFIG)
        asked = {**wanted, "learning": str(session / home), "at": day(number).isoformat()}
        return retrain_for(asked, {"load": doubles.load, "trainers": trainers or doubles.trainers()})

    def dying(*_args):
        raise Died

    for home in ("killed", "whole"):
        round_(home, 19)
    with pytest.raises(Died):
        round_("killed", 24, {Method.SFT: dying})
    again = round_("killed", 24)
    whole = round_("whole", 24)
    assert len(whole["gated"]) == 1
    assert again["gated"] == whole["gated"]
    assert again["trained"]["adapter"] == whole["trained"]["adapter"]


def test_the_champion_of_an_instant_speaks_from_then_on_and_the_registry_stands_beside(session):
    plan = plan_in(session, "never")
    home = learning_dir(session, NAME, replay=True)
    folder = adapter_on_disk(session / "made")
    with Registry.open(home) as registry:
        entered = registry.register(
            folder,
            parent=None,
            student="tiny",
            cutoff=day(3),
            recipe={},
            fingerprint=fingerprint([folder]),
            scores={},
            at=day(4),
        )
        registry.promote(entered.name, at=day(6), by="gate", reason="better")
        registry.rollback(at=day(9), by="ann", reason="worse")
    faults = []
    with open_journal(session) as journal:
        champions = watch(
            plan,
            journal,
            lambda adapter: "base" if adapter is None else adapter.name,
            lambda *fault: faults.append(fault),
        )
        champion_names = [champions(day(number)).fingerprint for number in (5, 6, 8, 9)]
        champions.close()
        again = watch(plan, journal)
        again(day(9))
        again.close()
        beside = [row.payload["change"] for row in journal.read(kinds=("registry_changed",))]
    assert champion_names == ["base", entered.name, entered.name, "base"]
    assert beside == ["adapter_entered", "adapter_promoted", "champion_rolled_back"]
    assert faults == []


def test_where_an_adapter_was_named_no_champion_takes_its_place(session):
    plan = plan_in(session, "never", adapter=session)
    with Registry.open(learning_dir(session, NAME, replay=True)), open_journal(session) as journal:
        assert watch(plan, journal)(day(9)) is None
