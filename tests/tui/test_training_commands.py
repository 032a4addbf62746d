import json
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from engine.errors import UsageError
from strategies.result_table import print_result
from strategies.runs import load_run
from tests.support.walks import NOW, Doubles
from training.benches.drift import DriftBench, measure_drift, post_reversal_fold
from training.benches.no_edge import NoEdgeBench, measure_no_edge
from training.rewards import Weights
from training.walkforward.config import Method
from training.walkforward.run import walkforward
from tui.cli.main import invoke
from tui.cli.training_tables import print_drift, print_retrained

DRIFT = DriftBench(coins=6, stocks=0, train_days=30, test_days=25, before=1, after=3)

NO_EDGE = NoEdgeBench(
    seeds=(31, 32), reversed_seed=33, coins=6, stocks=0, train_days=30, test_days=25, method=Method.SFT
)


def with_doubles(*doubles):
    """`walkforward` with the doubles of the market that it is called with."""
    by_market = {d.config: d for d in doubles}

    def walk(config, settings, **more):
        known = by_market[config.model_dump_json()]
        return walkforward(config, settings, load=known.load, trainers=known.trainers(), **more)

    return walk


@pytest.fixture(scope="module")
def drift_report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drift")
    doubles = Doubles(DRIFT.config, skills=("stale", "right"), base="stale")
    measured = measure_drift(
        DRIFT,
        data_dir=folder,
        clock=lambda: NOW,
        on_progress=lambda *_: None,
        walk=partial(walkforward, load=doubles.load, trainers=doubles.trainers()),
    )
    return folder, measured


def test_the_drift_bench_measures_from_the_second_gate_that_follows_the_reversal(drift_report):
    _, measured = drift_report
    gates = [fold["gate_at"][:10] for fold in measured["folds"]]
    following = [gate for gate in gates if gate > measured["reversal"]]
    assert measured["measured_from"] == following[1]
    assert measured["reversal"] in [fold["cutoff"][:10] for fold in measured["folds"]]


def test_the_drift_bench_tells_who_followed_the_reversal(drift_report):
    _, measured = drift_report
    assert measured["edge_before"] == pytest.approx(1)
    assert measured["edge_static_after"] == pytest.approx(-1)
    assert measured["edge_walkforward_after"] == pytest.approx(1)
    assert measured["edge_sft_after"] == pytest.approx(1)
    assert measured["after"]["grpo"]["abstentions"] == 0
    assert measured["after"]["oracle"]["close_error"] == pytest.approx(1)
    assert measured["promotions"] == {"grpo": 1, "sft": 1, "static": 0}
    assert json.dumps(measured)


def test_the_round_after_the_reversal_trains_on_nothing_from_before_it(tmp_path):
    bench = replace(DRIFT, train_days=25)
    start, sets = post_reversal_fold(bench, tmp_path)
    assert start.student == "tiny"
    assert min(one.observation.as_of for one in sets.training.items).date() >= bench.reversal
    assert max(one.known_at for one in sets.held_out.items).date() < bench.reversal + timedelta(days=25)


def test_a_bench_too_short_to_measure_anything_is_refused():
    with pytest.raises(UsageError, match="at least 1 and 3"):
        DriftBench(after=2)


def test_the_no_edge_bench_counts_claims_and_promotions_and_wants_the_reversal_learned(tmp_path):
    configs = [NO_EDGE.config(seed, reverses=False) for seed in NO_EDGE.seeds]
    plain = [Doubles(config, skills=("wrong",), base="right") for config in configs]
    turned = Doubles(NO_EDGE.config(33, reverses=True), skills=("stale", "right"), base="stale")
    measure = partial(
        measure_no_edge,
        NO_EDGE,
        data_dir=tmp_path,
        clock=lambda: NOW,
        on_progress=lambda *_: None,
        walk=with_doubles(*plain, turned),
    )
    measured = measure()
    assert measured["markets_without_claim"] == 2
    assert measured["promotions"] == 0
    assert measured["gates"] == 10
    assert measured["reversed"]["promotions"] == 1
    assert measured["passed"]
    trained = [len(doubles.trained) for doubles in (*plain, turned)]
    assert trained == [5, 5, 5]
    assert measure() == measured
    assert [len(doubles.trained) for doubles in (*plain, turned)] == trained


