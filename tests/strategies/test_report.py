"""Reports, exports and comparisons of recorded runs, those of earlier versions among them."""

import html.parser
import json
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

import closecall as cc
from engine.errors import DataError, UsageError
from engine.journal.journal import Journal
from engine.model import Direction
from engine.outcomes import match_outcomes
from strategies.comparison import compare_runs
from strategies.config import BacktestConfig
from strategies.equity_file import EquityCurve, read_equity
from strategies.protocols import ProtocolState, describe_protocols, judge_protocols
from strategies.recorded_run import open_recorded, read_checks, write_parity
from strategies.report.page import render_report, write_report
from strategies.report.repeat import describe_repetition
from strategies.report.series import measure_drawdown, monthly_returns, rolling_accuracy, thin, wilson
from strategies.run_export import EXPORTED_COLUMNS, ExportFormat, export_run
from strategies.runs import JOURNAL
from tests.golden.commands import DATA, HERE, VERSION
from tests.support.students import RuleStudent

NOW = datetime(2026, 11, 29, tzinfo=UTC)
OLD = HERE / VERSION / DATA
OLD_RUN = "20261129-025357"


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """A copy: a journal that is open has other files beside it."""
    return shutil.copytree(OLD, tmp_path_factory.mktemp("old") / "data")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def result(folder):
    return cc.simulate(seed=8, coins=2, stocks=1, days=40, folder=folder, student=RuleStudent())


@pytest.fixture(scope="module")
def recorded(folder, result):
    return open_recorded(folder, result.name, NOW)


@pytest.fixture(scope="module")
def page(recorded):
    return render_report(recorded)


class _Page(html.parser.HTMLParser):
    """The elements of a page with their attributes, its text, and which elements are closed wrongly."""

    VOID = frozenset({"meta", "path", "rect", "use", "br"})

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self.open, self.wrong = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag in self.VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        self.text.append(data)


LOADING = {"src", "href", "xlink:href", "action", "data", "poster", "srcset", "background"}


def test_a_report_refers_to_nothing_but_itself_and_its_policy_forbids_the_rest(page):
    parsed = _Page(page)
    assert (parsed.wrong, parsed.open) == ([], [])
    targets = [value for _, attrs in parsed.elements for name, value in attrs.items() if name in LOADING]
    assert targets and all(target.startswith("#") for target in targets)
    assert not re.search(r"url\((?!#)|@import|<(link|img|iframe|object|embed|base|form)\b", page)
    policy = next(attrs["content"] for tag, attrs in parsed.elements if attrs.get("http-equiv"))
    assert policy.startswith("default-src 'none'; ") and "script-src 'sha256-" in policy
    assert "unsafe-eval" not in policy and "http" not in policy
    anchors = {attrs["id"] for _, attrs in parsed.elements if "id" in attrs}
    assert {target[1:] for target in targets} <= anchors


def test_a_report_shows_the_verdict_first_and_every_part(page, result):
    parsed = _Page(page)
    words = " ".join(" ".join(parsed.text).split())
    places = [words.index(part) for part in ("Direction", "Accuracy", "frictions", "Equity and drawdown")]
    assert places == sorted(places)
    for heading in ("Prices with", "Rolling accuracy", "Reliability", "By symbol", "Contaminated", "Trials"):
        assert heading in words
    assert cc.__name__ in words and result.digests["fills"] in words
    assert f"{result.scores.student.accuracy:.1%}" in words
    assert page.count('role="img"') == len(re.findall(r'role="img" aria-label="[^"]{20,}', page)) > 8


def test_equal_runs_have_equal_reports_and_a_sample_is_small(recorded, page):
    assert render_report(recorded) == page
    # 20 symbols over ten years have to stay below 3 MB; most of a report is charts of bounded size.
    assert len(page) < 500_000
    charts = re.findall(r"<svg class=\"chart\".*?</svg>", page)
    assert max(map(len, charts)) < 45_000


