"""The tables of the configuration that matter to paper sessions only. Knows no session and no file."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

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
    QUARTERLY = "quarterly"
    ON_DRIFT = "on-drift"


class Scripted(StrEnum):
    """What a replay's script may have happen."""

    PAUSE = "pause"
    RESUME = "resume"
    REDUCE = "reduce"
    HALT = "halt"
    FLATTEN = "flatten"
    SPLIT = "split"
    DIVIDEND = "dividend"
    QUOTE = "quote"
    GAP = "gap"


_WANTS_VALUE = {Scripted.SPLIT, Scripted.DIVIDEND, Scripted.QUOTE}
_WANTS_SYMBOL = _WANTS_VALUE | {Scripted.GAP}


class ScriptTable(Table):
    """`[[paper.script]]`: something that happens in a replay beside the recorded days, at an instant.

    A split or dividend takes effect at the first open of its `symbol` from `at` on. `value` is the ratio of a
    split, the amount of a dividend a share, or the price of a quote, in the quote currency.
    """

    at: AwareDatetime
    do: Scripted
    symbol: str | None = None
    value: Amount | None = None
    text: Annotated[str, Field(max_length=400)] = ""

    @field_validator("at")
    @classmethod
    def _in_utc(cls, at: datetime) -> datetime:
        return at.astimezone(UTC)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        wanted = {"symbol": self.do in _WANTS_SYMBOL, "value": self.do in _WANTS_VALUE}
        for name, wants in wanted.items():
            if wants != (getattr(self, name) is not None):
                raise ValueError(f"do = {self.do} takes {'a' if wants else 'no'} {name}")
        return self


class PaperTable(Table):
    """`[paper]`: how a paper session works, beside what it trades.

    `deadline_seconds` is how long the student may take for the calls of one close, and `late_seconds` how
    long after its instant a close may still be decided on. With `retrain` "on-drift" the Brier score is
    looked at weekly. `script` is for replays. `webhook` is told of state changes; it is never written to a
    journal.
    """

    deadline_seconds: Amount = 300.0
    late_seconds: Annotated[Amount, Field(validate_default=True)] = 1800.0
    retrain: Retraining = Retraining.NEVER
    method: str = "grpo"
    train_days: Annotated[int, Field(ge=1)] = 180
    test_days: Annotated[int, Field(ge=1)] = 60
    steps: Annotated[int, Field(ge=1)] | None = None
    script: tuple[ScriptTable, ...] = ()
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
