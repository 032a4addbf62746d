"""What decides a walk-forward besides the backtest it runs on. Knows no file, no model and no clock."""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from engine.errors import UsageError
from training.rewards import Weights


class Method(StrEnum):
    """How a challenger is made from outcomes; `none` leaves the student as it is."""

    GRPO = "grpo"
    SFT = "sft"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkForwardConfig:
    """Windows in days, and how a challenger is trained.

    A challenger is trained every `step_days` (None: as many as `test_days`) on the `train_days` before,
    shadows the champion for `test_days`, and is gated then. The last `held_out` share of the training days
    is for the guards. `recency_half_life` is in days; None weighs all days alike. `embargo_days` None is
    the longest time from a decision to its next close. `steps` None is the recipe's own number.
    With `compare`, supervised training stands beside GRPO. `weights` are those of the rewards.
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
        """What is trained, the arm that trades first."""
        if self.method is Method.GRPO and self.compare:
            return Method.GRPO, Method.SFT
        return () if self.method is Method.NONE else (self.method,)

    @property
    def train(self) -> timedelta:
        """The training window."""
        return timedelta(days=self.train_days)

    @property
    def test(self) -> timedelta:
        """The window in which a challenger shadows the champion."""
        return timedelta(days=self.test_days)

    @property
    def step(self) -> timedelta:
        """From one fold to the next."""
        return timedelta(days=self.step_days or self.test_days)


def flag_name(name: str) -> str:
    """The flag that sets a field."""
    return "--" + name.replace("_", "-")
