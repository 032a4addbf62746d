"""The tables of a report: by forecaster, symbol, year, month, ablation, and whatever else a result holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.metrics.registry import METRICS, Metric
from strategies.ablation_table import sort_ablations
from strategies.equity_file import EquityCurve
from strategies.report.series import monthly_returns

_NONE = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A cell: its text, what it is sorted by (a number; None: its text), and a class for its colour."""

    text: str
    value: float | None = None
    tone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table: its caption, its columns with a longer title each, and its rows, the first cell naming each.

    `sortable` offers sorting by every column.
    """

    caption: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Cell, ...], ...]
    sortable: bool = True


def number(value: float | None, pattern: str, tone: str = "") -> Cell:
    """Return a number as a cell; a dash for None, which sorts below all numbers."""
    return Cell(text=_NONE if value is None else format(value, pattern), value=value, tone=tone)


def signed(value: float | None, pattern: str = "+,.1%") -> Cell:
    """Return a gain or loss as a cell, coloured by its sign."""
    tone = "" if not value else "up" if value > 0 else "down"
    return number(value, pattern, tone)


_COUNTS = ("n", "n_open", "days", "ties", "abstentions", "pending", "suspended")
_GROUPS = {
    "Direction": ("accuracy", "balanced", "matthews", "pesaran"),
    "Probability": ("brier", "log_score", "calibration"),
    "Close": ("close_",),
    "Trading": (
        "exposure",
        "turnover",
        "trades",
        "rejected",
        "resized",
        "expired",
        "costs_paid",
        "break_even",
    ),
}
"""The tables of metrics, each with what its keys begin with; all others are in "Return and risk"."""

_RETURN = "Return and risk"

_TITLES = {
    "brier_token": "Brier score of tokens",
    "close_mase": "MASE, random walk 1",
    "max_drawdown_lows": "with day's lows",
    "max_drawdown_days": "its days",
}
"""The headings of metrics whose label says too little without the rows around it."""


def score_tables(
    scores: Mapping[str, Mapping[str, float | None]], names: Mapping[str, str], order: Sequence[str]
) -> list[Table]:
    """Return a table for each group of metrics: a row for each forecaster, a column for each metric.

    Args:
        scores: The metrics of each forecaster.
        names: What each forecaster is called.
        order: The forecasters in the order of the rows.
    """
    grouped: dict[str, list[Metric]] = {
        group: [] for group in ("Direction", "Probability", "Close", _RETURN, "Trading")
    }
    for metric in METRICS:
        stated = metric.label and any(scores[name].get(metric.key) is not None for name in order)
        if stated and not metric.key.endswith("_high"):  # it is in the column of its lower bound
            grouped[_group(metric.key)].append(metric)
    grouped["Direction"].sort(key=lambda metric: metric.key in _COUNTS)  # what was counted comes last
    return [
        Table(
            caption=group,
            columns=(("forecaster", ""), *((_label(metric), metric.key) for metric in metrics)),
            rows=tuple(
                (Cell(text=names[name]), *(_metric_cell(metric, scores[name]) for metric in metrics))
                for name in order
            ),
        )
        for group, metrics in grouped.items()
        if metrics
    ]


def _group(key: str) -> str:
    if key in _COUNTS:
        return "Direction"
    return next((group for group, starts in _GROUPS.items() if key.startswith(starts)), _RETURN)


def _label(metric: Metric) -> str:
    """Return the heading of a metric's column; an indented label belongs to the one before it."""
    if metric.key in _TITLES:
        return _TITLES[metric.key]
    if metric.key.endswith("_low"):
        return f"95%{' by bootstrap' if 'bootstrap' in metric.key else ''}"
    if not metric.label.startswith(" "):
        return metric.label
    before = METRICS[: METRICS.index(metric)]
    main = next(each.label for each in reversed(before) if each.label and not each.label.startswith(" "))
    return f"{main}: {metric.label.strip()}"


def _metric_cell(metric: Metric, scores: Mapping[str, float | None]) -> Cell:
    value = scores.get(metric.key)
    if value is None:
        return Cell(text=_NONE)
    if (
        metric.key.endswith("_low")
        and (high := scores.get(f"{metric.key.removesuffix('low')}high")) is not None
    ):
        return Cell(text=f"{metric.show(value)} to {metric.show(high)}", value=value)
    return Cell(text=metric.show(value), value=value)


_PARTS = ("n", "accuracy", "accuracy_low", "brier", "close_mae_bps")