def test_a_recipe_that_learns_nothing_from_a_reversal_fails_the_no_edge_bench(tmp_path):
    bench = replace(NO_EDGE, seeds=(31,))
    doubles = [
        Doubles(bench.config(31, reverses=False), base="right"),
        Doubles(bench.config(33, reverses=True), skills=("stale",), base="stale"),
    ]
    measured = measure_no_edge(
        bench,
        data_dir=tmp_path,
        clock=lambda: NOW,
        on_progress=lambda *_: None,
        walk=with_doubles(*doubles),
    )
    assert measured["promotions"] == 0
    assert not measured["passed"]


def test_tables_say_who_won_and_what_is_claimed(drift_report, capsys):
    folder, measured = drift_report
    print_drift(measured)
    shown = capsys.readouterr().out
    assert "walk-forward grpo" in shown
    assert "wins" in shown
    print_result(load_run(folder, measured["run"]).result)
    shown = capsys.readouterr().out
    assert "Claimed better: accuracy against static" in shown
    assert "walk-forward sft against static, brier" in shown
    assert max(map(len, shown.splitlines())) <= 200


def test_a_report_of_retraining_names_the_drift_and_the_gates(capsys):
    print_retrained(
        {
            "run": "r",
            "until": "2024-01-01T00:00:00Z",
            "drift": {"found": True, "since": "2023-12-01", "before": 0.2, "after": 0.3, "p_value": 1e-4},
            "gated": [{"adapter": "a", "promoted": False, "reasons": ["too few days"]}],
            "trained": None,
            "champion": None,
        }
    )
    shown = capsys.readouterr().out
    assert "since 2023-12-01" in shown
    assert "a rejected: too few days" in shown
    assert "champion: the base model" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["walkforward", "--method", "dpo"], "'grpo', 'sft' or 'none'"),
        (["walkforward", "--days", "100", "--bars", "x.csv"], "for the simulated market only"),
        (["walkforward", "--test-days", "60", "--step-days", "30"], "test windows would overlap"),
        (["walkforward", "--days", "100"], "two folds need 300"),
        (["bench", "drift", "--method", "none"], "choose grpo or sft"),
        (["retrain", "--from", "nothing"], "there is no run 'nothing'"),
        (["train", "grpo"], "closecall backtest"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line(words, message, tmp_path):
    with pytest.raises(UsageError, match=message) as refused:
        invoke([*words, "--data-dir", str(tmp_path)])
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "runs").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_real_walk_forward_with_grpo_goes_from_the_command_line_to_its_table(tmp_path, capfd):
    settings = tmp_path / "small.toml"
    settings.write_text(
        "batch = 64\n[market]\ncoins = 4\nstocks = 0\n"
        "[walkforward]\nsteps = 2\ncompare = false\ntrain_days = 900\nweights = { pnl = 0 }\n"
    )
    words = ["walkforward", "--train-days", "20", "--test-days", "22"]
    words += [
        "--days",
        "65",
        "--seed",
        "31",
        "--config",
        str(settings),
        "--data-dir",
        str(tmp_path),
        "--json",
    ]
    assert invoke(words) == 0
    result = json.loads(capfd.readouterr().out)
    assert [fold["arms"]["grpo"]["trained_on"] > 30 for fold in result["folds"]] == [True, True]
    assert result["scores"]["student"]["n"] > 160
    assert (tmp_path / "runs" / result["run"] / "adapters" / "grpo-02").is_dir()
    assert timedelta(days=result["walkforward"]["embargo_days"]) == timedelta(days=1)
    stated = result["walkforward"]
    assert (stated["steps"], stated["train_days"], stated["compare"]) == (2, 20, False)
    assert stated["weights"] == dict(Weights(pnl=0))
    assert Path(tmp_path / "ledger.sqlite").is_file()


def test_the_reward_bench_compares_with_the_engines_own_steps(capsys):
    invoke(["bench", "reward", "--forecasts", "300", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert said["n"] >= 300 and said["worst"] <= 1e-9
    assert said["kinds"]["short"] > 0


def test_the_gate_bench_tells_leaders_from_the_rest(capsys):
    invoke(["bench", "gate", "--windows", "2", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert {one["promoted"] for one in said["false"].values()} == {0.0}
    assert said["right"]["reversed market, 30 days"]["promoted"] == 1.0
    invoke(["bench", "gate", "--windows", "1"])
    assert "nobody leads: equal edge, 20 days" in capsys.readouterr().out
