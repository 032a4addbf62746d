"""A program that imports nothing of the project recounts a run's metrics from its exported files."""

import ast
import hashlib
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import closecall as cc
from engine.metrics.registry import METRICS
from tests.support.own_processes import ran
from tests.support.students import RuleStudent

PROGRAM = Path(__file__).resolve().parents[1] / "support/recount.py"


def answer(prompt):
    """Draw an answer by the prompt; one in eleven cannot be read."""
    draw = hashlib.sha256(prompt.encode()).digest()
    if draw[0] % 11 == 0:
        return "no idea"
    up, confidence = draw[1] % 2 == 0, 0.5 + draw[2] % 50 / 100
    return cc.format_answer("up" if up else "down", confidence, 100 + (1 if up else -1) * draw[3] / 100)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A run over 400 days of one coin and half of them of another, which lacks a week."""
    place = tmp_path_factory.mktemp("recount")
    (place / "bars").mkdir()
    generator = np.random.default_rng(3)
    days = pd.date_range("2022-01-01", periods=400)
    for symbol, first in (("BTCUSDT", 0), ("ETHUSDT", 200)):
        close = np.round(100 * np.exp(np.cumsum(generator.normal(0, 0.02, size=400))), 2)
        close[50:52] = close[49]  # ties
        opening = np.concatenate([[100.0], close[:-1]])
        spread = 1 + np.abs(generator.normal(0, 0.01, size=400))
        high, low = np.maximum(opening, close) * spread, np.minimum(opening, close) / spread
        columns = {
            "date": days.strftime("%Y-%m-%d"),
            "open": opening,
            "high": high,
            "low": low,
            "close": close,
        }
        frame = pd.DataFrame(columns | {"volume": 1000.0}).iloc[first:]
        if first:
            frame = frame.drop(index=range(300, 307))
        frame.to_csv(place / "bars" / f"{symbol}.csv", index=False)
    data = cc.MarketData.from_files([place / "bars"], allow_bad_data=True)
    cc.backtest(data, student=RuleStudent(answer), out=place / "out", folder=place / "data", allow_short=True)
    return place


def test_the_recount_of_the_exported_files_agrees_in_every_metric(exported):
    done = ran([sys.executable, PROGRAM, exported / "out", exported / "bars"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    recounted = {line.split()[0] for line in done.stdout.splitlines()}
    # The bootstrap draws, the benchmark's equity and what cash reduced are not in these files.
    left_out = {"alpha", "beta", "resized"} | {
        m.key for m in METRICS if "bootstrap" in m.key or "token" in m.key
    }
    assert recounted == {metric.key for metric in METRICS} - left_out | {"days_per_year"}


def test_the_recount_imports_nothing_of_the_project():
    tree = ast.parse(PROGRAM.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names <= {"json", "sys", "pathlib", "numpy", "pandas", "scipy"}
