"""Put a run's verdicts, charts and tables into one HTML page that loads nothing."""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import DataError
from engine.metrics.accuracy import collect_columns, is_hit
from engine.metrics.breakdown import compute_breakdown
from engine.outcomes import Scored
from strategies.ablation_table import describe_basis
from strategies.comparators import describe_comparator
from strategies.conclusions import (
    NOTICE,
    contaminated_line,
    describe_account,
    describe_yardstick,
    list_conclusions,
)
from strategies.console import pluralize
from strategies.protocols import SOURCE, judge_protocols
from strategies.recorded_run import RecordedRun
from strategies.report import charts, tables
from strategies.report.charts import Chart
from strategies.report.repeat import FILE, describe_repetition
from strategies.report.series import pair_returns, reliability, rolling_accuracy
from strategies.report.tables import Table
from strategies.results import ORACLE, STUDENT
from strategies.runs import write_atomically
from strategies.walkforward_table import ARM_NAMES, compare_arms

if TYPE_CHECKING:
    from jinja2 import Environment

_NAMES = {"buy_and_hold": "buy & hold", STUDENT: "student"}
_SYMBOLS = {"better": "▲", "worse": "▼", "inconclusive": "◆"}
_DIFFERENCES: Mapping[str, tuple[float, str, str]] = {
    "direction": (100, "+.1f", "points a decision"),
    "probability": (1, "+.4f", "of Brier score"),
    "close": (1e4, "+.1f", "bp of error"),
    "pnl": (1e4, "+.1f", "bp a day"),
}
"""What a claim's difference is multiplied by, its form and its unit; above zero the student is better."""

_CLAIMS = {"direction": "Direction", "probability": "Probability", "close": "Close", "pnl": "PnL"}


_MOST_LEAKS = 20
"""How many findings of the check for lookahead are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A verdict: the claim, its result with a sign, and what it rests on."""

    claim: str
    result: str
    sign: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A headline figure with its unit or bounds."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolChart:
    """The chart of one symbol's price, closed but for the first."""

    symbol: str
    note: str
    chart: Chart


