import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest

import closecall as cc
from engine.errors import UsageError
from strategies.backtest import backtest
from strategies.config_file import load_config
from strategies.grid import build_points, parse_grid
from strategies.stored_data import list_stored, remove_stored, select_stored
from strategies.sweep import sweep
from tests.support.students import RuleStudent

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
DATA = cc.MarketData.simulated(seed=8, coins=1, stocks=0, days=45)
GRID = {"fee_bps": [0, 30], "allow_short": [False, True]}


def run(folder, grid=GRID, data=DATA, student=None, **settings):
    return sweep(
        data, grid, student=student or RuleStudent(), folder=folder, jobs=1, clock=lambda: NOW, **settings
    )


def test_each_combination_is_an_ordinary_run_and_forecasts_are_asked_once(tmp_path):
    student = RuleStudent()
    finished = run(tmp_path / "sweep", student=student)
    assert len(student.asked) == len(set(student.asked))
    points = finished.result["points"]
    settings = [(point["settings"]["fee_bps"], point["settings"]["allow_short"]) for point in points]
    assert settings == [(0, False), (0, True), (30, False), (30, True)]
    config = load_config(None, {"fee_bps": 30, "allow_short": True})
    alone = backtest(
        config, data_dir=tmp_path / "alone", clock=lambda: NOW, student=RuleStudent(), data=DATA
    ).result
    assert points[3]["sharpe"] == alone["scores"]["student"]["sharpe"]
    assert finished.result["trials"] == finished.result["distinct_trials"] == 4
    assert finished.result["overfitting"]["trials"] == 4
    best = max(points, key=lambda point: point["sharpe"])
    assert finished.result["best"] == best["run"]
    assert "Probability of backtest overfitting: " in str(finished)
    assert list(finished.points.fee_bps) == [0, 0, 30, 30]


def test_an_interrupted_sweep_keeps_what_is_finished_and_runs_the_rest(tmp_path):
    def interrupt(stage, done, _total):
        if (stage, done) == ("sweeping", 2):
            raise KeyboardInterrupt

    grid = {"fee_bps": [0, 30, 60]}
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, grid, on_progress=interrupt)
    finished = run(tmp_path, grid).result
    assert [point["finished_before"] for point in finished["points"]] == [True, True, False]
    assert finished["trials"] == 3
    assert not list(tmp_path.glob(".sweep*"))
    again = run(tmp_path, grid).result
    assert all(point["finished_before"] for point in again["points"])
    assert [point["sharpe"] for point in again["points"]] == [point["sharpe"] for point in finished["points"]]


def test_a_point_is_run_again_where_its_data_its_student_or_its_run_is_another(tmp_path):
    def finished_before(**other):
        return run(tmp_path, {"fee_bps": [30]}, **other).result["points"][0]["finished_before"]

    assert not finished_before()
    bars = {
        symbol: [replace(bar, volume=bar.volume + 1) for bar in bars] for symbol, bars in DATA.bars.items()
    }
    assert not finished_before(data=replace(DATA, bars=bars))
    another = RuleStudent()
    another.fingerprint = "another"
    assert not finished_before(student=another)
    assert finished_before()
    remove_stored(tmp_path, select_stored(list_stored(tmp_path), ["runs"]))
    assert not finished_before()


def test_a_point_that_fails_is_stated_and_the_others_are_run(tmp_path):
    grid = {"market.coins": [1, 0]}
    settings = {"market": {"stocks": 0, "days": 40}, "student": RuleStudent()}
    finished = sweep(None, grid, folder=tmp_path, jobs=1, clock=lambda: NOW, **settings)
    first, second = finished.result["points"]
    assert first["run"] and first["error"] is None
    assert second["run"] is None and "at least one coin" in second["error"]
    assert "failed" in str(finished) and "Failed: market.coins=0: " in str(finished)
    assert finished.result["overfitting"] is None
    with pytest.raises(cc.ClosecallError, match="at least one coin"):
        sweep(None, {"market.coins": [0]}, folder=tmp_path, jobs=1, clock=lambda: NOW, **settings)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fee_bp=1"], "did you mean 'fee_bps'"),
        (["market.dys=30"], "did you mean 'days'"),
        (["fee_bps=1,-1"], "fee_bps = '-1' does not fit"),
        (["fee_bps"], "write a key and its values"),
        (["fee_bps=1,"], "write a key and its values"),
        (["fee_bps=1", "fee_bps=2"], "twice"),
        (["gross=0.5", "max_gross_exposure=0.6"], "two of these are one key"),
        (["market=3"], "name a key of it"),
        (["paper.retrain=daily"], "it is for paper sessions"),
        (["out=a,b"], "makes no difference"),
        (["a b=1"], "not a key"),
        (["start=2024-02-01", "end=2024-01-01"], "before the start"),
        ([], "nothing to sweep over"),
    ],
)
def test_a_grid_that_does_not_fit_is_refused_before_anything_is_run(words, message):
    with pytest.raises(UsageError, match=message):
        build_points(load_config(None, {}), parse_grid(words))


def test_the_keys_of_a_grid_are_those_of_the_configuration():
    base = load_config(None, {"costs": {"coin": {"slippage_bps": 3}}})

    def values(word, read):
        return [read(point.config) for point in build_points(base, parse_grid([word]))]

    assert values("gross=0.5,0.95,0.50", lambda config: config.max_gross_exposure) == [0.5, 0.95]
    assert values("calibrate=none,platt", lambda config: config.calibrate) == [None, "platt"]
    assert values("symbols=A B,C", lambda config: config.symbols) == [("A", "B"), ("C",)]
    assert values('instruments."7203.T".lot=1,100', lambda config: config.instruments["7203.T"].lot) == [
        1,
        100,
    ]
    costs = values("costs.coin.fee_bps=1,2", lambda config: config.costs["coin"])
    assert [(table.fee_bps, table.slippage_bps) for table in costs] == [(1, 3), (2, 3)]


def test_data_that_are_given_cannot_be_swept_over():
    with pytest.raises(UsageError, match="decides the data"):
        sweep(DATA, {"market.days": [30, 60]})


def test_a_student_that_no_process_can_be_given_is_refused_before_anything_is_run(tmp_path):
    student = RuleStudent()
    student.lock = threading.Lock()
    with pytest.raises(UsageError, match="cannot be given to another process"):
        sweep(DATA, GRID, student=student, folder=tmp_path, jobs=2)
    assert not list(tmp_path.iterdir())
