"""What the dashboard knows of forecasts and what came of them. Prices are in the quote currency."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CallView:
    """One forecast, or an abstention with its reason, and what came of it as soon as that is known.

    `came` is the close after it, at `came_at`. `seq` finds the whole event.
    """

    seq: int
    symbol: str
    as_of: datetime
    direction: str | None
    confidence: float | None
    close: float | None
    last_close: float | None
    abstention: str | None
    adapter: str | None = None
    came: float | None = None
    came_at: datetime | None = None

    @property
    def hit(self) -> bool | None:
        """Whether the direction was right; None for an abstention, a tie and what is not known yet."""
        if self.direction is None or self.came is None or self.last_close is None:
            return None
        return (
            None
            if self.came == self.last_close
            else (self.came > self.last_close) == (self.direction == "up")
        )

    @property
    def tie(self) -> bool:
        """Whether the next close was the last one again."""
        return self.came is not None and self.came == self.last_close

    @property
    def error_bps(self) -> float | None:
        """|called close - close that came| over the last close, in basis points."""
        if self.close is None or self.came is None or not self.last_close:
            return None
        return abs(self.close - self.came) / self.last_close * 1e4


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """How often calls of a confidence from `low` to `high` were right so far."""

    low: float
    high: float
    n: int
    hits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreView:
    """Accuracy close to close with its 95% interval, days as clusters; None where there is none yet."""

    n: int = 0
    hits: int = 0
    ties: int = 0
    pending: int = 0
    abstentions: int = 0
    low: float | None = None
    high: float | None = None
    error_bps: float | None = None
    buckets: tuple[Bucket, ...] = ()
    reasons: tuple[tuple[str, int], ...] = ()

    @property
    def accuracy(self) -> float | None:
        """The share of hits."""
        return self.hits / self.n if self.n else None