def test_hostile_names_and_notes_stay_text(tmp_path, old):
    attack = "</text><script>alert(1)</script>$\\frac{1}{0}$\"'>\x00\ud800"
    run = open_recorded(old, OLD_RUN, NOW)
    symbol = min(run.bars)

    def rename(each):
        return replace(each, symbol=attack) if each.symbol == symbol else each

    hostile = replace(
        run,
        bars={
            attack if name == symbol else name: [rename(bar) for bar in bars]
            for name, bars in run.bars.items()
        },
        predictions=[rename(call) for call in run.predictions],
        fills=[rename(fill) for fill in run.fills],
        result={
            **run.result,
            "symbols": [attack, *(name for name in run.result["symbols"] if name != symbol)],
            "costs": {attack: run.result["costs"][symbol]},
            "student": attack,
            "notes": [attack],
            "scores": {**run.result["scores"], attack: run.result["scores"]["random"]},
            "verdict": attack,
        },
    )
    path = tmp_path / "report.html"
    write_report(hostile, path)
    text = path.read_text(encoding="utf-8")
    assert text.count("<script") == 1
    assert text.count("alert(1)") > 5
    assert (_Page(text).wrong, _Page(text).open) == ([], [])


@pytest.mark.parametrize("name", ["20261129-025926", "halved"])
def test_runs_and_sessions_of_an_earlier_version_are_reported(name, old):
    run = open_recorded(old, name, NOW)
    text = render_report(run)
    assert ("Only the student's equity is on record" in text) == (name != "halved")
    assert ("Folds of the walk-forward" in text) == (name != "halved")
    assert name in text


def test_the_equity_of_every_forecaster_is_kept_and_is_that_of_the_engine(folder, result):
    curves = read_equity(folder / "runs" / result.name)
    assert curves.keys() == result.simulations.keys()
    for name, simulation in result.simulations.items():
        marks = simulation.engine.marks
        assert curves[name].value == tuple(mark.value for mark in marks)
        assert curves[name].cash == tuple(mark.cash for mark in marks)
        assert curves[name].at == tuple(mark.at for mark in marks)
    assert 0.5 < max(curves["buy_and_hold"].exposure) <= 1.0


def test_the_command_of_a_report_repeats_the_run(recorded):
    repetition = describe_repetition(recorded)
    # Numbers of coins and stocks have no flags, so that the settings are in a file.
    assert repetition.command == "closecall backtest --config run.toml"
    import tomllib

    again = BacktestConfig.model_validate(tomllib.loads(repetition.toml))
    assert again == BacktestConfig.model_validate(recorded.config)
    plain = replace(recorded, config=BacktestConfig(seed=3, allow_short=True, symbols=("A", "B")).stored())
    words = describe_repetition(plain).command
    assert words == "closecall backtest --symbols A,B --allow-short --seed 3"


@pytest.mark.parametrize("form", list(ExportFormat))
def test_an_export_has_the_documented_columns_and_the_runs_figures(recorded, result, tmp_path, form):
    paths = {path.stem: path for path in export_run(recorded, tmp_path / "out", form)}
    read = pd.read_parquet if form is ExportFormat.PARQUET else pd.read_csv
    frames = {name: read(paths[name]) for name in EXPORTED_COLUMNS if name != "returns"}
    for name, frame in frames.items():
        assert list(frame.columns) == list(EXPORTED_COLUMNS[name])
    assert json.loads(paths["result"].read_text()) == dict(recorded.result)
    scored = frames["forecasts"].dropna(subset=["outcome_close"])
    moved = scored[scored.outcome_close != scored.last_close]
    hits = (moved.outcome_close > moved.last_close) == (moved.direction == "up")
    assert hits.mean() == pytest.approx(result.scores.student.accuracy, abs=1e-12)
    index = {"index_col": 0, "parse_dates": True} if form is ExportFormat.CSV else {}
    returns = read(paths["returns"], **index)
    for name in recorded.curves:
        total = (1 + returns[name]).prod() - 1
        assert total == pytest.approx(result.scores[name].total_return, abs=1e-9)
    with pytest.raises(UsageError, match="--overwrite"):
        export_run(recorded, tmp_path / "out", form)
    export_run(recorded, tmp_path / "out", form, overwrite=True)


