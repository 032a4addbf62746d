"""`closecall check lookahead` on recorded runs, students and strategies of files."""

import json
import sqlite3

import pytest

from tests.support.tables_on_disk import write_lines
from tui.cli.main import run

STUDENT = """
import closecall as cc

class Last(cc.Student):
    def prompt(self, observation):
        before, last = observation.bars[-2:]
        return f"{last.close / before.close:.6f} {observation.as_of}"

    def answer(self, prompts, on_progress):
        rises = [float(prompt.split()[0]) > 1 for prompt in prompts]
        return [cc.format_answer("up" if up else "down", 0.6, 101 if up else 99) for up in rises]

class Hold(cc.Strategy):
    def on_close(self, slice):
        for symbol in slice.bars:
            self.order_target_percent(symbol, 0.1)
"""


@pytest.fixture
def place(tmp_path):
    return str(write_lines(tmp_path / "mine.py", [STUDENT]))


@pytest.fixture
def folder(tmp_path):
    return ("--data-dir", str(tmp_path / "data"))


def record(capsys, folder, *words):
    assert run(["backtest", "--days", "24", *words, *folder, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["run"]


def test_a_run_is_checked_and_has_the_findings_in_its_folder(place, folder, tmp_path, capsys):
    name = record(capsys, folder, "--student", f"{place}:Last")
    assert run(["check", "lookahead", name, "--points", "3", *folder]) == 0
    shown = capsys.readouterr().out
    assert "no leak found in" in shown
    assert "times the run's own" in shown
    findings = json.loads((tmp_path / "data" / "runs" / name / "lookahead.json").read_text())
    assert (findings["ok"], findings["leaks"], len(findings["points"])) == (True, [], 3)


def test_an_answer_that_was_edited_in_the_cache_is_found(place, folder, tmp_path, capsys):
    words = ("--student", f"{place}:Last")
    record(capsys, folder, *words)
    with sqlite3.connect(tmp_path / "data" / "ledger.sqlite") as ledger:
        ledger.execute(
            """UPDATE answers SET answer = '{"direction": "up", "confidence": 0.90, "close": 109}'"""
        )
    name = record(capsys, folder, *words)
    assert run(["check", "lookahead", name, "--points", "3", *folder, "--json"]) == 4
    report = json.loads(capsys.readouterr().out)
    assert {leak["kind"] for leak in report["leaks"]} == {"run"}
    assert "asked alone, it is" in report["leaks"][0]["what"]


def test_a_run_of_a_strategy_is_checked_with_its_file(place, folder, capsys):
    name = record(capsys, folder, "--strategy", f"{place}:Hold")
    words = ["check", "lookahead", name, "--points", "3", *folder]
    assert run(words) == 2
    assert "name it: --strategy FILE.py:Hold" in capsys.readouterr().err
    assert run([*words, "--strategy", f"{place}:Hold"]) == 0
    assert run([*words, "--seed", "3"]) == 2
    assert "a run has its own configuration" in capsys.readouterr().err


def test_a_changed_student_is_not_taken_for_that_of_the_run(place, folder, tmp_path, capsys):
    name = record(capsys, folder, "--student", f"{place}:Last")
    write_lines(tmp_path / "mine.py", [STUDENT.replace("0.6", "0.7")])
    assert run(["check", "lookahead", name, *folder]) == 2
    assert "has changed since" in capsys.readouterr().err


def test_a_leak_is_shown_with_exit_code_4(folder, tmp_path, capsys):
    peek = """
import closecall as cc
DATA = cc.MarketData.simulated(seed=7, days=24)

class Peek(cc.Strategy):
    def on_close(self, slice):
        for symbol, bar in slice.bars.items():
            later = [each.close for each in DATA.bars[symbol] if each.opens_at >= slice.as_of]
            self.order_target_percent(symbol, 0.1 if later and later[0] > bar.close else 0)
"""
    file = write_lines(tmp_path / "peek.py", [peek])
    words = ["check", "lookahead", "--strategy", f"{file}:Peek", "--days", "24", *folder]
    assert run(words) == 4
    shown = capsys.readouterr().out
    assert "leaks found in" in shown
    assert "with later data cut after" in " ".join(shown.split())