def breakdown_table(caption: str, parts: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return the student's scores by symbol or by year.

    Args:
        caption: The heading, whose last word names the parts.
        parts: The scores of each part, as a result's `breakdown` has them.
    """
    known = {metric.key: metric for metric in METRICS}
    keys = [
        key for key in _PARTS if key in known and any(part.get(key) is not None for part in parts.values())
    ]
    more = sorted(
        {
            key
            for part in parts.values()
            for key, value in part.items()
            if key not in (*_PARTS, "accuracy_high") and key in known and isinstance(value, int | float)
        },
        key=list(known).index,
    )
    columns = [*keys, *more]
    return Table(
        caption=caption,
        columns=((caption.rsplit(maxsplit=1)[-1], ""), *((_label(known[key]), key) for key in columns)),
        rows=tuple(
            (Cell(text=name), *(_metric_cell(known[key], part) for key in columns))
            for name, part in parts.items()
        ),
    )


def period_table(result: Mapping[str, Any]) -> Table | None:
    """Return contaminated and clean days apart; None where the result has no such days."""
    periods = {
        f"before its release, {result.get('student_released')} (contaminated)": "before_release",
        "from its release on (clean)": "after_release",
        f"until its training data end, {result.get('knowledge_until')} (contaminated)": "before_cutoff",
        "after that (clean)": "after_cutoff",
    }
    rows = []
    for name, key in periods.items():
        part = result.get(key)
        if isinstance(part, Mapping):
            rows.append(
                (
                    Cell(text=name),
                    number(part.get("forecasts"), ",.0f"),
                    number(part.get("n"), ",.0f"),
                    number(part.get("accuracy"), ".1%"),
                    number(part.get("accuracy_low"), ".1%"),
                    number(part.get("accuracy_high"), ".1%"),
                )
            )
    columns = ("days", "forecasts", "scored", "accuracy", "95% from", "95% to")
    if not rows:
        return None
    return Table(
        caption="Contaminated and clean days",
        columns=tuple((name, "") for name in columns),
        rows=tuple(rows),
        sortable=False,
    )


_VARIANTS = {
    "no_news": "without news",
    "shuffled_news": "news of other days",
    "other_news": "news of other symbols",
    "prices_only": "prices only, masked",
    "masked": "names and dates masked",
    "unmasked": "names and dates shown",
}


def ablation_table(student: Mapping[str, Any], ablations: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return the scores of the same days with less or other input, below those as they were.

    Args:
        student: The student's scores.
        ablations: The scores of each variant, as a result's `ablations` has them.
    """
    known = {metric.key: metric for metric in METRICS}
    rows = [(Cell(text="as run"), number(None, ""), number(None, ""), *_variant_cells(known, student))]
    for name, variant in sort_ablations(ablations):
        difference, low, high = (
            variant.get(key) for key in ("difference", "difference_low", "difference_high")
        )
        change = signed(None if difference is None else difference * 100, "+.1f")
        if difference is not None and low is not None and high is not None:
            change = Cell(
                text=f"{change.text} ({low * 100:+.1f} to {high * 100:+.1f})",
                value=difference,
                tone=change.tone,
            )
        flips = number(variant.get("flip_rate"), ".1%")
        rows.append(
            (
                Cell(text=_VARIANTS.get(name, name.replace("_", " "))),
                flips,
                change,
                *_variant_cells(known, variant),
            )
        )
    return Table(
        caption="The same days with less or other input",
        columns=(
            ("input", ""),
            ("directions turned", "flip_rate"),
            ("accuracy, points more (95%)", "difference"),
            *((_label(known[key]), key) for key in _PARTS),
        ),
        rows=tuple(rows),
    )


def _variant_cells(known: Mapping[str, Metric], scores: Mapping[str, Any]) -> list[Cell]:
    return [_metric_cell(known[key], scores) for key in _PARTS]


def costs_table(costs: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return the costs, a row for all symbols with the same ones."""
    from strategies.conclusions import shorten_symbols

    groups: dict[tuple[object, ...], list[str]] = {}
    keys = (
        "fee_bps",
        "slippage_bps",
        "latency_bps",
        "borrow_rate",
        "delay_minutes",
        "least_fee",
        "sale_tax_bps",
    )
    for symbol, each in costs.items():
        groups.setdefault(tuple(each.get(key) for key in keys), []).append(symbol)
    titles = (
        "symbols",
        "fee, bp",
        "slippage, bp",
        "latency, bp",
        "borrow, a year",
        "delay, min",
        "least fee",
        "sale tax, bp",
    )
    patterns = (",g", ",g", ",g", ".1%", ",g", ",g", ",g")
    used = [place for place in range(len(keys)) if place < 4 or any(group[place] for group in groups)]
    return Table(
        caption="Costs of a fill",
        columns=(("symbols", ""), *((titles[place + 1], keys[place]) for place in used)),
        rows=tuple(
            (
                Cell(text=shorten_symbols(symbols, 12)),
                *(number(_as_number(group[place]), patterns[place]) for place in used),
            )
            for group, symbols in groups.items()
        ),
        sortable=False,
    )


def _as_number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def monthly_table(curve: EquityCurve, cash: float) -> Table:
    """Return the student's return of each month, a row for each year, and of the whole year."""
    returns = monthly_returns(curve, cash)
    rows = []
    for year in sorted({year for year, _ in returns}):
        months = [returns.get((year, month)) for month in range(1, 13)]
        whole = 1.0
        for value in months:
            whole *= 1.0 + (value or 0.0)
        cells = (_heat(value) for value in (*months, whole - 1.0))
        rows.append((Cell(text=str(year)), *cells))
    return Table(
        caption="Return of the student by month",
        columns=tuple((name, "") for name in ("year", *_MONTHS, "whole")),
        rows=tuple(rows),
        sortable=False,
    )


def _heat(value: float | None) -> Cell:
    if value is None:
        return Cell(text="")
    level = min(4, 1 + int(abs(value) / 0.03)) if abs(value) >= 0.0005 else 0
    return Cell(text=f"{value:+,.1%}", value=value, tone=f"heat {'up' if value > 0 else 'down'}{level}")


def folds_table(folds: Sequence[Mapping[str, Any]]) -> Table:
    """Return the folds of a walk-forward with each arm's gate."""
    rows = [
        (
            Cell(text=str(fold["number"]), value=float(fold["number"])),
            Cell(text=str(fold["cutoff"])[:10]),
            Cell(text=str(fold["gate_at"])[:10]),
            Cell(text=str(arm)),
            number(_as_number(trained.get("trained_on")), ",.0f"),
            Cell(text="passed" if trained.get("clean") else "failed"),
            number(_as_number(trained.get("p_value")), ".2g"),
            Cell(text="yes" if trained.get("promoted") else "no"),
        )
        for fold in folds
        for arm, trained in fold["arms"].items()
    ]
    columns = ("fold", "trained to", "gated", "arm", "outcomes", "guards", "p", "promoted")
    return Table(caption="Folds and gates", columns=tuple((name, "") for name in columns), rows=tuple(rows))
