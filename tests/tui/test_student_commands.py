"""`closecall student check` and `closecall check memory` on a student that answers by a rule."""

import json

import pytest

from tests.support.tables_on_disk import write_bars, write_lines
from tui.cli.main import run

STUDENT = """
import closecall as cc

class Half(cc.Student):
    def answer(self, prompts, on_progress):
        answer = cc.format_answer("up", 0.60, 101)
        return [answer if number % 2 else "up, I think" for number, _ in enumerate(prompts)]
"""


@pytest.fixture
def student(tmp_path):
    return f"{write_lines(tmp_path / 'half.py', [STUDENT])}:Half"


def test_a_student_is_examined_in_every_mode_and_what_to_change_is_said(student, tmp_path, capsys):
    write_bars(tmp_path / "bars", "BTC-USD", days=40)
    words = ["student", "check", student, "--bars", str(tmp_path / "bars"), "--symbols", "20"]
    assert run([*words, "--data-dir", str(tmp_path / "data"), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["prompts"] == 10
    assert figures["prompt_tokens"] is None
    assert set(figures["modes"]) == {"json", "readout", "think"}
    for measured in figures["modes"].values():
        assert measured["parse_rate"] == 0.5
        hours = 20 * 365 / measured["forecasts_per_second"] / 3600
        assert measured["hours_per_year"] == pytest.approx(hours)
    assert figures["peak_memory_gb"] > 0.01
    assert (figures["trainable"], "no weights" in figures["trainable_reason"]) == (False, True)
    assert any("50% of the answers cannot be read with --mode json" in line for line in figures["advice"])
    assert run([*words, "--data-dir", str(tmp_path / "data")]) == 0
    shown = capsys.readouterr()
    assert "50% readable" in shown.out
    assert "cannot be read" in shown.err


def test_what_answers_rest_on_is_the_last_word(student, tmp_path, capsys):
    words = ["check", "memory", "--student", student, "--days", "30", "--data-dir", str(tmp_path / "data")]
    assert run(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "nothing"
    assert any(line.startswith("news turned") for line in lines)
    assert run([*words, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["basis"], report["cutoff"], report["after"]) == ("nothing", None, None)
    assert set(report["before"]["effects"]["masked"]) >= {"flip_rate", "prediction_consistency", "cost_low"}
