"""`closecall forecast`, and the task that is scored and never traded."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest

from engine.timeline import build_observations, hide_last_close
from feeds.history.candles import Adjustment
from llm.answer_cache import AnswerCache, answer_digest
from strategies.market_data import MarketData
from tests.support.tables_on_disk import bar_lines, write_bars, write_lines, write_news
from tui.cli.main import run

STUDENT = """
import closecall as cc

class Told(cc.Student):
    def prompt(self, observation):
        closes = " ".join(f"{bar.close:g}" for bar in observation.bars[-3:])
        return f"{observation.symbol} {closes} | " + "; ".join(item.title for item in observation.news)

    def answer(self, prompts, on_progress):
        return [
            '{"direction": "down", "confidence": 0.60, "close": 99.00, "probability_up": 0.3}'
            if "crash" in prompt else cc.format_answer("up", 0.70, 101)
            for prompt in prompts
        ]
"""
KEYS = {
    *("symbol", "as_of", "prompt", "answer", "direction", "probability_up", "close", "latency_s"),
    *("fingerprint", "mode"),
}


@pytest.fixture
def project(tmp_path):
    """Bars of two coins, news of one, and a student that reads it."""
    write_bars(tmp_path / "bars", "BTC-USD", "ETH-USD", days=20)
    write_news(tmp_path, "2024-01-20T10:00:00Z,wire,BTC,Bitcoin in a crash,")
    write_lines(tmp_path / "told.py", [STUDENT])
    return tmp_path


def ask(project, capsys, *words, code=0):
    student = ["--student", f"{project / 'told.py'}:Told", "--data-dir", project / "data"]
    assert run([str(word) for word in ("forecast", *words, *student)]) == code
    return capsys.readouterr()


def test_one_forecast_from_files_says_what_was_asked_and_answered_and_is_kept(project, capsys):
    files = ["--bars", project / "bars", "--news", project / "news.csv"]
    made = json.loads(ask(project, capsys, "BTC-USD", *files, "--json").out)
    assert made.keys() >= KEYS
    assert (made["symbol"], made["as_of"]) == ("BTC-USD", "2024-01-21T00:00:00Z")
    assert made["prompt"].endswith("| Bitcoin in a crash")
    assert (made["direction"], made["confidence"], made["probability_up"]) == ("down", 0.6, 0.3)
    assert made["close"] == pytest.approx(0.99 * made["last_close"])
    digest = answer_digest(made["fingerprint"], made["prompt"])
    with AnswerCache(project / "data" / "ledger.sqlite") as cache:
        assert cache.get_many([digest]) == {digest: made["answer"]}
    shown = ask(project, capsys, "ETH-USD", *files, "--show")
    assert "ETH-USD" in shown.out.partition("--- prompt")[2].partition("---")[0]
    assert "▲ up 70%" in shown.out


def test_one_forecast_from_the_store_takes_whatever_source_has_the_symbol(project, capsys):
    words = ["fetch", "bars", "--source", "file", "--bars", project / "bars", "--adjustment", Adjustment.RAW]
    assert run([str(word) for word in (*words, "--data-dir", project / "data")]) == 0
    capsys.readouterr()
    made = json.loads(ask(project, capsys, "ETH-USD", "--json").out)
    assert (made["symbol"], made["direction"], made["probability_up"]) == ("ETH-USD", "up", 0.7)


def test_a_forecast_without_bars_is_refused_with_what_to_name(project, capsys):
    error = ask(project, capsys, "BTC-USD", code=3).err
    assert "no bars of BTC-USD in the store" in error
    assert "--bars" in error
    write_lines(project / "few" / "BTC-USD.csv", bar_lines(4))
    assert "needs" in ask(project, capsys, "BTC-USD", "--bars", project / "few", code=3).err
    assert (
        "leave --bars"
        in ask(project, capsys, "BTC-USD", "--bars", project / "bars", "--source", "yfinance", code=2).err
    )


def test_the_close_that_is_asked_for_is_in_no_observation_of_the_task_same_day(project):
    market = MarketData.from_files(project / "bars")
    seen = build_observations(market.bars, (), window=5, start=market.start)[-1]
    *before, day = seen.bars
    other = replace(seen, bars=(*before, replace(day, close=day.low)))
    assert hide_last_close(seen) == hide_last_close(other)
    assert hide_last_close(seen).bars[-1].high == day.high


def test_the_task_same_day_is_scored_against_the_day_itself_and_never_traded(project, capsys):
    student = [
        "--student",
        f"{project / 'told.py'}:Told",
        "--data-dir",
        project / "data",
        "--task",
        "same-day",
    ]
    words = ["backtest", "--bars", project / "bars", "--out", project / "out", "--json", *student]
    assert run(list(map(str, words))) == 0
    result = json.loads(capsys.readouterr().out)
    closes = [float(line.split(",")[4]) for line in bar_lines(20)[1:]]
    rises = [after > before for before, after in pairwise(closes[4:])]
    scores = result["scores"]["student"]
    assert (scores["n"], scores["accuracy"]) == (2 * len(rises), pytest.approx(sum(rises) / len(rises)))
    assert (project / "out" / "orders.csv").read_text().count("\n") == 1
    assert {scores["trades"] for scores in result["scores"].values()} == {0}
    assert any("same-day" in note and "nothing is traded" in note for note in result["notes"])
    assert run(["check", "parity", result["run"], "--data-dir", str(project / "data")]) == 3
    assert "never traded" in capsys.readouterr().err
    for command in (["paper", "start", "--replay"], ["walkforward"]):
        write_lines(project / "task.toml", ['task = "same-day"'])
        assert (
            run([*command, "--config", str(project / "task.toml"), "--data-dir", str(project / "data")]) == 2
        )
        assert "scored and never traded" in capsys.readouterr().err
