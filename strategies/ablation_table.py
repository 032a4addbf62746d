"""The ablations of a result as rows of a table and as a sentence."""

from collections.abc import Mapping
from typing import Any

HEADER = ("changed", "flips", "accuracy", "points", "95% from", "to", "Brier", "close, bp")
"""The columns: what was changed, directions that turned, the accuracy then, by how many points it is above
that of the run with the interval, the Brier score, and the error of the close."""

_NAMES = {
    "no_news": "no news",
    "shuffled_news": "news of other days",
    "other_news": "news of others",
    "prices_only": "prices only",
    "masked": "names masked",
    "unmasked": "names shown",
}
_WITHOUT = {
    "no_news": "without news",
    "shuffled_news": "with the news of other days",
    "other_news": "with the news of other symbols",
    "masked": "with names and dates masked",
}
_OF_NEWS = ("no_news", "shuffled_news", "other_news")


def sort_ablations(ablations: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the ablations in the order of the table, which a result read from a file has lost."""
    places = {name: place for place, name in enumerate(_NAMES)}
    return sorted(ablations.items(), key=lambda item: places.get(item[0], len(places)))


def list_ablations(result: Mapping[str, Any]) -> list[list[str]]:
    """Return a row for each ablation of a result; none where it has none."""
    return [
        [
            _NAMES.get(name, name),
            _percent(scores["flip_rate"]),
            _percent(scores["accuracy"]),
            *(_change(scores[key]) for key in ("difference", "difference_low", "difference_high")),
            "-" if scores["brier"] is None else f"{scores['brier']:.4f}",
            "-" if scores["close_mae_bps"] is None else f"{scores['close_mae_bps']:,.0f}",
        ]
        for name, scores in sort_ablations(result.get("ablations", {}))
    ]


def describe_basis(result: Mapping[str, Any]) -> list[str]:
    """Return a sentence on what the forecasts rest on; none where nothing was ablated."""
    basis, scores = result.get("ablations_basis"), result.get("ablations", {})
    if basis is None:
        return []
    line = f"Ablations: the forecasts rest on {basis}"
    if basis == "nothing":
        low = result["scores"]["student"]["accuracy_low"]
        if low is None or low <= 0.5:
            return [f"{line}: their accuracy is not surely above one half."]
        return [f"{line} that was changed: no change surely costs accuracy."]
    if basis == "prices":
        prices = scores["prices_only"]
        low, high = _percent(prices["accuracy_low"]), _percent(prices["accuracy_high"])
        return [f"{line}: from prices alone {_percent(prices['accuracy'])} are right (95%: {low} to {high})."]
    changes = ["masked"] if basis == "memory" else [name for name in _OF_NEWS if name in scores]
    worst = min(changes, key=lambda name: scores[name]["difference"] or 0.0)
    cost, low, high = (
        _points(scores[worst][key]) for key in ("difference", "difference_high", "difference_low")
    )
    return [f"{line}: {_WITHOUT[worst]} their accuracy is {cost} points lower (95%: {low} to {high})."]


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{fraction:.1%}"


def _change(difference: float | None) -> str:
    """Return a difference of accuracy in points, with its sign."""
    return "-" if difference is None else f"{difference * 100:+.1f}"


def _points(difference: float | None) -> str:
    """Return a difference of accuracy as what it takes, in points."""
    return "-" if difference is None else f"{-difference * 100 or 0.0:.1f}"
