import json
import shutil
import sys
from dataclasses import replace

import pytest

from engine.errors import DataError, StudentError, UsageError
from engine.journal.events.rules import RULES, RulesError
from engine.journal.journal import Journal
from engine.model import Forecast
from llm.model_files import fingerprint
from strategies.answer_check import check_answers
from strategies.replay_check import check_run_replay
from strategies.runs import JOURNAL, list_runs, load_run
from tests.support.own_processes import ran
from tests.support.places import ROOT
from tests.support.walks import MARKET, NO_EDGE, NOW, SETTINGS, Doubles, run_walkforward, write_adapter
from training.walkforward.config import Method
from training.walkforward.record import lock_process
from training.walkforward.run import walkforward

SKILLS = ("right", "right", "wrong")


def events(run, *kinds):
    with Journal.open(run.folder / JOURNAL, run.name) as journal:
        journal.verify()
        return list(journal.read(0, kinds=kinds or None))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    doubles = Doubles(skills=SKILLS)
    return folder, doubles, run_walkforward(folder, doubles)


def test_a_challenger_trades_only_after_the_gate_of_its_own_window(finished):
    _, doubles, run = finished
    first, second = run.result["folds"][:2]
    assert [fold["arms"]["sft"]["promoted"] for fold in run.result["folds"]] == [True, False, False]
    gate_at = first["gate_at"]
    predictions = events(run, "forecast")
    before = {
        row.payload["adapter"] for row in predictions if row.as_of.isoformat() <= gate_at[:-1] + "+00:00"
    }
    after = {row.payload["adapter"] for row in predictions if row.as_of.isoformat() > gate_at[:-1] + "+00:00"}
    assert before == {None}
    assert after == {first["arms"]["sft"]["challenger"]}
    assert second["arms"]["sft"]["champion"] == first["arms"]["sft"]["challenger"]
    assert doubles.started_from == [None, "sft-01", "sft-01"]


def test_the_joined_calls_are_those_of_the_champion_of_the_day(finished):
    _, doubles, run = finished
    turn = run.result["folds"][0]["gate_at"][:-1] + "+00:00"
    for call in run.simulations["student"].calls:
        assert isinstance(call, Forecast)
        up = doubles.oracle[call.symbol, call.as_of].probability_up > 0.5
        assert ((call.direction == "up") == up) == (call.as_of.isoformat() > turn)
    assert run.result["edges"]["static"] == pytest.approx(-1)
    assert run.result["promotions"] == {"sft": 1, "static": 0}


def test_the_joined_run_can_be_had_again_from_its_journaled_inputs(finished):
    _, _, run = finished
    with Journal.open(run.folder / JOURNAL, run.name) as journal:
        parity = check_run_replay(journal)
    assert parity.equal, parity.difference
    stated = run.result["digests"]
    shared = stated.keys() & parity.replayed.keys()
    assert shared == {"forecasts", "orders", "fills", "equity"}
    assert all(parity.replayed[name] == stated[name] for name in shared)


def test_the_answers_of_every_champion_are_those_of_the_ledger_and_of_its_student_now(finished):
    folder, doubles, run = finished
    with Journal.open(run.folder / JOURNAL, run.name) as journal:
        report = check_answers(journal, folder, ask=1_000, load=doubles.load)
    assert report.proved
    assert report.verified == report.asked == report.equal == report.answers == run.result["forecasts"]


def test_the_gate_holds_both_to_what_they_would_have_earned_by_the_engines_steps(finished):
    _, _, run = finished
    for row in events(run, "fold_gated"):
        old, new = row.payload["measures"]["net_return"]
        assert "open_return" not in row.payload["measures"]
        assert (new > old) == (row.payload["fold"] == 1)


def test_every_training_set_lies_before_its_test_window(finished):
    _, doubles, run = finished
    for fold, (training, held_out) in zip(run.result["folds"], doubles.sets, strict=True):
        cutoff = fold["cutoff"][:-1] + "+00:00"
        assert max(item.known_at for item in training.items) < held_out.items[0].observation.as_of
        assert max(item.known_at for item in held_out.items).isoformat() < cutoff


