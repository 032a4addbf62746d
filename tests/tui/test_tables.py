"""Sentences under the table, counted nouns, and progress where there is no terminal."""

import sys
from html import escape

import pytest
from rich.console import Console

from engine.metrics.registry import METRICS
from feeds.history.client import Wait
from strategies.baselines.names import BASELINES
from strategies.conclusions import describe_correction
from strategies.console import pluralize, print_stderr
from strategies.result_table import create_console, render_html, render_text
from strategies.walkforward_table import compare_arms, print_folds
from tui.cli.progress import ProgressDisplay
from tui.cli.tables import create_list
from tui.formatting import list_conclusions


def result(**changes):
    student = {"trades": 3, "rejected": 0} | changes.pop("student_scores", {})
    verdict = {
        "result": "inconclusive",
        "difference": 0.01,
        "baseline": "buy_and_hold",
        "low": -0.02,
        "high": 0.04,
        "days": 1,
        "days_needed": None,
    }
    return {
        "verdict_detail": verdict,
        "edge_captured": None,
        "simulated": False,
        "trials": 1,
        "distinct_trials": 1,
        "deflated_sharpe": None,
        "contaminated_n": 0,
        "forecasts": 10,
        "student": "tiny",
        "student_released": "2026-01-01",
        "scores": {"student": student},
        "cash": 50.0,
        "currency": "USD",
        "notes": [],
    } | changes


def verdict(**changes):
    figures = {"difference": 0.043, "low": -0.01, "high": 0.076, "e_value": 3.14, "raw_e_value": 4.0}
    days = {"days": 412, "effective_days": 397.6, "days_needed": 1240}
    stated = {"result": "inconclusive", "comparator": "share_of_rises", "level": 0.05}
    return stated | figures | days | changes


def test_each_verdict_states_comparator_interval_level_days_and_what_is_still_needed_in_100_columns():
    nothing = dict.fromkeys(("difference", "low", "high", "days_needed"))
    verdicts = {
        "close": verdict(
            comparator="last_close", result="worse", difference=-0.00123, e_value=1e9, days_needed=90
        ),
        "direction": verdict(),
        "pnl": verdict(
            comparator="scaled_buy_and_hold", difference=1e-4, low=-1e-3, high=2e-3, days_needed=None
        ),
        "probability": verdict(**nothing, days=0, effective_days=0.0),
    }
    lines = list_conclusions(result(verdicts=verdicts))[:8]
    assert lines == [
        "Verdicts at 5% for all claims, on any day; an e-value of 20 is enough. A plus is an advantage.",
        "Direction: inconclusive against the share of rises so far, +4.3 points (95%: -1.0 to +7.6).",
        "  e-value 3.1, 412 days (398 effective); if this edge is real, about 1,240 would do.",
        "Probability: inconclusive against the share of rises so far; nothing was scored.",
        "Close: worse than the last close, -12.3 bp of error (95%: -100.0 to +760.0).",
        "  e-value above 1,000, 412 days (398 effective); enough after 90.",
        "PnL: inconclusive against buy and hold at the same exposure, +1.0 bp a day (95%: -10.0 to +20.0).",
        "  e-value 3.1, 412 days (398 effective).",
    ]
    assert max(map(len, lines)) <= 100


def test_the_verdict_of_an_earlier_version_is_stated_as_it_was():
    (line, trials) = list_conclusions(result())
    assert "against buy&hold, the best baseline (95%: -2.0 to +4.0, 1 day)" in line
    assert trials == "Trials: 1 run on these data on record."


