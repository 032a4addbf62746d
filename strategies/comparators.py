"""The comparators of a run's verdicts, which are fixed before it: the defaults, and those that it names."""

from collections.abc import Collection, Mapping

from engine.errors import UsageError, suggest
from engine.metrics.differences import DEFAULT_COMPARATORS
from engine.metrics.verdicts import Claim

_DESCRIPTIONS = {
    "share_of_rises": "the share of rises so far",
    "last_close": "the last close",
    "scaled_buy_and_hold": "buy and hold at the same exposure",
    "buy_and_hold": "buy and hold",
    "random": "the random baseline",
}


def resolve_comparators(stated: Mapping[Claim, str], baselines: Collection[str]) -> dict[Claim, str]:
    """Return the comparator of each claim.

    Args:
        stated: Those that the configuration names.
        baselines: The names of the run's baselines, any of which can be a comparator.

    Raises:
        UsageError: For a name that is neither a baseline nor the claim's default.
    """
    for claim, name in stated.items():
        if name not in baselines and name != DEFAULT_COMPARATORS[claim]:
            known = (DEFAULT_COMPARATORS[claim], *baselines)
            raise UsageError(f"--comparator {claim}={name}: no such comparator; {suggest(name, known)}")
    return {**DEFAULT_COMPARATORS, **stated}


def describe_comparator(name: str) -> str:
    """Return what a comparator is called in a sentence."""
    return _DESCRIPTIONS.get(name, name.replace("_", " "))