def test_a_comparison_finds_the_settings_the_data_and_the_better_run(recorded):
    other = replace(
        recorded,
        name="other",
        config={**recorded.config, "fee_bps": 30.0},
        predictions=[
            replace(
                call,
                direction=Direction.UP if outcome.close_return > 0 else Direction.DOWN,
                close=outcome.next_close,
            )
            if outcome
            else call
            for call, outcome in match_outcomes(recorded.predictions, recorded.bars)
        ],
    )
    compared = compare_runs([recorded, other])
    assert compared["settings"] == {"fee_bps": [None, 30.0]}
    (data,) = compared["data"]
    assert (data["differing_closes"], data["only_first"], data["only_other"]) == (0, 0, 0)
    tests = {test["claim"]: test for test in compared["tests"]}
    assert tests["direction"]["winner"] == tests["close"]["winner"] == "run"
    assert tests["direction"]["low"] > 0 and tests["direction"]["p_value"] < 0.05
    assert tests["return"]["winner"] == "same"  # both have the student's equity of one run
    symbol = min(recorded.bars)
    moved = {**recorded.bars, symbol: [replace(bar, volume=bar.volume + 1) for bar in recorded.bars[symbol]]}
    assert compare_runs([recorded, replace(other, bars=moved)])["data"][0]["differing_closes"] == 0


def test_a_run_that_is_not_there_is_named_with_what_is(folder, result):
    with pytest.raises(UsageError, match=f"did you mean {result.name}"):
        open_recorded(folder, f"{result.name}x", NOW)
    for name in ("../runs", "", ".", f"../runs/{result.name}"):
        with pytest.raises(UsageError, match="no run or session"):
            open_recorded(folder, name, NOW)


def _bins(mean, rises, n=400):
    return {"stated": [{"low": 0.0, "high": 1.0, "n": n, "mean": mean, "rises": rises}]}


@pytest.mark.parametrize(
    ("changes", "checks", "name", "state"),
    [
        ({}, {}, "temporal integrity", ProtocolState.NOT_TESTED),
        ({}, {"lookahead": {"leaks": []}}, "temporal integrity", ProtocolState.MET),
        ({}, {"lookahead": {"leaks": ["a prompt"]}}, "temporal integrity", ProtocolState.NOT_MET),
        (
            {"contaminated_n": 3, "student": "other"},
            {"lookahead": {"leaks": []}},
            "temporal integrity",
            ProtocolState.NOT_MET,
        ),
        ({"contaminated_n": 3}, {"lookahead": {"leaks": []}}, "temporal integrity", ProtocolState.MET),
        (
            {"contaminated_n": None},
            {"lookahead": {"leaks": []}},
            "temporal integrity",
            ProtocolState.NOT_TESTED,
        ),
        ({}, {}, "frictions", ProtocolState.MET),
        ({"costs": {"A": {"fee_bps": 0.0}}}, {}, "frictions", ProtocolState.NOT_MET),
        ({"reliability": _bins(0.5, 0.52)}, {}, "calibration", ProtocolState.MET),
        ({"reliability": _bins(0.5, 0.7)}, {}, "calibration", ProtocolState.NOT_MET),
        ({"reliability": _bins(0.5, 0.58, n=110)}, {}, "calibration", ProtocolState.NOT_TESTED),
        ({"reliability": _bins(0.5, 0.5, n=50)}, {}, "calibration", ProtocolState.NOT_TESTED),
        ({}, {"parity": {"equal": True, "inputs": 9}}, "numerical execution", ProtocolState.MET),
        ({}, {"parity": {"equal": False}}, "numerical execution", ProtocolState.NOT_MET),
        ({}, {}, "counterfactual robustness", ProtocolState.NOT_TESTED),
        (
            {"ablations": {"no_news": {}}, "ablations_basis": "news"},
            {},
            "counterfactual robustness",
            ProtocolState.MET,
        ),
        (
            {"ablations": {"masked": {}}, "ablations_basis": "memory"},
            {},
            "counterfactual robustness",
            ProtocolState.NOT_MET,
        ),
        ({"breakdown": {"symbol": {"A": {}}, "year": {"2024": {}}}}, {}, "disaggregation", ProtocolState.MET),
    ],
)
def test_a_protocol_is_met_only_by_what_the_run_did(changes, checks, name, state):
    base = {
        "student": "tiny",
        "simulated": False,
        "contaminated_n": 0,
        "costs": {"A": {"fee_bps": 1.0, "slippage_bps": 2.0, "latency_bps": 0.0}},
        "scores": {"student": {"trades": 4}},
    }
    judged = judge_protocols(base | changes, **checks)
    assert len(judged) == 6
    assert {each.name: each.state for each in judged}[name] is state
    assert sum(map(len, describe_protocols(judged))) < 400  # a few lines under a table


