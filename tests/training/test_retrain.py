import json
from datetime import UTC, date, datetime, timedelta

import pytest

from engine.errors import UsageError
from engine.journal.journal import Journal
from engine.model import Direction, Forecast
from engine.outcomes import Outcome
from llm.registry.adapters import Status
from llm.registry.registry import Registry
from strategies.backtest import backtest
from strategies.config import MarketTable
from strategies.runs import JOURNAL, list_runs
from tests.support.walks import MARKET, NOW, Doubles
from training.retraining.drift import detect_drift
from training.retraining.retrain import retrain
from training.retraining.source import TRAINING_JOURNAL, train_once
from training.walkforward.config import Method, WalkForwardConfig
from training.walkforward.record import lock_process

SETTINGS = WalkForwardConfig(method=Method.SFT, train_days=30, test_days=25)
LATER = MARKET.model_copy(update={"market": MarketTable(coins=6, stocks=0, days=133)})
DAY = timedelta(days=1)


def record(folder, doubles, config=MARKET, at=NOW):
    student = doubles.load(doubles_wanted(config))
    return backtest(config, data_dir=folder, clock=lambda: at, student=student).name


def doubles_wanted(config):
    from llm.student import StudentSettings

    return StudentSettings(student=config.student, adapter=config.adapter)


def one_round(folder, doubles, at=NOW, **more):
    settings = more.pop("settings", SETTINGS)
    return retrain(settings, data_dir=folder, at=at, load=doubles.load, trainers=doubles.trainers(), **more)


@pytest.fixture(scope="module")
def rounds(tmp_path_factory):
    """A round on a short history, and one on a longer history in which its challenger has shadowed."""
    folder = tmp_path_factory.mktemp("rounds")
    doubles = Doubles(LATER, skills=("right", "wrong"))
    first_run = record(folder, doubles)
    first = one_round(folder, doubles)
    record(folder, doubles, LATER, NOW + DAY)
    return folder, doubles, first_run, first, one_round(folder, doubles, at=NOW + DAY)


@pytest.mark.slow
def test_a_round_trains_to_the_last_known_outcome_and_enters_a_challenger(rounds):
    folder, doubles, run, first, _ = rounds
    assert first["run"] == run
    assert first["gated"] == []
    assert first["champion"] is None
    assert first["trained"]["cutoff"] == first["until"]
    training, _ = doubles.sets[0]
    assert max(item.known_at for item in training.items) + DAY < training.cutoff
    with Registry.open(folder) as registry:
        entered = registry.adapters()[0]
    assert entered.name == first["trained"]["adapter"]
    assert entered.recipe["method"] == "sft"


@pytest.mark.slow
def test_the_next_round_gates_what_is_due_and_goes_on_from_the_new_champion(rounds):
    folder, doubles, _, first, second = rounds
    assert [(item["adapter"], item["promoted"]) for item in second["gated"]] == [
        (first["trained"]["adapter"], True)
    ]
    assert second["gated"][0]["shadow_from"] == first["until"]
    assert second["champion"] == first["trained"]["adapter"]
    assert second["trained"]["parent"] == first["trained"]["adapter"]
    assert doubles.started_from == [None, first["trained"]["adapter"]]
    with Registry.open(folder) as registry:
        statuses = [item.status for item in registry.adapters()]
        assert registry.gate_results("tiny") == 1
    assert statuses == [Status.CHAMPION, Status.CHALLENGER]


@pytest.mark.slow
def test_what_a_round_did_stands_in_a_journal_beside_the_runs_own(rounds):
    folder, _, run, _, second = rounds
    with Journal.open(folder / "runs" / run / TRAINING_JOURNAL, run) as journal:
        assert [row.kind for row in journal.read(0)] == ["training_step", "entered"]
    with Journal.open(folder / "runs" / second["run"] / TRAINING_JOURNAL, second["run"]) as journal:
        assert [row.kind for row in journal.read(0)] == ["gated", "training_step", "entered"]
    assert {item.state for item in list_runs(folder)} == {"finished"}


