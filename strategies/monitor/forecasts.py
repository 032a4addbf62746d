"""Forecasts joined with their outcomes, from the events of a journal; the past is kept as counts only.

The outcome of a call is the last close that the next call on its symbol states: every close is followed by a
call or an abstention.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta

from engine.corporate_actions import Split
from engine.journal.events.outputs import PredictionRecord
from engine.metrics.accuracy import proportion_ci
from engine.model import Abstention
from strategies.monitor.views import Bucket, CallView, ScoreView

KEPT = 300
_WIDTH = 0.05
_BUCKETS = 10


class ForecastTracker:
    """Keeps the last calls and the score of all."""

    def __init__(self) -> None:
        self._kept: dict[int, CallView] = {}
        self._open: dict[str, CallView] = {}
        self._days: dict[date, list[int]] = {}
        self._buckets = [[0, 0] for _ in range(_BUCKETS)]
        self._ties = self._abstained = self._known = 0
        self._error = 0.0
        self._reasons: Counter[str] = Counter()
        self._bounds: tuple[int, tuple[float, float] | None] = (-1, None)

    def add(self, seq: int, record: PredictionRecord) -> None:
        """Add a prediction, which settles the one before it on its symbol."""
        stated = record.call
        abstained = isinstance(stated, Abstention)
        call = CallView(
            seq=seq,
            symbol=stated.symbol[:40],
            as_of=stated.as_of,
            direction=None if isinstance(stated, Abstention) else stated.direction.value,
            confidence=None if isinstance(stated, Abstention) else stated.confidence,
            close=None if isinstance(stated, Abstention) else stated.close,
            last_close=stated.last_close,
            abstention=stated.reason[:300] if isinstance(stated, Abstention) else None,
            adapter=record.adapter[:64] if record.adapter else None,
        )
        before = self._open.get(call.symbol)
        if before is not None and before.as_of < call.as_of:
            self._settle(before, replace(before, came=call.last_close, came_at=call.as_of))
        self._open[call.symbol] = call
        self._kept[call.seq] = call
        if len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
        if abstained:
            self._abstained += 1
            self._reasons[(call.abstention or "no reason").split(":")[0][:60]] += 1
            if len(self._reasons) > 100:
                self._reasons = Counter(dict(self._reasons.most_common(50)))

    def split(self, split: Split) -> None:
        """Restate the open call of a symbol whose prices are in other units from here on."""
        call = self._open.get(split.symbol[:40])
        if call is None or call.last_close is None or call.as_of > split.at:
            return
        ratio = split.ratio
        close = None if call.close is None else call.close / ratio
        self._swap(call, replace(call, close=close, last_close=call.last_close / ratio))

    def last(self) -> tuple[CallView, ...]:
        """Return the last calls, oldest first, with their outcomes."""
        return tuple(self._kept.values())

    @property
    def newest(self) -> Mapping[str, CallView]:
        """Return the newest call of each symbol."""
        return self._open

    def view(self) -> ScoreView:
        """Return the score so far."""
        n = sum(count for _, count in self._days.values())
        if self._bounds[0] != n:
            clusters = [(right, count) for right, count in self._days.values() if count]
            self._bounds = n, proportion_ci(clusters)
        bounds = self._bounds[1]
        return ScoreView(
            n=n,
            hits=sum(right for right, _ in self._days.values()),
            ties=self._ties,
            pending=sum(call.direction is not None for call in self._open.values()),
            abstentions=self._abstained,
            low=bounds[0] if bounds else None,
            high=bounds[1] if bounds else None,
            error_bps=self._error / self._known if self._known else None,
            buckets=tuple(
                Bucket(low=0.5 + place * _WIDTH, high=0.5 + (place + 1) * _WIDTH, n=count, hits=right)
                for place, (right, count) in enumerate(self._buckets)
            ),
            reasons=tuple(self._reasons.most_common(5)),
        )

    def _settle(self, before: CallView, after: CallView) -> None:
        self._swap(before, after)
        if after.direction is None:
            return
        if (error := after.error_bps) is not None:
            self._error += error
            self._known += 1
        if after.hit is None:
            self._ties += 1
            return
        day = (
            after.as_of - timedelta(microseconds=1)
        ).date()  # the cluster of `engine.metrics.accuracy.decision_day`
        place = bucket_index(after.confidence)
        for counts in (self._days.setdefault(day, [0, 0]), self._buckets[place]):
            counts[0] += after.hit
            counts[1] += 1

    def _swap(self, before: CallView, after: CallView) -> None:
        self._open[before.symbol] = after
        if before.seq in self._kept:
            self._kept[before.seq] = after


def bucket_index(confidence: float | None) -> int:
    """Return the index of a confidence among the buckets from 0.5 to 1."""
    return min(_BUCKETS - 1, max(0, int(((confidence or 0.5) - 0.5) / _WIDTH + 1e-9)))
