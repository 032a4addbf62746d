"""What an adapter has learned stays in its children: attacks that launder the days of a parent."""

import json
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest

from engine.errors import UsageError
from llm.model_files import fingerprint
from llm.registry.registry import Registry
from llm.student import StudentSettings
from strategies.backtest import backtest
from strategies.config import MarketTable
from strategies.market_data import MarketData, load_market_data
from tests.support.students import RuleStudent
from tests.support.tables_on_disk import write_bars
from tests.support.walks import MARKET, NOW, Doubles, write_adapter
from training.retraining.retrain import retrain
from training.trained_adapter import TrainingJob, find_release
from training.walkforward.config import Method, WalkForwardConfig
from training.walkforward.run import walkforward

DAY = timedelta(days=1)
OWN = datetime(2023, 6, 1, 21, tzinfo=UTC)


def dated_adapter(folder, released=None, skill="wrong"):
    write_adapter(folder, skill)
    if released is not None:
        (folder / "closecall.json").write_text(json.dumps({"skill": skill, "released": str(released)}))
    return folder


@pytest.mark.parametrize(
    ("parent", "expected"),
    [
        ({}, date(2023, 6, 1)),
        ({"released": "2022-01-01"}, date(2023, 6, 1)),
        ({"released": "2024-03-01"}, date(2024, 3, 1)),
        ({"released": None}, None),
    ],
    ids=["no parent", "older", "newer", "unknown"],
)
def test_a_child_trained_on_older_days_has_the_release_of_its_parent(tmp_path, parent, expected):
    adapter = dated_adapter(tmp_path / "parent", parent["released"]) if parent else None
    job = TrainingJob(
        start=StudentSettings(adapter=adapter),
        training=SimpleNamespace(cutoff=OWN - DAY),
        held_out=SimpleNamespace(cutoff=OWN),
        folder=tmp_path / "child",
        on_event=lambda _: None,
        on_progress=lambda *_: None,
    )
    assert find_release(job) == expected


def market(days, adapter):
    return MARKET.model_copy(update={"market": MarketTable(coins=1, stocks=0, days=days), "adapter": adapter})


def learn(folder, days, adapter, at=NOW):
    """Retrain on a run of so many days with an adapter."""
    doubles = Doubles(market(days, None))
    student = doubles.load(StudentSettings(adapter=adapter))
    backtest(market(days, adapter), data_dir=folder, clock=lambda: at, student=student)
    settings = WalkForwardConfig(method=Method.SFT, train_days=20, test_days=10)
    return retrain(settings, data_dir=folder, at=at, load=doubles.load, trainers=doubles.trainers())


@pytest.mark.parametrize("registered", [False, True])
def test_retraining_from_a_runs_adapter_names_its_parent_and_gates_after_what_that_has_learned(
    tmp_path, registered
):
    last = max(bar.closes_at for bar in load_market_data(market(40, None), tmp_path).traded_bars)
    end = last + 8 * DAY
    parent, name = dated_adapter(tmp_path / "parent", end.date()), None
    if registered:
        with Registry.open(tmp_path) as registry:
            stated = {"recipe": {}, "fingerprint": fingerprint([parent]), "scores": {}}
            entered = registry.register(parent, parent=None, student="tiny", cutoff=last, at=NOW, **stated)
            registry.reject(entered.name, at=NOW, by="user", reason="not to be gated")
        name, parent = entered.name, entered.folder
    first = learn(tmp_path, 40, parent)
    later = learn(
        tmp_path, 54, parent, NOW + DAY
    )  # 14 days more: its window of 10 is over, but for the parent
    with Registry.open(tmp_path) as registry:
        child = registry.get(first["trained"]["adapter"]).adapter
    assert (child.parent, child.start) == (name, None if registered else fingerprint([parent]))
    assert child.cutoff == end
    assert later["gated"] == []


def test_retraining_from_an_adapter_of_unknown_data_is_refused(tmp_path):
    with pytest.raises(
        UsageError, match=r"parent: until when its training data reach is not known.*released"
    ):
        learn(tmp_path, 40, dated_adapter(tmp_path / "parent"))
    assert not list((tmp_path / "models" / "adapters").iterdir())


@pytest.fixture
def recorded(tmp_path):
    write_bars(tmp_path / "bars", "BTC-USD", days=60)
    return MarketData.from_files(tmp_path / "bars")


def begin(folder, adapter, data):
    settings = WalkForwardConfig(method=Method.NONE, train_days=20, test_days=20)
    config = MARKET.model_copy(update={"adapter": adapter})
    return walkforward(
        config, settings, data_dir=folder, clock=lambda: NOW, load=lambda _: RuleStudent(), data=data
    )


@pytest.mark.parametrize(
    ("days", "message"), [(1, "training data reach to .* first test window begins on"), (None, "not known")]
)
def test_a_walk_forward_begins_with_no_adapter_from_its_future(tmp_path, recorded, days, message):
    start = recorded.start + 20 * DAY
    released = None if days is None else start.date() + days * DAY
    with pytest.raises(UsageError, match=message):
        begin(tmp_path, dated_adapter(tmp_path / "adapter", released), recorded)
    assert not (tmp_path / "runs").exists()
    run = begin(tmp_path, dated_adapter(tmp_path / "earlier", start.date()), recorded)
    assert run.result["folds"]


def test_a_walk_forward_begins_with_no_champion_from_its_future(tmp_path, recorded):
    """Its files have no date, and the registry has."""
    folder = dated_adapter(tmp_path / "adapter")
    with Registry.open(tmp_path) as registry:
        stated = {"recipe": {}, "fingerprint": fingerprint([folder]), "scores": {}}
        entered = registry.register(folder, parent=None, student="tiny", cutoff=NOW - DAY, at=NOW, **stated)
    with pytest.raises(UsageError, match="reach to 2030-01-01"):
        begin(tmp_path, entered.folder, recorded)
