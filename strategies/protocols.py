"""The six protocols that auditors of LLM trading ask for (arXiv 2605.16895), as one run meets them.

Temporal integrity, frictions, counterfactual robustness, calibration, numerical execution, disaggregation:
each is met, not met or not tested, from what the run and the checks of it really did.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from strategies.conclusions import SHIPPED
from strategies.console import pluralize

_MOST_ERROR = 0.05
"""The largest expected calibration error of a calibrated student, a probability."""

_FEWEST = 100
"""The fewest forecasts with an outcome on which calibration is judged."""

_LEVEL = 0.05
SOURCE = "arXiv 2605.16895"


class ProtocolState(StrEnum):
    """Whether a run meets a protocol."""

    MET = "met"
    NOT_MET = "not met"
    NOT_TESTED = "not tested"


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """One protocol, whether the run meets it, and why in a few words."""

    name: str
    state: ProtocolState
    reason: str


def judge_protocols(
    result: Mapping[str, Any],
    lookahead: Mapping[str, Any] | None = None,
    parity: Mapping[str, Any] | None = None,
) -> list[Protocol]:
    """Return the six protocols in their order.

    Args:
        result: The result of a run or session; keys that an earlier version lacks are not tested.
        lookahead: What `closecall check lookahead` found; None where it was not run.
        parity: What `closecall check parity` found; None where it was not run.
    """
    judged = {
        "temporal integrity": _judge_time(result, lookahead),
        "frictions": _judge_frictions(result),
        "counterfactual robustness": _judge_counterfactuals(result),
        "calibration": _judge_calibration(result),
        "numerical execution": _judge_execution(parity),
        "disaggregation": _judge_disaggregation(result),
    }
    return [Protocol(name=name, state=state, reason=reason) for name, (state, reason) in judged.items()]


def list_protocols(result: Mapping[str, Any]) -> list[str]:
    """Return the lines under the table of a result; its keys `lookahead` and `parity` hold later checks."""
    return describe_protocols(judge_protocols(result, result.get("lookahead"), result.get("parity")))


def describe_protocols(protocols: Sequence[Protocol]) -> list[str]:
    """Return a line for each state that occurs: the protocols in it, with the reasons."""
    lines: list[str] = []
    for state in ProtocolState:
        named = [f"{each.name} ({each.reason})" for each in protocols if each.state is state]
        if named:
            source = "" if lines else f" ({SOURCE})"
            lines.append(f"Protocols {state}{source}: {', '.join(named)}.")
    return lines


_Judged = tuple[ProtocolState, str]


def _judge_time(result: Mapping[str, Any], lookahead: Mapping[str, Any] | None) -> _Judged:
    leaks = (lookahead or {}).get("leaks")
    if leaks:
        count = len(leaks) if isinstance(leaks, Sequence) else int(leaks)
        return ProtocolState.NOT_MET, f"{pluralize(count, 'leak')} found"
    if result.get("contaminated_n") and (result.get("simulated") or result.get("student") != SHIPPED):
        return ProtocolState.NOT_MET, f"{result['contaminated_n']:,} contaminated forecasts"
    if lookahead is None:
        return ProtocolState.NOT_TESTED, "check lookahead was not run"
    if result.get("student") and result.get("contaminated_n") is None:
        return ProtocolState.NOT_TESTED, "no leak found, but the release of the student is unknown"
    if result.get("contaminated_n"):
        return ProtocolState.MET, "no leak, and the shipped student has read no real day"
    return ProtocolState.MET, "no leak, no contaminated day"


def _judge_frictions(result: Mapping[str, Any]) -> _Judged:
    costs = result["costs"]
    free = [
        symbol
        for symbol, each in costs.items()
        if not each.get("fee_bps", 0) + each.get("slippage_bps", 0) + each.get("latency_bps", 0) > 0
    ]
    if free:
        return ProtocolState.NOT_MET, f"no cost on {len(free)} of {pluralize(len(costs), 'symbol')}"
    if not result["scores"]["student"].get("trades"):
        return ProtocolState.NOT_TESTED, "nothing was traded"
    return ProtocolState.MET, "fee, slippage or delay on every fill"


def _judge_counterfactuals(result: Mapping[str, Any]) -> _Judged:
    ablations = result.get("ablations")
    if not ablations:
        return ProtocolState.NOT_TESTED, "no --ablate"
    basis = result.get("ablations_basis")
    if basis == "memory":
        return ProtocolState.NOT_MET, "the forecasts rest on memory"
    if basis == "nothing":
        return ProtocolState.NOT_TESTED, "no input that was changed surely matters"
    return ProtocolState.MET, f"rests on {basis}, in {pluralize(len(ablations), 'ablation')}"


def _judge_calibration(result: Mapping[str, Any]) -> _Judged:
    bins = (result.get("reliability") or {}).get("stated") or ()
    count = sum(each["n"] for each in bins)
    if count < _FEWEST:
        return (
            ProtocolState.NOT_TESTED,
            f"under {_FEWEST} scored forecasts" if bins else "no reliability curve",
        )
    error = sum(each["n"] * abs(each["rises"] - each["mean"]) for each in bins) / count
    shown = f"error {error:.1%}"
    if error <= _MOST_ERROR:
        return ProtocolState.MET, shown
    # Bins of few forecasts deviate by luck: the statistic of Hosmer and Lemeshow 1980 tells them apart.
    from scipy.special import chdtrc

    spread = [max(each["mean"] * (1 - each["mean"]), 1e-9) for each in bins]
    deviation = math.fsum(
        each["n"] * (each["rises"] - each["mean"]) ** 2 / variance
        for each, variance in zip(bins, spread, strict=True)
    )
    if float(chdtrc(len(bins), deviation)) > _LEVEL:
        return ProtocolState.NOT_TESTED, f"{shown}, within luck for {count:,} forecasts"
    return ProtocolState.NOT_MET, shown


def _judge_execution(parity: Mapping[str, Any] | None) -> _Judged:
    if parity is None:
        return ProtocolState.NOT_TESTED, "check parity was not run"
    if not parity.get("equal"):
        return ProtocolState.NOT_MET, "its replay differs"
    return ProtocolState.MET, f"replayed from {pluralize(int(parity.get('inputs', 0)), 'input')}, identical"


def _judge_disaggregation(result: Mapping[str, Any]) -> _Judged:
    breakdown = result.get("breakdown") or {}
    if not breakdown.get("symbol") or not breakdown.get("year"):
        return ProtocolState.NOT_TESTED, "no scores by symbol and year"
    counts = (pluralize(len(breakdown["symbol"]), "symbol"), pluralize(len(breakdown["year"]), "year"))
    return ProtocolState.MET, f"by {' and '.join(counts)}"
