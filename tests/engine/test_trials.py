import json
import sys
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from statistics import variance

import numpy as np
import pytest

from engine.errors import DataError
from engine.metrics.price_moves import build_price_moves
from engine.metrics.trials import (
    Trial,
    append_trial,
    distinct_trials,
    encode_returns,
    find_trials,
    sharpe_variance,
)
from tests.support.own_processes import started
from tests.support.places import ROOT

TRIAL = Trial(
    run="run-1",
    at=datetime(2024, 5, 1, 12, tzinfo=UTC),
    data="simulated:7",
    symbols=("BTC", "ETH"),
    start=date(2023, 1, 1),
    end=date(2023, 12, 31),
    forecasts_digest="ab" * 32,
    daily_sharpe=0.05,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "trials.jsonl"


def same(path: Path, trial: Trial = TRIAL) -> list[Trial]:
    return find_trials([path], trial)


def test_a_missing_record_is_empty(path: Path) -> None:
    assert same(path) == []


def test_a_trial_is_read_back_as_it_was_recorded(path: Path) -> None:
    interrupted = replace(TRIAL, run="run-2", daily_sharpe=None)
    append_trial(path, TRIAL)
    append_trial(path, interrupted)
    assert same(path) == [TRIAL, interrupted]


def test_the_record_is_one_line_of_json_for_each_trial_and_only_grows(path: Path) -> None:
    append_trial(path, TRIAL)
    before = path.read_bytes()
    append_trial(path, replace(TRIAL, run="run-2"))
    assert path.read_bytes().startswith(before)
    assert [json.loads(line)["run"] for line in path.read_text().splitlines()] == ["run-1", "run-2"]


@pytest.mark.parametrize(
    ("change", "counted"),
    [
        ({"start": date(2023, 1, 2), "end": date(2024, 1, 1)}, True),
        ({"start": date(2023, 12, 31), "end": date(2025, 1, 1)}, True),
        ({"start": date(2024, 1, 1), "end": date(2025, 1, 1)}, False),
        ({"start": date(2022, 1, 1), "end": date(2022, 12, 31)}, False),
        ({"symbols": ("ETH", "SOL")}, True),
        ({"symbols": ("SOL",)}, False),
        ({"data": "simulated:8"}, False),
        ({"forecasts_digest": "cd" * 32, "daily_sharpe": None}, True),
    ],
)
def test_trials_count_that_share_source_a_symbol_and_a_day(path: Path, change: dict, counted: bool) -> None:
    append_trial(path, replace(TRIAL, **change))
    assert len(same(path)) == counted


@pytest.mark.parametrize("left", [1, 40, -2])
def test_a_line_cut_off_by_a_crash_spoils_only_itself(path: Path, left: int) -> None:
    append_trial(path, TRIAL)
    append_trial(path, replace(TRIAL, run="cut off"))
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second[:left])
    assert [trial.run for trial in same(path)] == ["run-1"]
    append_trial(path, replace(TRIAL, run="run-3"))
    assert [trial.run for trial in same(path)] == ["run-1", "run-3"]


def test_a_line_cut_inside_a_character_spoils_only_itself(path: Path) -> None:
    append_trial(path, replace(TRIAL, run="运行"))
    path.write_bytes(path.read_bytes().partition("行".encode())[0] + b"\xe8\xa1")
    append_trial(path, TRIAL)
    assert same(path) == [TRIAL]


@pytest.mark.parametrize("line", ["[]", '{"run":"x"}', "7"])
def test_a_whole_line_that_is_no_trial_is_refused_by_its_number(path: Path, line: str) -> None:
    append_trial(path, TRIAL)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=r"trials\.jsonl:2: not a trial") as caught:
        same(path)
    assert "\n" not in str(caught.value)


def test_a_record_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="was not recorded"):
        append_trial(tmp_path / "file" / "trials.jsonl", TRIAL)


RECORDER = """
import sys
from dataclasses import replace
from pathlib import Path
from tests.engine.test_trials import TRIAL
from engine.metrics.trials import append_trial

for number in range(60):
    append_trial(Path(sys.argv[1]), replace(TRIAL, run=f"{sys.argv[2]}-{number}"))
"""