def test_a_replay_counts_for_the_journal_that_was_replayed(tmp_path):
    folder = tmp_path / OLD_RUN
    shutil.copytree(OLD / "runs" / OLD_RUN, folder)
    with Journal.open(folder / JOURNAL, OLD_RUN) as journal:
        write_parity(folder, {"equal": True, "inputs": 3}, journal.last_chain)
    assert read_checks(folder)["parity"]["equal"] is True
    write_parity(folder, {"equal": True, "inputs": 3}, "another chain")
    assert read_checks(folder) == {"lookahead": None, "parity": None}
    (folder / "lookahead.json").write_text("[]")
    with pytest.raises(DataError, match="run the check again"):
        read_checks(folder)


def test_every_exported_column_is_in_the_guide():
    guide = (Path(__file__).resolve().parents[2] / "docs/guide/reports.md").read_text(encoding="utf-8")
    for file, columns in EXPORTED_COLUMNS.items():
        for column, text in columns.items():
            name = column.strip("()") if column.startswith("(") else f"`{column}`"
            assert f"| `{file}` | {name} | {text} |" in guide


def test_a_thinned_line_keeps_its_ends_and_extremes():
    y = [((place * 7919) % 1000) / 1000 for place in range(5000)]
    y[1234], y[4321] = 9.0, -9.0
    x, kept = thin(range(5000), y, 100)
    assert len(kept) <= 400 and (kept[0], kept[-1]) == (y[0], y[-1])
    assert {9.0, -9.0} <= set(kept) and list(x) == sorted(x)


def test_the_series_of_the_charts_are_those_of_a_hand_count(recorded):
    assert measure_drawdown([110.0, 99.0, 121.0], 100.0) == pytest.approx([0.0, -0.1, 0.0])
    days = [
        datetime(2024, 1, 31, 21, tzinfo=UTC),
        datetime(2024, 2, 1, tzinfo=UTC),
        datetime(2024, 2, 2, tzinfo=UTC),
    ]
    curve = EquityCurve(at=tuple(days), value=(110.0, 121.0, 60.5), cash=(0.0, 0.0, 0.0))
    # A mark at midnight belongs to the day that ends then, here the last of January.
    assert monthly_returns(curve, 100.0) == pytest.approx({(2024, 1): 0.21, (2024, 2): -0.5})
    # Wilson 1927 as statsmodels computes it: proportion_confint(7, 10, method="wilson").
    assert wilson(0.7, 10) == pytest.approx((0.396778, 0.892209), abs=1e-6)
    scored = match_outcomes(recorded.predictions, recorded.bars)
    rolling = rolling_accuracy(scored)
    assert rolling is None or all(
        low <= value <= high
        for low, value, high in zip(rolling.low, rolling.value, rolling.high, strict=True)
    )
