"""A stock exchange's days as a data service shows them at a moment: closed ones, the running one, the last
trade. Knows a calendar and rows, no wire format.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from engine.calendars import Calendar, Session
from tests.support.servers.faults import TextRow

PROVISIONAL = timedelta(minutes=5)


@dataclass(kw_only=True)
class Tape:
    """The rows of each symbol, as they are at `now`, which the test moves.

    Until five minutes after the close a day's close and volume are not yet what they will be. `lag` is how
    far the last trade that the service tells of lies behind.
    """

    calendar: Calendar
    rows: Mapping[str, Sequence[TextRow]]
    now: datetime
    lag: timedelta = timedelta(0)
    extra: dict[str, list[TextRow]] = field(default_factory=dict)

    def visible_rows(self, symbol: str) -> list[TextRow]:
        """The days that have begun, the running one as it stands, and what the test added."""
        rows = [row for row in self.rows.get(symbol, ()) if self._session(row)[0] <= self.now - self.lag]
        return sorted([*map(self._provisional_row, rows), *self.extra.get(symbol, ())])

    def last(self, symbol: str) -> tuple[float, datetime]:
        """The last trade that the service knows."""
        row = max(row for row in self.rows[symbol] if self._session(row)[0] <= self.now - self.lag)
        return float(self._provisional_row(row)[4]), min(self.now - self.lag, self._session(row)[1])

    def _session(self, row: TextRow) -> Session:
        session = self.calendar.session(datetime.fromtimestamp(row[0] / 1000, UTC).date())
        assert session is not None, f"the calendar has no session for {row}"
        return session

    def _provisional_row(self, row: TextRow) -> TextRow:
        opens_at, closes_at = self._session(row)
        if self.now >= closes_at + PROVISIONAL:
            return row
        start, open_, _, _, close, volume = row
        part = min(1.0, (self.now - opens_at) / (closes_at - opens_at)) * 0.9
        price = float(open_) + (float(close) - float(open_)) * part
        high, low = max(price, float(open_)), min(price, float(open_))
        return (start, open_, repr(high), repr(low), repr(price), repr(round(float(volume) * part)))
