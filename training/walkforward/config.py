"""The settings of a walk-forward, apart from the backtest it runs on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

from engine.errors import UsageError
from training.rewards import Weights


class Method(StrEnum):
    """How a challenger is trained on outcomes; with `none` the student does not change."""

    GRPO = "grpo"
    SFT = "sft"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkForwardConfig:
    """Windows in days, and how a challenger is trained.

    Attributes:
        method: How challengers are trained.
        train_days: Days that a challenger is trained on.
        test_days: Days that it runs in shadow before its gate.
        step_days: Days between two challengers; None: `test_days`.
        recency_half_life: Days after which an outcome counts half; None: all count alike.
        held_out: Share of the training days, the last ones, that the guards evaluate.
        embargo_days: Days between an outcome and the cut-off; None: the longest horizon.
        steps: Training steps; None: the default of the method.
        seed: Of the training.
        compare: Whether an arm of supervised training runs beside GRPO.
        weights: The weights of the parts of the reward.
    """

    method: Method = Method.GRPO
    train_days: int = 180
    test_days: int = 60
    step_days: int | None = None
    recency_half_life: float | None = None
    held_out: float = 0.2
    embargo_days: float | None = None
    steps: int | None = None
    seed: int = 7
    compare: bool = True
    weights: Weights = field(default_factory=Weights)

    def __post_init__(self) -> None:
        for name in ("train_days", "test_days", "step_days", "steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{flag_name(name)} {value} is below 1; give a whole number of at least 1")
        if self.step_days is not None and self.step_days < self.test_days:
            raise UsageError(
                f"--step-days {self.step_days} is below --test-days {self.test_days}, so that test windows "
                f"would overlap; give at least {self.test_days}"
            )
        if self.recency_half_life is not None and not 0 < self.recency_half_life < float("inf"):
            raise UsageError(f"--recency-half-life {self.recency_half_life} is not above 0; give it in days")
        if not 0 < self.held_out < 1:
            raise UsageError(f"held_out {self.held_out} is not between 0 and 1; give a share of the days")

    @property
    def arms(self) -> tuple[Method, ...]:
        """Return the methods that are trained; the first one trades."""
        if self.method is Method.GRPO and self.compare:
            return Method.GRPO, Method.SFT
        return () if self.method is Method.NONE else (self.method,)

    @property
    def train(self) -> timedelta:
        """Return the training window."""
        return timedelta(days=self.train_days)

    @property
    def test(self) -> timedelta:
        """Return the window in which a challenger runs in shadow."""
        return timedelta(days=self.test_days)

    @property
    def step(self) -> timedelta:
        """Return the time from one fold to the next."""
        return timedelta(days=self.step_days or self.test_days)


def build_settings(
    method: str = "grpo", weights: Mapping[str, float] | None = None, **given: Any
) -> WalkForwardConfig:
    """Return the settings that were given, with the defaults of the rest.

    Raises:
        UsageError: For one that does not fit.
    """
    if method not in list(Method):
        raise UsageError(f"--method {method!r}: choose one of {', '.join(Method)}")
    return WalkForwardConfig(method=Method(method), weights=Weights(**(weights or {})), **given)


def flag_name(name: str) -> str:
    """Return the command-line flag that sets a field."""
    return "--" + name.replace("_", "-")
