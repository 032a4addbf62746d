"""Screen 5, Backtest: how far a run is; then its scores beside those of the baselines, and the verdict."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from rich.text import Text

from engine.metrics.registry import MetricTable, table_metrics
from strategies.baselines.names import BASELINES
from strategies.monitor import fields
from strategies.monitor.catalog import JournalType
from strategies.monitor.views import JournalView
from strategies.result_table import rank_callers
from tui.dashboard.drawing import draw_bar, empty_state, key_values, paragraph, row, text_line
from tui.dashboard.screens.session import CHOOSE, EQUITY, NO_JOURNAL
from tui.dashboard.view_state import Panel, ScreenPlan, ViewState, grid_css
from tui.dashboard.wording import waiting_label
from tui.formatting import (
    NONE,
    format_amount,
    format_datetime,
    format_duration,
    format_percent,
    format_signed_percent,
)

_FORECASTERS = ("student", "buy_and_hold", "persistence", "majority", "random", "oracle")
_SHORT = {name: baseline.label for name, baseline in BASELINES.items()} | {"benchmark": "bench."}


def _progress(state: ViewState, width: int, _height: int) -> Sequence[Text]:
    journal = state.journal
    if journal is None:
        return empty_state(
            NO_JOURNAL, "b starts a backtest on a simulated market; or: closecall backtest", width
        )
    ended = journal.ended_at or (state.now if journal.state == "running" else journal.last_at)
    took = format_duration(ended - journal.started_at) if ended and journal.started_at else NONE
    values = [
        ("run", f"{journal.place.name}  {'SIMULATED ' if journal.simulated else ''}{journal.title}", "bold"),
        ("student", journal.student, ""),
        ("state", f"{journal.state}  {waiting_label(journal, state.now)}", ""),
        ("started", format_datetime(journal.started_at, state.zone), ""),
        ("took", took, ""),
        ("events", f"{journal.newest:,}" + (f", {journal.rate:,.0f} a second" if journal.rate else ""), ""),
        *_progress_line(journal, state),
    ]
    return key_values(values, width)


def _progress_line(journal: JournalView, state: ViewState) -> list[tuple[str, object, str]]:
    """The share of closes forecast or traded, the rate, and the time left at the rate so far."""
    if journal.done is None or journal.started_at is None:
        return []
    left = NONE
    took = (state.now - journal.started_at).total_seconds()
    if journal.done > 0.02 and journal.state == "running":
        left = format_duration(timedelta(seconds=took * (1 / journal.done - 1)))
    share = (f"{draw_bar(journal.done, 20)} {journal.done:.0%}", state.palette.curve)
    if journal.calls:
        return [("traded", *share), ("time left", f"about {left}", "")]
    done, total = journal.asked
    rate = f", {done / took:,.0f} a second" if took > 0 else ""
    return [
        ("forecast", *share),
        ("forecasts", f"{done:,} of {total:,}{rate}", ""),
        ("time left", f"about {left}", ""),
    ]


def list_forecasters(result: Mapping[str, Any]) -> list[str]:
    """Who is scored, the student first."""
    scores = fields.get_mapping(result, "scores")
    return [name for name in (*_FORECASTERS, *(n for n in scores if n not in _FORECASTERS)) if name in scores]


def _scores(state: ViewState, width: int, _height: int) -> Sequence[Text]:
    journal = state.journal
    if journal is None:
        return empty_state(NO_JOURNAL, CHOOSE, width)
    forecasters = list_forecasters(journal.result)
    if not forecasters:
        return _draw_running_scores(journal, state, width)
    scores = fields.get_mapping(journal.result, "scores")
    room = max(1, (width - 19) // 9)
    if len(forecasters) > room:
        forecasters = rank_callers(journal.result, forecasters)[:room]
    cell = max(8, min(12, (width - 19) // len(forecasters) - 1))
    head = [("", 17, "")] + [(_SHORT.get(name, name), -cell, "bold") for name in forecasters]
    lines = [row(head, width)]
    for metric in table_metrics(MetricTable.RESULT):
        if not any(metric.key in fields.get_mapping(scores, name) for name in forecasters):
            continue  # a run of a version that did not have it
        values = [
            metric.show(fields.get_number(fields.get_mapping(scores, name), metric.key))
            for name in forecasters
        ]
        styles = ["bold" if name == "student" else "" for name in forecasters]
        lines.append(
            row([(metric.label, 17, "dim"), *zip(values, [-cell] * len(values), styles, strict=True)], width)
        )
    return lines


def _draw_running_scores(journal: JournalView, state: ViewState, width: int) -> Sequence[Text]:
    """A run or session that has not ended: its own figures up to here."""
    score, money = journal.score, journal.money
    if not score.n and not score.pending:
        return empty_state(
            "No score yet.", waiting_label(journal, state.now) or "It comes with the second close.", width
        )
    bounds = (
        "" if score.low is None else f"  (95%: {format_percent(score.low)} to {format_percent(score.high)})"
    )
    values = [
        ("so far", _baselines_note(journal), "dim"),
        ("accuracy", f"{format_percent(score.accuracy)}{bounds}", "bold"),
        ("scored", f"{score.n:,} forecasts, {score.ties:,} ties, {score.pending:,} open", ""),
        ("abstentions", f"{score.abstentions:,}", ""),
        ("close error", NONE if score.error_bps is None else f"{score.error_bps:,.0f} bp", ""),
        ("return", format_signed_percent(money.total_return), state.palette.trend_style(money.total_return)),
        ("fills", f"{money.fills:,}, costs {format_amount(money.costs)}", ""),
    ]
    return key_values(values, width)


def _baselines_note(journal: JournalView) -> str:
    """Where the table with baselines is, or will be."""
    if journal.place.type is JournalType.RUN:
        return "the table with baselines comes when the run has ended"
    return f"beside the baselines: closecall paper status {journal.place.name}"


def _verdict(state: ViewState, width: int, height: int) -> Sequence[Text]:
    journal = state.journal
    if journal is None:
        return empty_state(NO_JOURNAL, CHOOSE, width)
    if not journal.result:
        text = "The verdict comes when the run has ended."
        if journal.place.type is not JournalType.RUN:
            text = f"For a session's verdict: closecall paper status {journal.place.name}"
        return paragraph(text, width, height, "dim")
    lines: list[Text] = []
    for sentence in list_conclusions(journal.result):
        lines += paragraph(sentence, width, 4)
    for claim in fields.get_list(journal.result, "claims")[:8]:
        if isinstance(claim, dict):
            lines.append(text_line(_format_claim(claim), width, "dim"))
    return lines


def list_conclusions(result: Mapping[str, Any]) -> list[str]:
    """What may be concluded, as the command's own table says it."""
    from tui.formatting import NOTICE, list_conclusions

    try:
        return [*list_conclusions(result), NOTICE]
    except (KeyError, TypeError, ValueError, AttributeError):
        return [
            f"Verdict: {fields.get_text(result, 'verdict', 40) or 'not stated'} (another version "
            "wrote this run)."
        ]