def test_the_rule_stands_in_the_journal_before_the_first_training(finished):
    _, _, run = finished
    kinds = [row.kind for row in events(run)]
    assert kinds[:2] == ["run_started", "walkforward_started"]
    rules = events(run, "walkforward_started")[0].payload["rules"]
    assert [rule["level"] for rule in rules] == [0.002] * 3
    order = [kind for kind in kinds if kind in ("fold_trained", "fold_gated", "promotion")]
    assert order == ["fold_trained", "fold_gated", "promotion", *["fold_trained", "fold_gated"] * 2]
    assert kinds.index("slice") > kinds.index("promotion")
    assert kinds[-1] == "run_finished"
    assert events(run, "training_step")[0].payload["fold"] == 1


def test_the_run_is_listed_like_any_other(finished):
    folder, _, run = finished
    assert [(item.run, item.state) for item in list_runs(folder)] == [(run.name, "finished")]
    assert load_run(folder, run.name).result == json.loads(json.dumps(run.result))


def test_the_report_holds_arms_against_each_other_by_a_paired_test(finished):
    _, _, run = finished
    by_measure = {item["measure"]: item for item in run.result["comparison"]}
    assert by_measure["brier"]["caller"] == "sft"
    assert by_measure["brier"]["against"] == "static"
    assert by_measure["brier"]["winner"] == "sft"
    assert by_measure["brier"]["high"] < 0
    claims = [item for item in run.result["claims"] if item["against"] == "static"]
    assert all(item["claimed"] for item in claims)


def test_without_an_edge_nothing_is_promoted_and_nothing_is_claimed(tmp_path):
    run = run_walkforward(
        tmp_path, Doubles(NO_EDGE, skills=("right", "wrong", "right", "wrong")), config=NO_EDGE
    )
    assert run.result["promotions"]["sft"] == 0
    assert not any(item["claimed"] for item in run.result["claims"])


def test_a_guard_that_spoke_keeps_even_the_best_challenger_out(tmp_path):
    doubles = Doubles()
    doubles.clean = False
    run = run_walkforward(tmp_path, doubles)
    assert run.result["promotions"]["sft"] == 0
    assert "guard" in " ".join(run.result["folds"][0]["arms"]["sft"]["reasons"])


def test_a_challenger_that_falls_silent_is_not_promoted(tmp_path):
    run = run_walkforward(tmp_path, Doubles(skills=("silent",)))
    assert run.result["promotions"]["sft"] == 0


def test_the_static_student_alone_trains_nothing(tmp_path):
    doubles = Doubles()
    run = run_walkforward(tmp_path, doubles, settings=replace(SETTINGS, method=Method.NONE))
    assert doubles.trained == []
    assert run.result["promotions"] == {"static": 0}
    assert "static" not in run.result["scores"]


def test_a_student_without_weights_is_refused_before_a_run_begins(tmp_path):
    config = MARKET.model_copy(update={"student": "mine.py:Mine"})
    with pytest.raises(StudentError, match=r"mine\.py:Mine: it has no weights here to train"):
        walkforward(config, SETTINGS, data_dir=tmp_path, clock=lambda: NOW)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_grpo_has_supervised_training_beside_it(tmp_path):
    doubles = Doubles(skills=SKILLS)
    run = run_walkforward(tmp_path, doubles, settings=replace(SETTINGS, method=Method.GRPO))
    assert doubles.trained == [f"{arm}-{n:02}" for arm in ("grpo", "sft") for n in (1, 2, 3)]
    assert run.result["promotions"] == {"grpo": 1, "sft": 1, "static": 0}
    pairs = {(item["caller"], item["against"]) for item in run.result["comparison"]}
    assert pairs == {("sft", "static"), ("grpo", "static"), ("grpo", "sft")}


@pytest.mark.slow
def test_a_walk_forward_killed_again_and_again_ends_with_the_same_folds_promotions_and_digests(
    finished, tmp_path
):
    _, _, run = finished
    words = [sys.executable, "-m", "tests.support.walks", tmp_path, "2"]
    done = ran(words, cwd=ROOT, capture_output=True, text=True, check=True, seconds=300)
    predictions = json.loads(done.stdout)
    assert predictions["deaths"] >= 4
    assert predictions["runs"] == 1
    assert predictions["result"]["digests"] == run.result["digests"]
    assert predictions["result"]["promotions"] == run.result["promotions"]
    assert predictions["result"]["folds"] == json.loads(json.dumps(run.result["folds"]))


