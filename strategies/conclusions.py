"""State in sentences what may and may not be concluded from a result."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from strategies.ablation_table import describe_basis
from strategies.comparators import describe_comparator
from strategies.console import pluralize

NONE = "-"


def format_percent(value: float | None, digits: int = 1) -> str:
    """Return a fraction as a percentage; NONE for None."""
    return NONE if value is None else f"{value * 100:.{digits}f}%"


_BASELINES = {"buy_and_hold": "buy&hold"}
SHIPPED = "tiny"
"""The student that comes with the package, which was trained on simulated data only."""

# Below a year the luck of a Sharpe ratio is worth a line.
_FEW_DAYS = 365
NOTICE = "Research software. Not financial advice."


def number_formatter(digits: int) -> Callable[[float | None], str]:
    """Return a function that writes a number with `digits` decimals, and NONE for None."""
    return lambda value: NONE if value is None else f"{value:,.{digits}f}"


def list_conclusions(result: Mapping[str, Any]) -> list[str]:
    """Return what may and may not be concluded from a result, a sentence each.

    Args:
        result: The result of a run or session, as `--json` prints it.
    """
    lines = _verdict_lines(result)
    if not result["student"]:
        line = f"Strategy {result['strategy']} makes no forecasts; compare its return with the baselines'."
        return [
            *lines,
            line,
            *_sharpe_lines(result),
            *_random_lines(result),
            *_rejection_lines(result),
            *result["notes"],
        ]
    if "strategy" in result:
        lines.append(f"Strategy {result['strategy']} traded the forecasts; fills and returns are its own.")
    if result["edge_captured"] is not None:
        lines.append(f"Edge captured: {format_percent(result['edge_captured'])} of what the oracle knew.")
    elif result["simulated"]:
        lines.append("This market has no edge: nothing could be known, and any difference is luck.")
    lines += [*_scored_lines(result), *describe_basis(result)]
    lines += [*_sharpe_lines(result), *_random_lines(result), *_suspension_lines(result)]
    if result["contaminated_n"]:
        lines.append(contaminated_line(result))
    elif result["contaminated_n"] is None:
        why = "Its adapter may come from this market" if result["simulated"] else "Its release is not known"
        lines.append(f"{why}: the student may have seen these days in training.")
    lines += _period_lines(result)
    return [*lines, *_rejection_lines(result), *result["notes"]]


def describe_account(result: Mapping[str, Any]) -> list[str]:
    """Return the starting cash with its currency, and a line of costs for all symbols that have the same."""
    lines = [
        f"Account: {result['cash']:,.0f} {result['currency']} at the start; every fill is a market order."
    ]
    by_costs: dict[str, list[str]] = {}
    for symbol, costs in result["costs"].items():
        by_costs.setdefault(_describe_costs(costs), []).append(symbol)
    return [
        *lines,
        *(f"Costs of {shorten_symbols(names)}: {costs}." for costs, names in by_costs.items()),
        *_delay_lines(result),
    ]


def _delay_lines(result: Mapping[str, Any]) -> list[str]:
    """Say of which symbols a fill is at the instant of the decision, by what a delay would cost."""
    by_delay: dict[float, list[str]] = {}
    for symbol in result.get("round_the_clock", ()):  # results of earlier versions do not state it
        by_delay.setdefault(result["costs"][symbol].get("delay_minutes", 0.0), []).append(symbol)
    return [
        f"Fills are at the next open, which for {shorten_symbols(symbols)} is the instant of the deciding "
        f"close: {f'a delay of {minutes:g} min is' if minutes else 'latency alone is'} charged for the time "
        f"between{'' if minutes else '; --delay-minutes charges more'}."
        for minutes, symbols in by_delay.items()
    ]


def shorten_symbols(symbols: Sequence[str], most: int = 8) -> str:
    """Return the first `most` symbols and how many more there are."""
    more = f" and {len(symbols) - most} more" if len(symbols) > most else ""
    return ", ".join(symbols[:most]) + more


def _describe_costs(costs: Mapping[str, Any]) -> str:
    parts = [f"fee {costs['fee_bps']:g} bp"]
    for value, bps in costs.get("fee_tiers", ()):
        parts.append(f"{bps:g} bp from {value:,.0f} traded in 30 days")
    if costs.get("least_fee"):
        parts.append(f"at least {costs['least_fee']:g} a fill")
    if costs.get("sale_tax_bps"):
        parts.append(f"tax {costs['sale_tax_bps']:g} bp on sales")
    parts.append(f"slippage {costs['slippage_bps']:g} bp, latency {costs['latency_bps']:g} bp")
    if costs.get("delay_minutes"):
        parts.append(f"delay {costs['delay_minutes']:g} min by the range of the day before")
    return ", ".join([*parts, f"borrowing {format_percent(costs['borrow_rate'])} a year"])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """How a claim's difference is printed: the factor, decimals and unit."""

    factor: float
    digits: int
    unit: str


