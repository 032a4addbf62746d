"""Confidences fitted on what was known at the time."""

import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from engine.model import Abstention, Direction, Forecast
from engine.outcomes import Outcome
from strategies.calibration import calibrate, measure_reliability
from strategies.config import CalibrationMethod
from tests.support.tables_on_disk import write_lines
from tui.cli.main import run

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def overconfident(days, share_right=lambda _confidence: 0.6, seed=4):
    """Forecasts of 0.55 to 0.95, of which so many are right, each known a day later."""
    random_ = random.Random(seed)
    scored = []
    for number in range(days):
        as_of = START + number * DAY
        confidence = round(random_.uniform(0.55, 0.95), 2)
        up, right = random_.random() < 0.5, random_.random() < share_right(confidence)
        direction = Direction.UP if up else Direction.DOWN
        call = Forecast(
            symbol="A",
            as_of=as_of,
            direction=direction,
            confidence=confidence,
            close=100.0 + direction.sign,
            last_close=100.0,
        )
        outcome = Outcome(
            symbol="A",
            as_of=as_of,
            last_close=100.0,
            next_close=101.0 if up == right else 99.0,
            known_at=as_of + DAY,
            fill_open=100.0,
            exit_open=None,
            open_known_at=None,
        )
        scored.append((call, outcome))
    return scored


@pytest.mark.parametrize("method", CalibrationMethod)
def test_confidences_that_are_too_high_become_right_and_directions_stay(method):
    scored = overconfident(400)
    made = calibrate(scored, method)
    before, after = made.report["before"], made.report["after"]
    assert after["n"] == before["n"] == made.report["calibrated"] >= 340
    assert after["brier"] < before["brier"] - 0.01
    assert after["ece"] < before["ece"] / 2
    assert 15 <= made.report["refits"] <= 18
    for call, (stated, _) in zip(made.calls, scored, strict=True):
        assert (call.direction, call.close, call.as_of) == (stated.direction, stated.close, stated.as_of)
    assert made.calls[:50] == tuple(call for call, _ in scored[:50])


@pytest.mark.parametrize("method", CalibrationMethod)
def test_nothing_later_changes_an_earlier_confidence(method):
    scored = overconfident(200)
    whole = calibrate(scored, method).calls
    flipped = [(call, replace(out, next_close=200 - out.next_close)) for call, out in scored[140:]]
    assert calibrate(scored[:140] + flipped, method).calls[:140] == whole[:140]
    assert calibrate(scored[:140], method).calls == whole[:140]
    assert calibrate([(call, None) for call, _ in scored], method).calls == tuple(c for c, _ in scored)


def test_a_direction_that_is_mostly_wrong_bets_nothing():
    made = calibrate(overconfident(200, lambda _: 0.2), CalibrationMethod.PLATT)
    assert {call.confidence for call in made.calls[100:]} == {0.5}


def test_abstentions_stay_and_reliability_counts_forecasts_alone():
    scored = overconfident(80)
    abstention = Abstention(symbol="A", as_of=START + 90 * DAY, reason="none", last_close=1.0)
    assert calibrate([*scored, (abstention, None)], CalibrationMethod.PLATT).calls[-1] is abstention
    reliability = measure_reliability([*scored, (abstention, None)])
    assert reliability.n == sum(each["n"] for each in reliability.bins) == 80
    assert measure_reliability([]).brier is None


STUDENT = """
import closecall as cc

class Sure(cc.Student):
    def answer(self, prompts, on_progress):
        return [cc.format_answer("up", 0.95, 101) for _ in prompts]
"""


def test_a_backtest_trades_the_calibrated_confidence_says_so_and_can_be_replayed(tmp_path, capsys):
    student = f"{write_lines(tmp_path / 'sure.py', [STUDENT])}:Sure"
    words = ["backtest", "--student", student, "--days", "60", "--calibrate", "platt", "--json"]
    assert run([*words, "--data-dir", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    result = json.loads(capsys.readouterr().out)
    report = result["calibration"]
    assert report["after"]["brier"] < report["before"]["brier"]
    assert any("Calibration by platt" in note and "were traded" in note for note in result["notes"])
    lines = (tmp_path / "out" / "forecasts.csv").read_text().splitlines()
    assert 0.5 <= float(lines[-1].split(",")[3]) < 0.8
    assert run(["check", "parity", result["run"], "--data-dir", str(tmp_path)]) == 0


def test_a_session_and_a_walk_forward_refuse_to_calibrate(tmp_path, capsys):
    config = str(write_lines(tmp_path / "c.toml", ['calibrate = "platt"']))
    for command in (["paper", "start", "--replay"], ["walkforward"]):
        assert run([*command, "--config", config, "--data-dir", str(tmp_path / "data")]) == 2
        assert "trades stated confidences; leave it out" in capsys.readouterr().err