class Dies(Exception):
    pass


def interrupted(folder, doubles, fold):
    train = doubles.train

    def until(job):
        if job.folder.name == f"sft-{fold:02}":
            raise Dies
        return train(job)

    doubles.train = until
    with pytest.raises(Dies):
        run_walkforward(folder, doubles)
    doubles.train = train


def test_a_finished_fold_is_not_trained_again(finished, tmp_path):
    doubles = Doubles(skills=SKILLS)
    interrupted(tmp_path, doubles, fold=3)
    assert [item.state for item in list_runs(tmp_path)] == ["failed"]
    run = run_walkforward(tmp_path, doubles)
    assert doubles.trained == ["sft-01", "sft-02", "sft-03"]
    assert run.result["digests"] == finished[2].result["digests"]
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_a_run_goes_on_by_name_and_only_with_its_own_settings(tmp_path):
    doubles = Doubles(skills=SKILLS)
    interrupted(tmp_path, doubles, fold=2)
    name = next(list_runs(tmp_path)).run
    with pytest.raises(UsageError, match="no walk-forward that was started with these settings"):
        run_walkforward(tmp_path, doubles, settings=replace(SETTINGS, test_days=26), resume=name)
    assert run_walkforward(tmp_path, doubles, resume=name).name == name
    with pytest.raises(UsageError, match="has finished"):
        run_walkforward(tmp_path, doubles, resume=name)


def test_a_run_of_rules_that_are_gone_is_not_resumed(tmp_path, monkeypatch):
    doubles = Doubles(skills=SKILLS)
    interrupted(tmp_path, doubles, fold=2)
    name = next(list_runs(tmp_path)).run
    for place in ("engine.journal.events.rules", "training.walkforward.record"):
        monkeypatch.setattr(f"{place}.RULES", RULES + 2)
    monkeypatch.setattr("engine.journal.events.rules.OLDEST_RULES", RULES + 1)
    with pytest.raises(RulesError, match=rf"run {name} was traded by older rules .* without --resume"):
        run_walkforward(tmp_path, doubles, resume=name)
    assert run_walkforward(tmp_path, doubles).name != name


def test_an_adapter_that_was_altered_between_two_processes_is_refused(tmp_path):
    doubles = Doubles(skills=SKILLS)
    interrupted(tmp_path, doubles, fold=3)
    folder = next((tmp_path / "runs").iterdir()) / "adapters" / "sft-02"
    (folder / "closecall.json").write_text('{"skill": "wrong"}')
    with pytest.raises(DataError, match="fold 2 was altered"):
        run_walkforward(tmp_path, doubles)
    shutil.rmtree(folder)
    with pytest.raises(DataError, match="fold 2 was altered"):
        run_walkforward(tmp_path, doubles)


def test_two_processes_never_run_one_walk_forward(tmp_path):
    doubles = Doubles(skills=SKILLS)
    interrupted(tmp_path, doubles, fold=1)
    with (
        lock_process(next((tmp_path / "runs").iterdir())),
        pytest.raises(UsageError, match="another process is at work"),
    ):
        run_walkforward(tmp_path, doubles)


def test_other_data_start_another_run(tmp_path):
    doubles = Doubles(skills=SKILLS)
    interrupted(tmp_path, doubles, fold=2)
    other = MARKET.model_copy(update={"seed": 8})
    run = run_walkforward(tmp_path, Doubles(other, skills=SKILLS), config=other)
    assert {item.state for item in list_runs(tmp_path)} == {"failed", "finished"}
    assert load_run(tmp_path, run.name).state == "finished"


def test_the_starting_adapter_is_the_first_champion(tmp_path):
    start = write_adapter(tmp_path / "start", "right")
    config = MARKET.model_copy(update={"adapter": start})
    run = run_walkforward(tmp_path, Doubles(skills=("wrong",)), config=config)
    assert run.result["folds"][0]["arms"]["sft"]["champion"] == fingerprint([start])
    assert {row.payload["adapter"] for row in events(run, "forecast")} == {fingerprint([start])}
    assert run.result["edges"]["sft"] == pytest.approx(1)
