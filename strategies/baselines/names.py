"""The baselines by name: how a table heads their column, and what each of them does."""

from dataclasses import dataclass

from engine.errors import suggest

ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """One baseline.

    Attributes:
        label: The heading of its column, at most eight characters.
        full_weight: Whether it holds all that a symbol may have, and not what the student's rule of sizing
            makes of its confidence.
        always: Whether it is part of every run.
    """

    label: str
    full_weight: bool = False
    always: bool = False


BASELINES = {
    "buy_and_hold": Baseline(label="buy&hold", full_weight=True, always=True),
    "persistence": Baseline(label="persist.", full_weight=True, always=True),
    "majority": Baseline(label="majority", full_weight=True, always=True),
    "random": Baseline(label="random", full_weight=True, always=True),
    "random_walk": Baseline(label="r. walk", full_weight=True),
    "momentum": Baseline(label="momentum", full_weight=True),
    "volatility_target": Baseline(label="vol. tgt", full_weight=True),
    "logistic": Baseline(label="logistic"),
    "boosted": Baseline(label="boosted"),
    "tfidf": Baseline(label="TF-IDF"),
    "lexicon": Baseline(label="lexicon"),
    "calibrated": Baseline(label="calibr."),
    "base": Baseline(label="base"),
    "timeseries": Baseline(label="t.series"),
}
"""In the order of results and tables."""

OF_STUDENT = ("calibrated", "base")
"""Those made of the student itself."""

OPTIONAL = tuple(name for name, baseline in BASELINES.items() if not baseline.always)
BENCHMARK = "benchmark"


def require_baseline(name: str) -> str:
    """Return a name that may be asked for. Raises ValueError for any other."""
    if name in BASELINES or name == ALL:
        return name
    raise ValueError(f"no baseline {name!r}; {suggest(name, (ALL, *OPTIONAL))}")


def require_comparator(name: str) -> str:
    """Return a name that a verdict can compare with. Raises ValueError for any other."""
    if name in BASELINES or name == BENCHMARK:
        return name
    raise ValueError(f"no baseline {name!r}; {suggest(name, (*BASELINES, BENCHMARK))}")


def holds_full_weight(name: str) -> bool:
    """Return whether a caller holds all that a symbol may have, whatever its confidence."""
    return name in BASELINES and BASELINES[name].full_weight