_SCALES = {
    "direction": _Scale(factor=100, digits=1, unit="points"),
    "probability": _Scale(factor=1, digits=4, unit="of Brier"),
    "close": _Scale(factor=1e4, digits=1, unit="bp of error"),
    "pnl": _Scale(factor=1e4, digits=1, unit="bp a day"),
}
_CLAIM_NAMES = {"pnl": "PnL"}


def direction_verdict(result: Mapping[str, Any]) -> str:
    """Return the verdict of the direction, also of a result that an earlier version stored."""
    verdicts = result.get("verdicts")
    return str(verdicts["direction"]["result"] if verdicts else result["verdict"])


def _verdict_lines(result: Mapping[str, Any]) -> list[str]:
    if "verdicts" not in result:
        return [_first_version_line(result["verdict_detail"])]
    verdicts: Mapping[str, Mapping[str, Any]] = result["verdicts"]
    level = next(iter(verdicts.values()))["level"]
    line = (
        f"Verdicts at {level:.0%} for all claims, on any day; "
        f"an e-value of {1 / level:.0f} is enough. A plus is an advantage."
    )
    # A strategy without a student makes no forecasts, and is compared by what it earns alone.
    shown = [claim for claim in _SCALES if result["student"] or verdicts[claim]["days"]]
    return [line, *(each for claim in shown for each in _claim_lines(claim, verdicts[claim]))]


def _claim_lines(claim: str, verdict: Mapping[str, Any]) -> list[str]:
    """State a verdict in a line, and in a second what it rests on."""
    name = _CLAIM_NAMES.get(claim, claim.capitalize())
    comparator = describe_comparator(verdict["comparator"])
    if verdict["difference"] is None:
        return [f"{name}: inconclusive against {comparator}; nothing was scored."]
    scale = _SCALES[claim]
    difference, low, high = (
        f"{verdict[key] * scale.factor:+,.{scale.digits}f}" for key in ("difference", "low", "high")
    )
    against = "than" if verdict["result"] != "inconclusive" else "against"
    needed = ""
    if verdict["days_needed"] is not None:
        days = f"{verdict['days_needed']:,}"
        needed = f"; enough after {days}"
        if verdict["result"] == "inconclusive":
            needed = f"; if this edge is real, about {days} would do"
    return [
        f"{name}: {verdict['result']} {against} {comparator}, "
        f"{difference} {scale.unit} (95%: {low} to {high}).",
        f"  e-value {_format_e_value(verdict['e_value'])}, {pluralize(verdict['days'], 'day')} "
        f"({verdict['effective_days']:,.0f} effective){needed}.",
    ]


