"""The tables of the configuration that matter to paper sessions only. Knows no session and no file."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from engine.risk import RiskLimits

Amount = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Table(BaseModel):
    """A table of the configuration: no key that is not its own, and no change once it is read."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Retraining(StrEnum):
    """When a paper session trains its student on what came of its forecasts."""

    NEVER = "never"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    ON_DRIFT = "on-drift"


class PaperTable(Table):
    """`[paper]`: how a paper session works, beside what it trades.

    `deadline_seconds` is how long the student may take for the calls of one close, and `late_seconds` how
    long after its instant a close may still be decided on. With `retrain` "on-drift" the Brier score is
    looked at weekly. `webhook` is told of state changes; it is never written to a journal.
    """

    deadline_seconds: Amount = 300.0
    late_seconds: Annotated[Amount, Field(validate_default=True)] = 1800.0
    retrain: Retraining = Retraining.NEVER
    method: str = "grpo"
    train_days: Annotated[int, Field(ge=1)] = 180
    test_days: Annotated[int, Field(ge=1)] = 60
    steps: Annotated[int, Field(ge=1)] | None = None
    webhook: Annotated[SecretStr | None, Field(exclude=True)] = None

    @field_validator("late_seconds")
    @classmethod
    def _in_time(cls, late: float, info: ValidationInfo) -> float:
        if info.data.get("deadline_seconds", 0.0) > late:
            raise ValueError("it must not be below deadline_seconds, or every answer could be late")
        return late


class RiskTable(Table):
    """`[risk]`: the limits of a paper session, as `engine.risk.RiskLimits` explains them."""

    symbol_exposure: Amount = 1.0
    total_exposure: Amount = 1.2
    daily_loss: Amount = 0.10
    drawdown: Amount = 0.30
    orders_per_day: Annotated[int, Field(ge=1)] = 200
    stale_hours: Amount = 6.0
    abstention_rate: Amount = 0.5
    abstention_window: Annotated[int, Field(ge=1)] = 20

    @property
    def limits(self) -> RiskLimits:
        """The same as the engine takes them."""
        stated = self.model_dump(exclude={"stale_hours"})
        return RiskLimits(stale_after=timedelta(hours=self.stale_hours), **stated)