def test_processes_that_record_at_once_lose_no_trial(path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", RECORDER, str(path)]
    with ExitStack() as stack:
        processes = [stack.enter_context(started([*command, name], cwd=ROOT)) for name in ("left", "right")]
        assert [process.wait(timeout=60) for process in processes] == [0, 0]
    runs = [trial.run for trial in same(path)]
    assert len(runs) == 120
    for name in ("left", "right"):
        mine = [run for run in runs if run.startswith(name)]
        assert mine == [f"{name}-{number}" for number in range(60)]


def test_trials_are_distinct_by_what_came_of_the_forecasts_and_not_by_the_forecasts_alone() -> None:
    first = replace(TRIAL, equity_digest="e1")
    again = replace(first, run="again")
    costly = replace(TRIAL, run="costly", equity_digest="e2", daily_sharpe=0.02)
    assert distinct_trials([first, costly, again]) == [again, costly]
    # TRIAL is as an earlier version recorded the first, without a digest of its equity.
    assert distinct_trials([TRIAL, first]) == [first]
    assert len(distinct_trials([TRIAL, replace(TRIAL, daily_sharpe=0.07)])) == 2


def test_the_records_of_a_user_and_a_data_folder_are_counted_once(path: Path) -> None:
    users = path.with_name("users.jsonl")
    other = replace(TRIAL, run="in another folder", at=datetime(2024, 6, 1, tzinfo=UTC))
    for record, trials in ((path, [TRIAL]), (users, [other, TRIAL])):
        for trial in trials:
            append_trial(record, trial)
    assert find_trials([path, users], TRIAL) == [TRIAL, other]


def test_a_trial_keeps_its_settings_and_daily_returns(path: Path) -> None:
    returns = {date(2023, 1, 2): 0.1 / 3, date(2023, 1, 5): -1e-9}
    append_trial(path, replace(TRIAL, settings={"gross": 0.5}, returns=encode_returns(returns)))
    (trial,) = same(path)
    assert (trial.settings, trial.daily_returns) == ({"gross": 0.5}, returns)
    assert TRIAL.daily_returns == {}


def test_the_same_prices_under_another_name_are_the_same_data(path: Path) -> None:
    walk = list(np.cumprod(1 + np.random.default_rng(3).normal(0, 0.02, 80)) * 100)
    days = range(date(2023, 3, 1).toordinal(), date(2023, 3, 1).toordinal() + 80)
    moves = build_price_moves({"BTC": dict(zip(days, walk, strict=True))})
    renamed = build_price_moves(
        {"COIN": {day: round(value, 2) for day, value in zip(days, walk, strict=True)}}
    )
    other = build_price_moves({"BTC": dict(zip(days, walk[::-1], strict=True))})
    trial = replace(TRIAL, moves_digest=moves.digest)
    append_trial(path, trial, moves)
    append_trial(path, replace(trial, run="run-2"), moves)
    assert path.read_text().count('"moves":{') == 1  # written once for all trials on the same data
    asked = replace(TRIAL, data="frames", symbols=("COIN",))
    assert find_trials([path], TRIAL, other) == []
    assert [found.run for found in find_trials([path], asked, renamed)] == ["run-1", "run-2"]
    early = replace(asked, start=date(2022, 1, 1), end=date(2022, 12, 31))
    assert find_trials([path], early, renamed) == []


def test_the_variance_of_trials_leaves_out_those_without_a_sharpe_ratio() -> None:
    trials = [replace(TRIAL, daily_sharpe=ratio) for ratio in (0.1, None, -0.2, 0.15)]
    assert sharpe_variance(trials) == pytest.approx(variance([0.1, -0.2, 0.15]))
    assert sharpe_variance(trials[:2]) is None


def test_a_trial_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValueError, match="before it starts"):
        replace(TRIAL, end=date(2022, 1, 1))


def test_a_trial_takes_dates_without_a_time() -> None:
    with pytest.raises(ValueError, match="without a time"):
        replace(TRIAL, start=TRIAL.at)
