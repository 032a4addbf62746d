import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from strategies.backtest import backtest
from strategies.conclusions import list_conclusions
from strategies.config_file import load_config
from strategies.market_data import MarketData
from tests.support.students import RuleStudent

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
DATA = MarketData.simulated(seed=8, coins=2, stocks=0, days=60)


@pytest.fixture
def users_record(tmp_path, monkeypatch):
    path = tmp_path / "user" / "trials.jsonl"
    monkeypatch.setenv("CLOSECALL_TRIALS", str(path))
    return path


def run(folder, data=DATA, **flags):
    config = load_config(None, flags)
    return backtest(config, data_dir=folder, clock=lambda: NOW, student=RuleStudent(), data=data).result


def test_other_sizes_shorts_and_costs_are_distinct_trials(tmp_path):
    for count, flags in enumerate(
        ({}, {"fee_bps": 40.0}, {"max_gross_exposure": 0.5}, {"allow_short": True}), 1
    ):
        result = run(tmp_path, **flags)
        assert (result["trials"], result["distinct_trials"]) == (count, count)
    again = run(tmp_path)
    assert (again["trials"], again["distinct_trials"]) == (5, 4)


def test_another_data_folder_or_name_of_the_data_does_not_restart_the_count(tmp_path, users_record):
    assert run(tmp_path / "a")["trials"] == 1
    bars = {f"MY{symbol}": bars for symbol, bars in DATA.bars.items()}
    renamed = replace(
        DATA,
        source="frames",
        bars={name: [replace(bar, symbol=name) for bar in series] for name, series in bars.items()},
        instruments={f"MY{s}": replace(i, symbol=f"MY{s}") for s, i in DATA.instruments.items()},
        is_simulated=False,
        oracle={},
        news=(),
    )
    assert run(tmp_path / "b", renamed)["trials"] == 2
    assert run(tmp_path / "c", MarketData.simulated(seed=9, coins=2, stocks=0, days=60))["trials"] == 1
    assert len(users_record.read_text().splitlines()) == 3
    (own,) = (tmp_path / "b" / "trials.jsonl").read_text().splitlines()
    assert json.loads(own)["settings"]["rules"]


def test_a_users_record_that_cannot_be_written_is_a_note_and_no_error(tmp_path, users_record):
    users_record.mkdir(parents=True)
    result = run(tmp_path)
    assert result["trials"] == 1
    assert any("other data folders are not counted" in note for note in result["notes"])


def test_the_table_says_against_what_the_sharpe_ratio_is_more_than_luck(tmp_path):
    result = run(tmp_path)
    hold = result["scores"]["buy_and_hold"]["sharpe"]
    yardstick = result["sharpe_yardstick"]
    assert yardstick == {
        "caller": "buy_and_hold" if hold > 0 else None,
        "sharpe": pytest.approx(max(0.0, hold)),
    }
    stated = {"caller": "buy_and_hold", "sharpe": 2.45}
    (line,) = [
        line for line in list_conclusions(result | {"sharpe_yardstick": stated}) if line.startswith("Trials")
    ]
    assert "true Sharpe ratio is above 2.45, that of buy&hold, is" in line
    earlier = {key: value for key, value in result.items() if key != "sharpe_yardstick"}
    assert any("true Sharpe ratio is above 0 is" in line for line in list_conclusions(earlier))
