"""The comparators of a run's verdicts, which are fixed before it: the defaults, and those that it names."""

from collections.abc import Mapping

from engine.metrics.differences import DEFAULT_COMPARATORS
from engine.metrics.verdicts import Claim

_DESCRIPTIONS = {
    "share_of_rises": "the share of rises so far",
    "last_close": "the last close",
    "scaled_buy_and_hold": "buy and hold at the same exposure",
    "buy_and_hold": "buy and hold",
    "random": "the random baseline",
}


def resolve_comparators(stated: Mapping[Claim, str]) -> dict[Claim, str]:
    """Return the comparator of each claim, of which some are stated."""
    return {**DEFAULT_COMPARATORS, **stated}


def describe_comparator(name: str) -> str:
    """Return what a comparator is called in a sentence."""
    return _DESCRIPTIONS.get(name, name.replace("_", " "))
