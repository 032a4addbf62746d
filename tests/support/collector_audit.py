"""Check a collector's journal, row by row as it is written, against the true market."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from engine.calendars import Calendar
from engine.instruments import Instrument
from engine.journal.events import decode
from engine.journal.events.inputs import encode_bar_values
from engine.journal.journal import Row
from engine.model import Bar, Phase

_JITTER = timedelta(seconds=3)
_Key = tuple[str, datetime]


class Audit:
    """What was journaled so far, and what was wrong with it, one line each in `problems`."""

    def __init__(self, bars: Mapping[str, Sequence[Bar]], late_after: timedelta) -> None:
        self._late_after = late_after + _JITTER
        self._true = {(bar.symbol, bar.opens_at): bar for series in bars.values() for bar in series}
        self._last: tuple[datetime, int] | None = None
        self.problems: list[str] = []
        self.counts: Counter[str] = Counter()
        self.closed: dict[_Key, list[float]] = {}
        self.opened: dict[_Key, float | None] = {}
        self.corrected: set[tuple[str, datetime, str]] = set()
        self.gaps: set[tuple[str, datetime, str]] = set()
        self.news: dict[tuple[str, str], datetime] = {}

    def apply(self, row: Row, now: datetime) -> None:
        """Check a row that was appended at the true time `now`."""
        self.counts[row.kind] += 1
        if row.kind == "slice":
            self._slice(row, now)
        elif row.kind == "gap" and row.payload["session"]:
            opens_at = datetime.fromisoformat(row.payload["session"][0])
            self.gaps.add((row.payload["symbol"], opens_at, row.payload["lacks"]))
        elif row.kind == "correction":
            self._correction(row)
        elif row.kind == "quote":
            for symbol, (price, at) in row.payload["quotes"].items():
                self._check_price(symbol, price, datetime.fromisoformat(at), now)

    def compare(
        self,
        instruments: Mapping[str, Instrument],
        calendars: Mapping[str, Calendar],
        since: datetime,
        until: datetime,
    ) -> None:
        """Check that every session from `since` to `until` is journaled or named as a gap."""
        for symbol, instrument in instruments.items():
            for days in range((until - since).days + 1):
                session = calendars[instrument.calendar].session((since + timedelta(days=days)).date())
                if session and since <= session[0] and session[1] <= until:
                    self._compare(symbol, session[0])

    def _compare(self, symbol: str, opens_at: datetime) -> None:
        key, bar = (symbol, opens_at), self._true.get((symbol, opens_at))
        if key not in self.closed:
            self._expect((*key, "bar") in self.gaps, f"{symbol} {opens_at}: no bar and no gap")
        elif bar and self.closed[key] != encode_bar_values(bar):
            self.problems.append(
                f"{symbol} {opens_at}: journaled {self.closed[key]}, true {encode_bar_values(bar)}"
            )
        official = self.opened.get(key)
        if official is None:
            named = {(*key, "open"), (*key, "official")} & self.gaps
            self._expect(bool(named), f"{symbol} {opens_at}: no open and no gap")
        elif bar and official != bar.open:
            self._expect(key not in self.closed, f"{symbol} {opens_at}: official open {official} stands")

    def _slice(self, row: Row, now: datetime) -> None:
        record = decode(row)
        slice_, late = record.slice, record.late
        place = row.as_of, 0 if slice_.phase is Phase.CLOSE else 1
        self._expect(self._last is None or place > self._last, f"slice {row.seq} goes back in time")
        self._expect(row.as_of <= now + _JITTER, f"slice {row.seq} is from the future")
        self._last = place
        self.counts["late"] += late
        for symbol, bar in slice_.bars.items():
            at = bar.closes_at if slice_.phase is Phase.CLOSE else bar.opens_at
            self._expect(at <= now, f"{symbol} {at}: journaled before it was known")
            self._expect(late or at == row.as_of, f"{symbol} {at}: journaled at {row.as_of}, but not as late")
            self._expect(late or now <= at + self._late_after, f"{symbol} {at}: late, but not marked")
            self._expect((symbol, bar.opens_at) in self._true, f"{symbol} {bar.opens_at}: invented")
            key = symbol, bar.opens_at
            if slice_.phase is Phase.CLOSE:
                self._expect(key not in self.closed, f"{symbol} {bar.opens_at}: closed twice")
                self.closed[key] = encode_bar_values(bar)
            else:
                self._expect(key not in self.opened, f"{symbol} {bar.opens_at}: opened twice")
                self._open(key, row, now)
        for item in slice_.news:
            self._expect(item.available_at <= row.as_of, f"news {item.id} rides before it was available")
            self._expect((item.source, item.id) not in self.news, f"news {item.id} rides twice")
            self.news[item.source, item.id] = row.as_of

    def _open(self, key: _Key, row: Row, now: datetime) -> None:
        symbol, opens_at = key
        self.opened[key] = row.payload["official"][symbol]
        if observed := row.payload["observed"][symbol]:
            at = datetime.fromisoformat(observed[1])
            self._expect(at >= opens_at, f"{symbol} {at}: observed before the open")
            self._check_price(symbol, observed[0], at, now)

    def _correction(self, row: Row) -> None:
        symbol, opens_at = row.payload["symbol"], datetime.fromisoformat(row.payload["session"][0])
        stated = self.closed.get((symbol, opens_at))
        if row.payload["phase"] == Phase.CLOSE:
            self._expect(stated == row.payload["was"], f"{symbol} {opens_at}: corrects what was not stated")
            self.closed[symbol, opens_at] = row.payload["now"]
        else:
            self.opened[symbol, opens_at] = row.payload["now"][0]
        self.corrected.add((symbol, opens_at, row.payload["phase"]))

    def _check_price(self, symbol: str, price: float, at: datetime, now: datetime) -> None:
        self._expect(at <= now, f"{symbol} {at}: a price from the future")
        within = [self._true[symbol, opens] for opens in self._sessions_between(symbol, at)]
        right = any(bar.low <= price <= bar.high for bar in within)
        self._expect(right, f"{symbol} {at}: price {price} was never traded")

    def _sessions_between(self, symbol: str, at: datetime) -> list[datetime]:
        days = (at - timedelta(hours=n) for n in range(25))
        hours = {day.replace(minute=minute, second=0, microsecond=0) for day in days for minute in (0, 30)}
        return [hour for hour in hours if (symbol, hour) in self._true]

    def _expect(self, right: bool, problem: str) -> None:
        if not right:
            self.problems.append(problem)