def _format_e_value(value: float) -> str:
    """Return an e-value with two digits, or whole: what matters is whether it reaches 1 / level."""
    if value >= 1000:
        return "above 1,000"
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _first_version_line(verdict: Mapping[str, Any]) -> str:
    """State the verdict of a result from before there was one for each claim."""
    if verdict["difference"] is None:
        return "Verdict: inconclusive; no decision was scored for both the student and a baseline."
    against = (
        f"{verdict['difference'] * 100:+.1f} points of accuracy against "
        f"{_BASELINES.get(verdict['baseline'], verdict['baseline'])}, the best baseline"
    )
    bounds = ""
    if verdict["low"] is not None:
        days = pluralize(verdict["days"], "day")
        bounds = f" (95%: {verdict['low'] * 100:+.1f} to {verdict['high'] * 100:+.1f}, {days})"
    needed = ""
    if verdict["result"] == "inconclusive" and verdict["days_needed"] is not None:
        needed = f"; such a difference would need about {verdict['days_needed']:,} days to show"
    return f"Verdict: {verdict['result']}; {against}{bounds}{needed}."


def _scored_lines(result: Mapping[str, Any]) -> list[str]:
    """Explain why fewer forecasts were scored than made."""
    student = result["scores"]["student"]
    ties, pending = student.get("ties"), student.get("pending")
    reasons = [f"{pluralize(ties, 'tie')} (the close did not move: neither right nor wrong)"] if ties else []
    reasons += [f"{pending:,} pending (no next bar yet)"] if pending else []
    if not reasons:
        return []
    scored = f"{student['n']:,} of {pluralize(result['forecasts'], 'forecast')}"
    return [f"Scored: {scored}; left out: {', '.join(reasons)}. Abstentions are no forecasts."]


def contaminated_line(result: Mapping[str, Any]) -> str:
    """State how many forecasts are of days that the student may have seen in training."""
    share = f"Contaminated: {result['contaminated_n']:,} of {pluralize(result['forecasts'], 'forecast')}"
    if result["simulated"]:
        return f"{share} are on training seeds; the student may know the answers."
    before = f"{share} are before its release, {result['student_released']};"
    if result["student"] == SHIPPED:
        return f"{before} the shipped student was trained on simulated data only and has read no real day."
    return f"{before} the student may know the answers."


def _suspension_lines(result: Mapping[str, Any]) -> list[str]:
    """State how many forecasts have no next close; a result of an earlier version does not count them."""
    count = result["scores"]["student"].get("suspended")
    if not count:
        return []
    return [
        f"Not scored: {pluralize(count, 'forecast')} without a bar in the next session of the symbol's "
        "calendar (suspended, or missing in the data); a later close is neither hit nor miss."
    ]


def _period_lines(result: Mapping[str, Any]) -> list[str]:
    """State the accuracy before and after the days until which the student may have read, if it has both."""
    days = {
        f"its training data end, {result.get('knowledge_until')}": ("before_cutoff", "after_cutoff"),
        f"its release, {result.get('student_released')}": ("before_release", "after_release"),
    }
    lines = []
    for day, keys in days.items():
        before, after = (result.get(key) or {} for key in keys)
        if before.get("n") and after.get("n"):
            lines.append(
                f"Accuracy until {day}: {_describe_accuracy(before)}; "
                f"after that: {_describe_accuracy(after)}."
            )
    return lines


def _describe_accuracy(scores: Mapping[str, Any]) -> str:
    low, high = format_percent(scores["accuracy_low"]), format_percent(scores["accuracy_high"])
    return f"{format_percent(scores['accuracy'])} of {scores['n']:,} (95%: {low} to {high})"


def _rejection_lines(result: Mapping[str, Any]) -> list[str]:
    """Explain why nothing was traded where every order was refused."""
    student = result["scores"]["student"]
    if student["trades"] or not student["rejected"]:
        return []
    return [
        f"No fill: {pluralize(student['rejected'], 'order')} of the student rejected, mostly "
        "because its share "
        f"of {result['cash']:,.0f} {result['currency']} buys less than one lot; raise --cash, or set a "
        "smaller `lot` under [instruments.SYMBOL]. --out DIR writes each reason."
    ]