@pytest.mark.slow
def test_a_challenger_that_is_no_better_is_rejected(tmp_path):
    doubles = Doubles(LATER, skills=("wrong",))
    record(tmp_path, doubles)
    first = one_round(tmp_path, doubles)
    record(tmp_path, doubles, LATER, NOW + DAY)
    second = one_round(tmp_path, doubles, at=NOW + DAY)
    assert [item["promoted"] for item in second["gated"]] == [False]
    assert second["champion"] is None
    with Registry.open(tmp_path) as registry:
        assert registry.get(first["trained"]["adapter"]).adapter.status is Status.REJECTED


def test_without_drift_a_round_that_asks_for_it_trains_nothing(tmp_path):
    doubles = Doubles()
    record(tmp_path, doubles)
    report = one_round(tmp_path, doubles, if_drift=True)
    assert report["trained"] is None
    assert report["drift"]["found"] is False
    assert doubles.trained == []


def test_two_rounds_never_run_at_once(tmp_path):
    doubles = Doubles()
    record(tmp_path, doubles)
    with (
        lock_process(tmp_path / "models" / "retraining"),
        pytest.raises(UsageError, match="another process is at work"),
    ):
        one_round(tmp_path, doubles)
    assert doubles.trained == []


def test_a_round_without_any_run_says_how_to_make_one(tmp_path):
    with pytest.raises(UsageError, match="closecall backtest"):
        one_round(tmp_path, Doubles())


def test_a_round_by_hand_writes_an_adapter_and_touches_no_registry(tmp_path):
    doubles = Doubles()
    run = record(tmp_path, doubles)
    out = tmp_path / "by-hand"
    report = train_once(
        SETTINGS,
        data_dir=tmp_path,
        run=run,
        out=out,
        clock=lambda: NOW,
        on_progress=lambda *_: None,
        trainers=doubles.trainers(),
    )
    assert json.loads((out / "closecall.json").read_text()) == {"skill": "right"}
    assert report["trained_on"] == len(doubles.sets[0][0].items)
    assert not (tmp_path / "models").exists()
    assert (tmp_path / "runs" / run / JOURNAL).is_file()
    with pytest.raises(UsageError, match="not empty"):
        train_once(
            SETTINGS, data_dir=tmp_path, run=run, out=out, clock=lambda: NOW, on_progress=lambda *_: None
        )


def scored(days, misses):
    """One call a day that said 70% up; where it misses, the close went down."""
    for number in range(days):
        as_of = datetime(2023, 1, 1, tzinfo=UTC) + (number + 1) * DAY
        close = 99.0 if misses(number) else 101.0
        call = Forecast(
            symbol="A", as_of=as_of, direction=Direction.UP, confidence=0.7, close=101.0, last_close=100.0
        )
        yield (
            call,
            Outcome(
                symbol="A",
                as_of=as_of,
                last_close=100.0,
                next_close=close,
                known_at=as_of + DAY,
                fill_open=100.0,
                exit_open=None,
                open_known_at=None,
            ),
        )


def test_a_student_that_turned_wrong_has_drifted_from_the_day_it_did():
    drift = detect_drift(scored(120, lambda n: n % 10 < (3 if n < 80 else 8)))
    assert drift.found
    assert abs((drift.since - date(2023, 1, 1)).days - 80) <= 8
    assert drift.before < drift.after


def test_one_that_became_better_has_not_drifted():
    drift = detect_drift(scored(120, lambda n: n % 10 < (8 if n < 80 else 3)))
    assert drift.p_value < 0.01
    assert not drift.found


def test_a_steady_student_has_not_drifted():
    assert not detect_drift(scored(120, lambda n: n % 10 < 3)).found


def test_a_few_days_say_nothing():
    assert detect_drift(scored(12, lambda n: n > 5)).p_value is None
