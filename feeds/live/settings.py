"""How long a collector waits, and how often it asks. Knows durations only."""

from dataclasses import dataclass, fields
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The collector's durations, all above zero. Raises ValueError for one that is not.

    A bar counts as closed when the exchange's clock is `margin` past its close and the bar has not changed
    for `settle`. A slice waits for its laggards for `patience` after a close and `open_patience` after an
    open, and at least for `grace` once it is its turn. One that is journaled more than `late_after` after
    its instant is marked as late. Laggards and corrections are looked for as far back as `look_back`, the
    former every `seek_every`. Clocks that differ by up to `clock_tolerance` agree.
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
        for each in fields(self):
            if getattr(self, each.name) <= timedelta(0):
                raise ValueError(f"{each.name} {getattr(self, each.name)} is not above zero")
        if self.late_after <= max(self.patience, self.open_patience):
            raise ValueError(
                "late_after must be longer than the patience, or waiting alone makes slices late"
            )
        if self.grace <= self.settle:
            raise ValueError("grace must be longer than settle, or no bar can arrive in time")

    def seconds(self) -> dict[str, float]:
        """Each duration in seconds, by name."""
        return {each.name: getattr(self, each.name).total_seconds() for each in fields(self)}