def _random_lines(result: Mapping[str, Any]) -> list[str]:
    """State where the returns of callers that know nothing lie; results of earlier versions lack them."""
    callers = result.get("random_callers")
    if not callers:
        return []
    owner = "strategy" if "strategy" in result else "student"
    low, high = (format(callers["returns"][rank], "+.1%") for rank in ("p5", "p95"))
    return [
        f"Random callers: of {callers['n']:,} that hold the {owner}'s positions on days drawn at random, 90% "
        f"return {low} to {high}; the {owner}'s return is above that of "
        f"{format_percent(callers['return_percentile'])} of them."
    ]


def _sharpe_lines(result: Mapping[str, Any]) -> list[str]:
    trials = f"{pluralize(result['trials'], 'run')} on these data on record"
    correction = describe_correction(result, result["distinct_trials"])
    if result["deflated_sharpe"] is None:
        return [f"Trials: {trials}.", *correction]
    owner = "the strategy's" if "strategy" in result else "the student's"
    line = (
        f"Trials: {trials} ({result['distinct_trials']} distinct); allowing for the luck of the best of so "
        f"many, the chance that {owner} true Sharpe ratio is above {describe_yardstick(result)} is "
        f"{format_percent(result['deflated_sharpe'])}."
    )
    lines = [line, *correction]
    days = (date.fromisoformat(result["end"]) - date.fromisoformat(result["start"])).days + 1
    if days >= _FEW_DAYS:
        return lines
    # The standard error of an annual Sharpe ratio near zero is the root of the years' inverse (Lo 2002).
    spread = 1.96 * math.sqrt(_FEW_DAYS / days)
    caution = (
        f"Few days: over {pluralize(days, 'day')} luck alone moves an annual Sharpe ratio by ±{spread:.1f} "
        "(95%); conclude nothing from it, or from the return."
    )
    return [*lines, caution]


def describe_correction(result: Mapping[str, Any], trials: int) -> list[str]:
    """State what is left of the verdicts if they are corrected for the number of distinct trials.

    The e-value of a run chosen among N is divided by N: so the probability that any of the N is called
    better without being so stays at the level, however the trials depend on one another (Bonferroni; Vovk
    and Wang 2021, "E-values: Calibration, combination and applications"). None for a single trial, and for
    results of versions without e-values.

    Args:
        result: The result of a run.
        trials: The number of distinct trials.
    """
    verdicts: Mapping[str, Mapping[str, Any]] = result.get("verdicts") or {}
    if trials < 2 or not verdicts:
        return []
    concluded = {
        claim: verdicts[claim]
        for claim in _SCALES
        if claim in verdicts and verdicts[claim]["result"] != _INCONCLUSIVE
    }
    kept = [claim for claim, each in concluded.items() if each["e_value"] >= trials / each["level"]]
    lost = [claim for claim in concluded if claim not in kept]
    level = min(each["level"] for each in verdicts.values())
    line = (
        f"Verdicts are not corrected for these {trials} distinct trials; corrected, an e-value has to be "
        f"{trials / level:,.0f}"
    )
    if kept:
        line += f": {_list_claims(kept)} would stay"
    if lost:
        line += f"{', ' if kept else ': '}{_list_claims(lost)} would be inconclusive"
    return [line + "."]


_INCONCLUSIVE = "inconclusive"


def _list_claims(claims: Sequence[str]) -> str:
    *names, last = (_CLAIM_NAMES.get(claim, claim) for claim in claims)
    return f"{', '.join(names)} and {last}" if names else last


def describe_yardstick(result: Mapping[str, Any]) -> str:
    """Return what the Sharpe ratio is held against; 0 in results of earlier versions."""
    yardstick = result.get("sharpe_yardstick") or {}
    caller = yardstick.get("caller")
    if caller is None:
        return "0"
    return f"{yardstick['sharpe']:.2f}, that of {_BASELINES.get(caller, caller)},"