def _format_claim(claim: Mapping[str, Any]) -> str:
    held = "claimed" if claim.get("claimed") else "not claimed"
    difference = fields.get_number(claim, "difference") or 0.0
    names = (fields.get_text(claim, name, 20) for name in ("caller", "against", "measure"))
    return "{} against {}, {}: {:+.4f}, ".format(*names, difference) + held


PROGRESS = Panel(
    name="progress",
    title="Run",
    draw=_progress,
    help="How far the run is, at what rate, and the time left; then how long it took.",
)

SCORES = Panel(
    name="scores",
    title="Scores",
    draw=_scores,
    help="The student's scores beside each baseline's. On a simulated "
    "market the oracle knows what could be known.",
)

VERDICT = Panel(
    name="verdict", title="Verdict", draw=_verdict, help="What may and may not be concluded from the scores."
)

SCREEN = ScreenPlan(
    name="backtest",
    title="Backtest",
    help="Progress, then scores.",
    panels=(PROGRESS, SCORES, EQUITY, VERDICT),
    css=grid_css("small", 1, "3fr 7fr", progress=1, scores=1)
    + grid_css("middle", 1, "10 16 1fr", progress=1, scores=1, verdict=1)
    + grid_css("large", 20, "16 6fr 4fr", progress=9, scores=11, equity=20, verdict=20),
)
