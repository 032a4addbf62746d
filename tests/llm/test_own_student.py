"""A student of the user's own: its answers are never taken for those of other code."""

import linecache
import sys

import numpy as np
import pytest

from engine.user_code import load_object
from engine.user_sources import find_source_files
from llm.own_student import BaseStudent, CheckedStudent
from strategies.backtest import backtest
from strategies.config import BacktestConfig, MarketTable
from tests.support.walks import NOW

STUDENT = """
import numpy
import closecall as cc
from rule import say

class Mine(cc.Student):
    fingerprint = "always the same"

    def answer(self, prompts, on_progress):
        return [say() for _ in prompts]
"""
RULE = """
def say():
    from words import {name}
    return {name}
"""
WORDS = """
UP = '{"direction": "up", "confidence": 0.60, "close": 100.50}'
DOWN = '{"direction": "down", "confidence": 0.60, "close": 99.50}'
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder on the import path, whose modules are forgotten as by a new process."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(**sources):
        for name, text in sources.items():
            (tmp_path / f"{name}.py").write_text(text)
        for name in ("rule", "words"):
            sys.modules.pop(name, None)
        linecache.clearcache()
        return f"{tmp_path / 'mine.py'}:Mine"

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return write


def run(place, folder):
    config = BacktestConfig(student=place, market=MarketTable(coins=1, stocks=0, days=30))
    return backtest(config, data_dir=folder, clock=lambda: NOW).result


@pytest.mark.parametrize(
    "change",
    [
        {"rule": RULE.format(name="DOWN")},
        {"words": WORDS.replace("0.60", "0.70")},
        {"mine": STUDENT.replace("[say() for", "['no answer' for")},
    ],
    ids=["a module", "a module of a module, imported late", "the class"],
)
def test_code_that_changed_under_an_equal_fingerprint_gets_no_old_answers(tmp_path, place, change):
    name = place(mine=STUDENT, rule=RULE.format(name="UP"), words=WORDS)
    first = run(name, tmp_path / "data")
    again = run(place(), tmp_path / "data")
    assert (again["asked"], again["digests"]) == (0, first["digests"])
    changed = run(place(**change), tmp_path / "data")
    assert changed["asked"] == first["asked"] > 0
    assert changed["digests"]["forecasts"] != first["digests"]["forecasts"]


def test_the_sources_of_a_student_are_those_of_the_user_alone(tmp_path, place):
    name = place(mine=STUDENT, rule=RULE.format(name="UP"), words=WORDS)
    files = [tmp_path / f"{part}.py" for part in ("mine", "rule", "words")]
    assert find_source_files(type(load_object(name))) == files


class Weighted(BaseStudent):
    def __init__(self, weights):
        self.weights = weights

    def answer(self, prompts, on_progress):
        raise NotImplementedError


def test_a_weight_that_its_repr_leaves_out_makes_another_student():
    weights = np.zeros(10_000)
    first = CheckedStudent(Weighted(weights.copy())).fingerprint
    assert CheckedStudent(Weighted(weights.copy())).fingerprint == first
    weights[5_000] = 1.0
    assert CheckedStudent(Weighted(weights)).fingerprint != first


def test_a_student_without_a_source_file_is_asked_again_in_each_run():
    names = {"BaseStudent": BaseStudent, "__name__": "notebook"}
    exec(  # as in a notebook
        "class Typed(BaseStudent):\n    fingerprint = 'f'\n    def answer(self, prompts, p): return []", names
    )
    student = names["Typed"]()
    assert CheckedStudent(student).fingerprint != CheckedStudent(student).fingerprint