def write_report(run: RecordedRun, path: Path) -> None:
    """Write the report of a run to an HTML file, whole or not at all.

    Raises DataError where the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, render_report(run))
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror}); choose another --out") from error


def render_report(run: RecordedRun) -> str:
    """Return the report of a run as HTML. Equal runs give equal text; all text of the run is escaped."""
    style, script = (_read_asset(name) for name in ("report.css", "report.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = (
        _environment()
        .get_template("report.html.j2")
        .render(**_build_context(run), style=style, script=script, script_digest=digest)
    )
    # A lone half of a surrogate pair, as news and names may hold, cannot be written as UTF-8.
    return page.encode(errors="replace").decode()


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FunctionLoader(_read_asset),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Only our own SVG, style and script pass unescaped; the text in an SVG is escaped where it is drawn.
    environment.filters["own_markup"] = Markup
    return environment


def _read_asset(name: str) -> str:
    return (files("strategies.report") / "templates" / name).read_text(encoding="utf-8")


def _build_context(run: RecordedRun) -> dict[str, Any]:
    result = run.result
    scored = run.match_outcomes()
    names = _name_forecasters(result, run)
    order = _order_forecasters(result["scores"])
    breakdown = result.get("breakdown") or compute_breakdown(collect_columns(scored))
    repetition = describe_repetition(run)
    return {
        "title": f"{_describe_trader(result)} on {_describe_symbols(result)}",
        "run": run,
        "result": result,
        "kind": run.kind.value,
        "counts": _describe_counts(result),
        "cards": _build_cards(result),
        "figures": _build_figures(result),
        "protocols": judge_protocols(result, run.lookahead, run.parity),
        "protocol_source": SOURCE,
        "conclusions": _list_conclusions(result),
        "equity": charts.draw_equity(run.curves, names, _choose_drawn(run), run.cash) if run.curves else None,
        "student_alone": len(run.curves) < 2,
        "monthly": tables.monthly_table(run.curves[STUDENT], run.cash) if run.curves[STUDENT].at else None,
        "scores": tables.score_tables(result["scores"], names, order),
        "forecasting": _draw_forecasting(result, scored),
        "prices": list(_draw_prices(run, scored)),
        "price_legend": charts.PRICE_LEGEND,
        "breakdowns": [
            tables.breakdown_table(f"Scores by {group}", breakdown[group])
            for group in ("symbol", "year")
            if breakdown.get(group)
        ],
        "periods": tables.period_table(result),
        "contamination": _describe_contamination(result),
        "ablations": _ablations(result),
        "basis": describe_basis(result),
        "lookahead": _list_lookahead(run.lookahead),
        "folds": tables.folds_table(result["folds"]) if result.get("folds") else None,
        "arms": compare_arms(result["comparison"]) if result.get("comparison") else [],
        "trials": _list_trials(result),
        "costs": tables.costs_table(result["costs"]),
        "account": describe_account(result),
        "provenance": _list_provenance(run),
        "repetition": repetition,
        "toml_file": FILE,
        "digests": sorted(result["digests"].items()),
        "notice": NOTICE,
    }


def _name_forecasters(result: Mapping[str, Any], run: RecordedRun) -> dict[str, str]:
    names = {name: name.replace("_", " ") for name in (*result["scores"], *run.curves)}
    names |= {name: title for name, title in _NAMES.items() if name in names}
    if "folds" in result:
        names |= {name: title for name, title in ARM_NAMES.items() if name in names}
    if result.get("strategy"):
        names[STUDENT] = "strategy"
    if result.get("benchmark") and "benchmark" in names:
        names["benchmark"] = f"benchmark {result['benchmark']}"
    return names


def _order_forecasters(scores: Mapping[str, Any]) -> list[str]:
    """Return the student, buy and hold and the benchmark first, the oracle last."""
    first = [name for name in (STUDENT, "buy_and_hold", "benchmark") if name in scores]
    rest = [name for name in scores if name not in (*first, ORACLE)]
    return [*first, *rest, *([ORACLE] if ORACLE in scores else [])]


def _choose_drawn(run: RecordedRun) -> dict[str, str]:
    """Return the forecasters whose equity is drawn in colour: with the fixed ones the best of the others."""
    colours = {STUDENT: "student", "buy_and_hold": "hold", "benchmark": "benchmark"}
    rest = {
        name: curve.value[-1]
        for name, curve in run.curves.items()
        if name not in (*colours, ORACLE) and curve.value
    }
    if rest:
        colours[max(rest, key=rest.__getitem__)] = "other"
    colours[ORACLE] = "oracle"
    return {name: colour for name, colour in colours.items() if name in run.curves}


def _describe_trader(result: Mapping[str, Any]) -> str:
    return str(result.get("strategy") or result.get("student") or "no student")


def _describe_symbols(result: Mapping[str, Any]) -> str:
    symbols = result["symbols"]
    return ", ".join(symbols) if len(symbols) <= 3 else pluralize(len(symbols), "symbol")


def _describe_counts(result: Mapping[str, Any]) -> str:
    return ", ".join(
        (
            pluralize(result["bars"], "bar"),
            pluralize(result["news"], "news item"),
            pluralize(result["forecasts"], "forecast"),
            pluralize(result["abstentions"], "abstention"),
        )
    )


def _build_cards(result: Mapping[str, Any]) -> list[Card]:
    verdicts = result.get("verdicts")
    if isinstance(verdicts, Mapping) and verdicts:
        order = [*_CLAIMS, *(claim for claim in verdicts if claim not in _CLAIMS)]
        return [_build_card(claim, verdicts[claim]) for claim in order if claim in verdicts]
    detail = result.get("verdict_detail") or {}
    lines = ["by the rule of an earlier version"]
    if detail.get("difference") is not None:
        lines.insert(0, f"{detail['difference'] * 100:+.1f} points of accuracy")
        lines.insert(1, f"against {_NAMES.get(detail['baseline'], detail['baseline'])}, the best baseline")
    if detail.get("low") is not None:
        lines.append(
            f"95%: {detail['low'] * 100:+.1f} to {detail['high'] * 100:+.1f}, "
            f"{pluralize(detail['days'], 'day')}"
        )
    verdict = str(result.get("verdict") or detail.get("result") or "inconclusive")
    return [Card(claim="Direction", result=verdict, sign=_SYMBOLS.get(verdict, "◆"), lines=tuple(lines))]


def _build_card(claim: str, verdict: Mapping[str, Any]) -> Card:
    conclusion = str(verdict.get("result") or "inconclusive")
    lines = []
    if (difference := verdict.get("difference")) is not None:
        scale, pattern, unit = _DIFFERENCES.get(claim, (1, "+.4f", ""))
        lines.append(f"{difference * scale:{pattern}} {unit}".strip())
    if comparator := verdict.get("comparator"):
        lines.append(f"against {describe_comparator(str(comparator))}")
    if (e_value := verdict.get("e_value")) is not None:
        level = verdict.get("level")
        enough = f" ({1 / level:,.0f} is enough)" if level else ""
        shown = f"= {e_value:.3g}" if e_value < 1000 else "> 1,000"
        lines.append(f"e {shown}{enough}")
    if (days := verdict.get("days")) is not None:
        effective = verdict.get("effective_days")
        more = "" if effective is None else f", {effective:,.0f} effective"
        lines.append(f"{pluralize(days, 'day')}{more}")
    if conclusion == "inconclusive" and (needed := verdict.get("days_needed")) is not None:
        lines.append(f"if real, about {needed:,.0f} days would do")
    return Card(
        claim=_CLAIMS.get(claim, claim.replace("_", " ").capitalize()),
        result=conclusion,
        sign=_SYMBOLS.get(conclusion, "◆"),
        lines=tuple(lines),
    )


def _build_figures(result: Mapping[str, Any]) -> list[Figure]:
    scores = result["scores"]
    student, hold = scores[STUDENT], scores.get("buy_and_hold", {})
    figures = []
    if student.get("accuracy") is not None:
        low, high = student.get("accuracy_low"), student.get("accuracy_high")
        note = "" if low is None else f"95%: {low:.1%} to {high:.1%}"
        figures.append(Figure(name="Accuracy", value=f"{student['accuracy']:.1%}", note=note))
    if student.get("brier") is not None:
        figures.append(Figure(name="Brier score", value=f"{student['brier']:.4f}", note="a coin has 0.2500"))
    against = hold.get("total_return")
    note = "" if against is None else f"buy & hold {against:+,.1%}"
    figures.append(Figure(name="Return", value=f"{student['total_return']:+,.1%}", note=note))
    if student.get("sharpe") is not None:
        note = "" if hold.get("sharpe") is None else f"buy & hold {hold['sharpe']:,.2f}"
        figures.append(Figure(name="Sharpe, a year", value=f"{student['sharpe']:,.2f}", note=note))
    note = "" if hold.get("max_drawdown") is None else f"buy & hold {hold['max_drawdown']:.1%}"
    figures.append(Figure(name="Max. drawdown", value=f"{student['max_drawdown']:.1%}", note=note))
    paid = student.get("costs_paid")
    if paid is not None:
        fills = pluralize(student.get("trades") or 0, "fill")
        figures.append(Figure(name="Costs paid", value=f"{paid:,.0f} {result['currency']}", note=fills))
    return figures


def _list_conclusions(result: Mapping[str, Any]) -> list[str]:
    try:
        lines = list_conclusions(result)
    except (KeyError, TypeError, ValueError):
        # A result of another version lacks what a sentence needs; the report shows what there is.
        return []
    joined: list[str] = []
    for line in lines:
        if line.startswith(" ") and joined:  # what a verdict rests on, indented under it in a table
            joined[-1] += f" {line.strip()}"
        else:
            joined.append(line)
    return joined


def _draw_forecasting(result: Mapping[str, Any], scored: Sequence[Scored]) -> list[tuple[str, Chart]]:
    drawn = []
    hits = [(call, outcome) for call, outcome in scored if is_hit(call, outcome) is not None]
    pairs = pair_returns(scored)
    if len(pairs) >= 20:
        drawn.append(("Forecasts against outcomes", charts.draw_outcomes(pairs)))
    if rolling := rolling_accuracy(scored):
        rises = [outcome.close_return > 0 for _, outcome in hits if outcome is not None]
        share = sum(rises) / len(rises)
        drawn.append(("Rolling accuracy", charts.draw_rolling(rolling, max(share, 1 - share))))
    if hits and (curves := reliability(result, scored)):
        drawn.append(("Reliability", charts.draw_reliability(curves)))
    return drawn


def _draw_prices(run: RecordedRun, scored: Sequence[Scored]) -> Iterator[SymbolChart]:
    start = date.fromisoformat(str(run.result["start"]))
    by_symbol: dict[str, list[Scored]] = {}
    for call, outcome in scored:
        by_symbol.setdefault(call.symbol, []).append((call, outcome))
    for symbol in run.result["symbols"]:
        bars = [bar for bar in run.bars.get(symbol, ()) if bar.closes_at.date() >= start]
        if not bars:
            continue
        rows = by_symbol.get(symbol, [])
        hits = [hit for call, outcome in rows if (hit := is_hit(call, outcome)) is not None]
        share = f", {sum(hits) / len(hits):.1%} of {len(hits):,} directions right" if hits else ""
        fills = [fill for fill in run.fills if fill.symbol == symbol]
        note = f"price {bars[-1].close / bars[0].close - 1:+,.1%}{share}, {pluralize(len(fills), 'fill')}"
        yield SymbolChart(symbol=symbol, note=note, chart=charts.draw_price(symbol, bars, rows, fills))


def _list_lookahead(findings: Mapping[str, Any] | None) -> list[str]:
    """Return what the check for lookahead found; empty where it was not run."""
    if findings is None:
        return []
    leaks = findings.get("leaks") or ()
    lines = [f"The check for lookahead found {pluralize(len(leaks), 'leak') if leaks else 'no leak'}."]
    shown = [leak for leak in leaks if isinstance(leak, Mapping)][:_MOST_LEAKS]
    lines += [f"{leak.get('at')} {leak.get('symbol')}: {leak.get('what')}" for leak in shown]
    return [*lines, *map(str, findings.get("notes") or ())]


def _ablations(result: Mapping[str, Any]) -> Table | None:
    ablations = result.get("ablations")
    if not isinstance(ablations, Mapping) or not ablations:
        return None
    return tables.ablation_table(result["scores"][STUDENT], ablations)


def _describe_contamination(result: Mapping[str, Any]) -> str:
    if not result.get("student"):
        return "No student was asked, so no day is contaminated."
    count = result.get("contaminated_n")
    if count is None:
        return (
            "When the student was released is not known: it may have read of any of these days in training."
        )
    if count == 0:
        return "No forecast is dated before the student's release."
    return contaminated_line(result)


def _list_trials(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    yardstick = describe_yardstick(result).rstrip(",")
    labels = {
        "trials": ("Runs on these data", ",.0f"),
        "distinct_trials": ("Distinct ones", ",.0f"),
        "deflated_sharpe": (
            f"Deflated Sharpe ratio: the chance that the true one is above {yardstick}",
            ".1%",
        ),
        "probabilistic_sharpe": ("Probabilistic Sharpe ratio", ".1%"),
        "overfitting_probability": ("Probability of backtest overfitting", ".1%"),
    }
    return [
        (label, format(result[key], pattern))
        for key, (label, pattern) in labels.items()
        if isinstance(result.get(key), int | float)
    ]


def _list_provenance(run: RecordedRun) -> list[tuple[str, str]]:
    result, config = run.result, run.config
    rows = [
        ("Run", f"{run.name} ({run.kind}), started {run.started_at:%Y-%m-%d %H:%M} UTC, rules {run.rules}"),
        ("Days", f"{result['start']} to {result['end']}, {result['days_per_year']} trading days a year"),
        ("Symbols", ", ".join(result["symbols"])),
        (
            "Bars",
            "simulated" if result["simulated"] else ", ".join(map(str, _places(config, "bars", "store"))),
        ),
        ("News", ", ".join(map(str, _places(config, "news", "feeds"))) or f"{result['news']:,} items"),
        ("Student", str(result.get("student") or "none")),
        ("Fingerprint", str(result.get("student_fingerprint") or "none")),
        ("Adapter", str(config.get("adapter") or "none")),
        ("Released", str(result.get("student_released") or "not known")),
        ("Training data until", str(result.get("knowledge_until") or "not known")),
    ]
    return [(name, value) for name, value in rows if value]


def _places(config: Mapping[str, Any], *keys: str) -> list[Any]:
    """Return what a configuration names under the first of the keys that names anything."""
    return next((list(config[key]) for key in keys if config.get(key)), [])
