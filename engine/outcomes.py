"""Match predictions with what the market did afterwards."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from engine.calendars import Calendar
from engine.errors import DataError
from engine.model import Bar, Observation, Prediction, require_utc


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The next bar of a prediction's symbol, and the open after it once that is known.

    Prices are in the quote currency, returns are fractions. `next_close` is known at `known_at`, the instant
    that bar closes. A position taken on the prediction is held from `fill_open` (that bar's open) to
    `exit_open` (the following bar's open), known at `open_known_at`; both are None until then.
    """

    symbol: str
    as_of: datetime
    last_close: float
    next_close: float
    known_at: datetime
    fill_open: float
    exit_open: float | None
    open_known_at: datetime | None

    def __post_init__(self) -> None:
        require_utc(self.as_of, "as_of")
        require_utc(self.known_at, "known_at")
        if self.known_at <= self.as_of:
            raise ValueError(f"known_at {self.known_at} is not after as_of {self.as_of}")
        if (self.exit_open is None) != (self.open_known_at is None):
            raise ValueError("exit_open and open_known_at are known together or not at all")

    @property
    def tie(self) -> bool:
        """Whether the next close equals the last one: neither a hit nor a miss."""
        return self.next_close == self.last_close

    @property
    def close_return(self) -> float:
        """The return from the last close to the next."""
        return self.next_close / self.last_close - 1.0

    @property
    def open_return(self) -> float | None:
        """The return from the next open to the one after it, or None while that is not known."""
        return None if self.exit_open is None else self.exit_open / self.fill_open - 1.0

    @property
    def tie_open(self) -> bool:
        """Whether the two opens are known and equal."""
        return self.exit_open == self.fill_open


Scored = tuple[Prediction, Outcome | None]
"""A prediction and its outcome; None while its next bar has not closed."""


def match_outcomes(
    predictions: Iterable[Prediction],
    bars: Mapping[str, Sequence[Bar]],
    calendars: Mapping[str, Calendar] | None = None,
) -> list[Scored]:
    """Pair each prediction, in the order given, with its outcome; None while its next bar is not known.

    A prediction belongs to the bar that closes at its `as_of`.

    Args:
        predictions: The predictions.
        bars: The closed bars of each symbol, oldest first.
        calendars: The calendar of each symbol; without one every next bar is an outcome (`OutcomeFinder`).

    Raises:
        DataError: For bars out of order, a prediction without a bar of its own, and a bar whose close is not
            the prediction's `last_close`: such predictions were made on other data.
    """
    return list(OutcomeFinder(bars, calendars).match(predictions))


class OutcomeFinder:
    """Matches the predictions of several forecasters; those made at one close share its outcome.

    The next close is that of the session which the symbol's calendar has next. Where the next bar is of a
    later session, as after a suspension, there was no next close: the prediction has no outcome, as an order
    due at the missing open expires, and `is_suspended` says so.

    Args:
        bars: The closed bars of each symbol, oldest first.
        calendars: The calendar of each symbol; without one every next bar is an outcome.
    """

    def __init__(
        self, bars: Mapping[str, Sequence[Bar]], calendars: Mapping[str, Calendar] | None = None
    ) -> None:
        self._bars = bars
        self._calendars = calendars or {}
        self._places: dict[str, dict[datetime, int]] = {}
        self._known: dict[str, list[Outcome | None]] = {}

    def match(self, predictions: Iterable[Prediction]) -> Iterator[Scored]:
        """Yield each prediction with its outcome. Raises DataError as `match_outcomes` does."""
        return ((prediction, self.find(prediction)) for prediction in predictions)

    def find(self, prediction: Prediction | Observation) -> Outcome | None:
        """Return the outcome of a prediction or an observation; None while it is not known or suspended."""
        place = self._find_place(prediction)
        series, known = self._bars.get(prediction.symbol, ()), self._known[prediction.symbol]
        if known[place] is None and not self._skips_session(prediction.symbol, place):
            known[place] = _build_outcome(series, place)
        return known[place]

    def is_suspended(self, prediction: Prediction | Observation) -> bool:
        """Return whether the next bar of a prediction's symbol is of a later session than the next."""
        return self._skips_session(prediction.symbol, self._find_place(prediction))

    def _find_place(self, prediction: Prediction | Observation) -> int:
        symbol = prediction.symbol
        series = self._bars.get(symbol, ())
        if symbol not in self._places:
            self._places[symbol] = _index_by_close(symbol, series)
            self._known[symbol] = [None] * len(series)
        return _place_of(prediction, series, self._places[symbol].get(prediction.as_of))

    def _skips_session(self, symbol: str, place: int) -> bool:
        calendar, series = self._calendars.get(symbol), self._bars[symbol]
        if calendar is None or place + 1 >= len(series):
            return False
        try:
            return series[place + 1].opens_at > calendar.next_open(series[place].closes_at)
        except DataError:
            return False  # the calendar ends here, so nothing says that a session is missing


def _index_by_close(symbol: str, bars: Sequence[Bar]) -> dict[datetime, int]:
    for earlier, later in pairwise(bars):
        if later.opens_at < earlier.closes_at:
            raise DataError(
                f"{symbol}: the bar closing at {later.closes_at} opens before the one listed ahead of it "
                f"closes; sort the bars by time and remove duplicates"
            )
    return {bar.closes_at: place for place, bar in enumerate(bars)}


def _place_of(prediction: Prediction | Observation, bars: Sequence[Bar], place: int | None) -> int:
    symbol, as_of = prediction.symbol, prediction.as_of
    if place is None:
        raise DataError(
            f"{symbol}: no bar closes at {as_of}, the time of a prediction; score it with its own data"
        )
    last = bars[place].close
    if not math.isclose(last, prediction.last_close, rel_tol=1e-9):
        raise DataError(
            f"{symbol}: the bar at {as_of} closes at {last} but the prediction was made at "
            f"{prediction.last_close}; score it with its own data"
        )
    return place


def _build_outcome(bars: Sequence[Bar], place: int) -> Outcome | None:
    if place + 1 >= len(bars):
        return None
    made_at = bars[place]
    following = bars[place + 1]
    after = bars[place + 2] if place + 2 < len(bars) else None
    return Outcome(
        symbol=made_at.symbol,
        as_of=made_at.closes_at,
        last_close=made_at.close,
        next_close=following.close,
        known_at=following.closes_at,
        fill_open=following.open,
        exit_open=None if after is None else after.open,
        open_known_at=None if after is None else after.opens_at,
    )