def test_the_verdicts_are_corrected_for_distinct_trials_in_a_sentence():
    verdicts = {
        claim: {
            "result": conclusion,
            "e_value": e_value,
            "level": 0.05,
            "difference": None,
            "comparator": "share",
        }
        for claim, conclusion, e_value in (
            ("direction", "better", 500.0),
            ("probability", "better", 399.0),
            ("close", "inconclusive", 1.0),
            ("pnl", "worse", 400.0),
        )
    }
    line = (
        "Verdicts are not corrected for these 20 distinct trials; corrected, an e-value has to be 400: "
        "direction and PnL would stay, probability would be inconclusive."
    )
    assert describe_correction({"verdicts": verdicts}, 20) == [line]
    assert describe_correction({"verdicts": verdicts}, 1) == []
    assert describe_correction(result(), 20) == []
    lines = list_conclusions(
        result(verdicts=verdicts, trials=20, distinct_trials=20, deflated_sharpe=0.5, **DAYS)
    )
    assert line in lines
    undefined = list_conclusions(result(verdicts=verdicts, trials=20, distinct_trials=20))
    assert line in undefined


DAYS = {"start": "2020-01-01", "end": "2022-01-01"}


def test_forecasts_that_were_not_scored_are_explained():
    scores = {"n": 7, "ties": 2, "pending": 1}
    (line,) = [line for line in list_conclusions(result(student_scores=scores)) if "Scored" in line]
    assert line == (
        "Scored: 7 of 10 forecasts; left out: 2 ties (the close did not move: neither right nor wrong), "
        "1 pending (no next bar yet). Abstentions are no forecasts."
    )


def test_an_account_too_small_for_a_lot_is_told_why_nothing_was_traded_and_what_to_do():
    lines = list_conclusions(result(student_scores={"trades": 0, "rejected": 4}))
    (told,) = [line for line in lines if line.startswith("No fill")]
    assert "4 orders of the student rejected" in told
    assert "50 USD buys less than one lot; raise --cash" in told
    for scores in ({"trades": 1, "rejected": 4}, {"trades": 0, "rejected": 0}):
        assert not any("No fill" in line for line in list_conclusions(result(student_scores=scores)))


def test_days_before_the_shipped_students_release_are_told_with_what_it_was_trained_on():
    (told,) = [line for line in list_conclusions(result(contaminated_n=10)) if "Contaminated" in line]
    assert "10 of 10 forecasts are before its release, 2026-01-01; the shipped student was trained on" in told
    assert "simulated data only" in told
    (other,) = [
        line for line in list_conclusions(result(contaminated_n=1, student="Q/q")) if "Contaminated" in line
    ]
    assert other.endswith("the student may know the answers.")


def test_off_the_terminal_no_line_of_a_table_ends_in_a_space(capsys):
    table = create_list("name", "state")
    table.add_row("a", "x")
    table.add_row("longer", "finished")
    create_console().print(table)
    assert capsys.readouterr().out == "name    state\na       x\nlonger  finished\n"


@pytest.mark.parametrize(
    ("number", "words", "text"),
    [
        (1, ("symbol",), "1 symbol"),
        (0, ("symbol",), "0 symbols"),
        (1, ("entry", "entries"), "1 entry"),
        (2000, ("entry", "entries"), "2,000 entries"),
    ],
)
def test_nouns_are_counted(number, words, text):
    assert pluralize(number, *words) == text


def test_off_the_terminal_each_stage_shows_its_begin_and_its_end_once(capsys):
    with ProgressDisplay() as progress:
        for done in (0, 1, 2, 3, 3):
            progress("trading", done, 3)
        progress.show_wait(Wait(place="src X", reason="HTTP 500", seconds=4, tried=3, tries=8))
    assert capsys.readouterr().err.splitlines() == [
        "trading 0/3",
        "trading 3/3",
        "src X: no answer (HTTP 500); asking again in 4 s, try 4 of 8",
    ]


def test_off_the_terminal_a_stage_of_minutes_states_the_time_left_at_its_own_rate(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("tui.cli.progress.time.monotonic", lambda: now[0])
    progress = ProgressDisplay()
    for seconds, stage, done in ((0, "folds", 2), (1, "training", 0), (90, "training", 1), (600, "folds", 4)):
        now[0] = seconds
        progress(stage, done, 8)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "folds 2/8",
        "training 0/8",
        "training 1/8, about 10 min left",
        "folds 4/8, about 20 min left",
    ]


