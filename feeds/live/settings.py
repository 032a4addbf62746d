"""The durations of a collector: how long it waits, and how often it asks."""

from dataclasses import dataclass, fields
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The collector's durations, all above zero. Raises ValueError for one that is not.

    A bar is confirmed when the exchange's clock is `margin` past its close and the bar has not changed for
    `settle`. A slice waits for missing bars until `patience` after a close or `open_patience` after an open,
    and at least `grace` from when it became the next one. A slice journaled more than `late_after` after its
    instant is marked as late. Missing bars and corrections are looked for up to `look_back`, the former every
    `seek_every`. Clocks that differ by up to `clock_tolerance` agree.
    """

    margin: timedelta = timedelta(seconds=5)
    settle: timedelta = timedelta(seconds=10)
    poll_every: timedelta = timedelta(seconds=5)
    poll_at_most: timedelta = timedelta(seconds=60)
    patience: timedelta = timedelta(minutes=20)
    open_patience: timedelta = timedelta(minutes=5)
    grace: timedelta = timedelta(seconds=30)
    late_after: timedelta = timedelta(minutes=30)
    look_back: timedelta = timedelta(days=7)
    seek_every: timedelta = timedelta(minutes=30)
    quote_every: timedelta = timedelta(minutes=1)
    news_every: timedelta = timedelta(minutes=5)
    clock_every: timedelta = timedelta(minutes=5)
    clock_tolerance: timedelta = timedelta(seconds=2)
    back_off: timedelta = timedelta(seconds=5)
    back_off_at_most: timedelta = timedelta(minutes=5)

    def __post_init__(self) -> None:
        for duration in fields(self):
            if getattr(self, duration.name) <= timedelta(0):
                raise ValueError(f"{duration.name} {getattr(self, duration.name)} is not above zero")
        if self.late_after <= max(self.patience, self.open_patience):
            raise ValueError(
                "late_after must be longer than the patience, or waiting alone makes slices late"
            )
        if self.grace <= self.settle:
            raise ValueError("grace must be longer than settle, or no bar can arrive in time")

    def seconds(self) -> dict[str, float]:
        """Return each duration in seconds, by name."""
        return {duration.name: getattr(self, duration.name).total_seconds() for duration in fields(self)}