def comparison(caller, against, measure, **changes):
    alike = {"difference": 0.0, "low": 0.0, "high": 0.0, "days": 40, "winner": "inconclusive"}
    return {"caller": caller, "against": against, "measure": measure} | alike | changes


def test_arms_that_traded_the_same_forecasts_get_one_sentence_and_no_zeros():
    pairs = [("sft", "grpo"), ("static", "grpo"), ("static", "sft")]
    pairs = [comparison(*pair, measure) for pair in pairs for measure in ("accuracy", "brier")]
    assert compare_arms(pairs) == [
        "walk-forward grpo, walk-forward sft and static traded the same forecasts on 40 days and do not "
        "differ."
    ]
    (line,) = compare_arms([comparison("static", "sft", "brier", difference=0.01, low=-0.01, high=0.03)])
    assert "+0.0100 (95%: -0.0100 to +0.0300, paired, 40 days): no winner." in line


def test_a_fold_states_the_level_of_its_gate_and_why_a_low_p_was_not_enough(capsys):
    arm = {"trained_on": 900, "clean": True, "promoted": False, "p_value": 0.011, "level": 0.002}
    weak = arm | {"reasons": ["a Brier score better by +0.0010 has p = 0.011"]}
    coin = arm | {"p_value": 0.001, "reasons": ["the challenger is not shown to know more than a coin"]}
    days = {"cutoff": "2024-01-01T00:00:00Z", "gate_at": "2024-03-01T00:00:00Z"}
    older = {key: value for key, value in weak.items() if key != "level"}
    arms = [{"grpo": weak}, {"grpo": coin}, {"grpo": older}]
    print_folds(
        [days | {"number": n, "arms": each} for n, each in enumerate(arms, start=1)], Console(width=80)
    )
    shown = capsys.readouterr().out
    rows = [line.split() for line in shown.splitlines()]
    assert rows[1][-3:] == ["0.011", "0.002", "no"]
    assert rows[3][-3:] == ["0.011", "-", "no"]
    assert "Fold 2 grpo: not promoted, the challenger is not shown to know more than a coin." in shown
    assert "Fold 1" not in shown


def test_work_goes_on_without_a_reader_of_stderr(monkeypatch):
    class Gone:
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    print_stderr("one")
    print_stderr("two")
    sys.stderr.close()


def test_every_caller_of_a_run_is_shown_in_tables_of_80_columns_the_student_in_each():
    scores = {"n": 2500, "accuracy": 0.5, "brier": 0.25, "total_return": 18.542, "trades": 1743}
    callers = ["student", "benchmark", *BASELINES, "oracle"]
    scored = {name: {metric.key: scores.get(metric.key) for metric in METRICS} for name in callers}
    scored["lexicon"] |= {"accuracy": 0.6}
    scored["logistic"] |= {"sharpe": 2.0}
    scored["calibrated"] |= {"accuracy": 0.9, "sharpe": 9.0}
    run = {"start": "2024-01-01", "end": "2024-12-31", "symbols": ["A"], "bars": 366, "news": 0}
    counts = {"forecasts_with_news": 0, "abstentions": 0, "costs": {}, "random_callers": None}
    shown = result(**run, **counts, benchmark="SPY", days=60) | {"scores": scored}
    lines = render_text(shown).split("\n")
    headings = [line.split() for line in lines if line.startswith("   ")]
    assert headings[0][:5] == ["student", "SPY", "buy&hold", "lexicon", "logistic"]
    assert len(headings) > 1
    assert all(heading[0] == "student" for heading in headings)
    assert sum(len(line) > 80 for line in lines if "%" in line and "Verdict" not in line) == 0
    text = " ".join(lines)
    assert all(baseline.label in text for baseline in BASELINES.values())
    html = render_html(shown)
    assert html.count("<table>") == len(headings)
    assert all(escape(baseline.label) in html for baseline in BASELINES.values())
