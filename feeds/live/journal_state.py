"""The state of a collector, which comes from its journal alone.

What is read from the journal at a start and what was just appended go through the same code.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from engine.calendars import Session
from engine.journal.canonical import canonical_json
from engine.journal.events import Kind, StoredEvent, decode
from engine.journal.events.inputs import (
    ClockMeasured,
    Collecting,
    Correction,
    Gap,
    Refused,
    SliceRecord,
    SourceState,
    encode_bar_values,
)
from engine.journal.journal import Event, Journal
from engine.model import Bar, NewsItem, Phase
from feeds.live.events import encode_close_slice, encode_correction, encode_open_slice
from feeds.live.protocols import Opening
from feeds.live.schedule import Key, slice_key

KINDS = (
    Kind.COLLECTING,
    Kind.SLICE,
    Kind.GAP,
    Kind.CORRECTION,
    Kind.NEWS,
    Kind.CLOCK,
    Kind.SOURCE,
    Kind.REFUSED,
)

_KEPT = 60
_NEVER = datetime.min.replace(tzinfo=UTC)
_T = TypeVar("_T")


class JournalEntry(NamedTuple):
    """An event just appended, its payload as the journal will hand it back."""

    kind: str
    as_of: datetime
    payload: Mapping[str, Any]

    @classmethod
    def from_event(cls, event: Event) -> "JournalEntry":
        """Return the event as the journal will hand it back."""
        return cls(event.kind, event.as_of, json.loads(canonical_json(event.payload)))


class BarPart(NamedTuple):
    """Half a bar of one symbol: what is known at its open, or what is known at its close."""

    at: datetime
    rank: int
    symbol: str
    opens_at: datetime
    closes_at: datetime

    @property
    def phase(self) -> Phase:
        """OPEN or CLOSE."""
        return Phase.OPEN if self.rank else Phase.CLOSE


@dataclass(slots=True, kw_only=True)
class JournalState:
    """The state that follows from the journal's events.

    `cursor` is the newest slice of the schedule that was journaled or named as a gap, `last` the newest
    slice in the journal. `closed` holds [open, high, low, close, volume] as last stated, `opened` the
    official opens, both by symbol and `opens_at` for the newest sessions. `missing` are gaps that may
    still be filled; `offsets` are in seconds by source.
    """

    since: datetime | None = None
    cursor: Key = (_NEVER, -1)
    last: Key = (_NEVER, -1)
    closed: dict[str, dict[datetime, list[float]]] = field(default_factory=dict)
    opened: dict[str, dict[datetime, float | None]] = field(default_factory=dict)
    missing: set[BarPart] = field(default_factory=set)
    seen: set[tuple[str, str]] = field(default_factory=set)
    waiting: dict[tuple[str, str], NewsItem] = field(default_factory=dict)
    offsets: dict[str, float] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    refused: set[Refused] = field(default_factory=set)

    def catch_up(self, journal: Journal) -> None:
        """Apply all that a collector has journaled."""
        for row in journal.read(kinds=KINDS):
            self.apply(row)

    def apply(self, event: StoredEvent) -> None:
        """Apply an event; kinds other than `KINDS` change nothing. Raises JournalError."""
        if event.kind not in KINDS:
            return
        match decode(event):
            case Collecting() as collecting if self.since is None:
                self.since = collecting.since
                # What closes just then belongs to a session from before.
                self.cursor = slice_key(self.since, Phase.CLOSE)
            case SliceRecord() as record:
                self._add_slice(record)
            case Gap() as gap:
                self._add_gap(gap)
            case Correction() as correction:
                self._add_correction(correction)
            case NewsItem() as item:
                self.seen.add((item.source, item.id))
                self.waiting[item.source, item.id] = item
            case ClockMeasured() as clock:
                self.offsets[clock.source] = clock.offset_seconds
            case SourceState() as source:
                (self.down.add if source.state == "down" else self.down.discard)(source.source)
            case Refused() as refused:
                self.refused.add(refused)

    def is_expected(self, bar: Bar) -> bool:
        """Return whether a closed bar is wanted: not journaled yet and still looked for, or now different."""
        stated = self.closed.get(bar.symbol, {}).get(bar.opens_at)
        if stated is not None:
            return stated != [bar.open, bar.high, bar.low, bar.close, bar.volume]
        part = close_part(bar.symbol, bar.opens_at, bar.closes_at)
        return part[:2] > self.cursor or part in self.missing

    def _add_slice(self, record: SliceRecord) -> None:
        slice_ = record.slice
        self.last = slice_key(slice_.as_of, slice_.phase)
        for symbol, bar in slice_.bars.items():
            if slice_.phase is Phase.CLOSE:
                _keep_recent(self.closed.setdefault(symbol, {}), bar.opens_at, encode_bar_values(bar))
                self.missing.discard(close_part(symbol, bar.opens_at, bar.closes_at))
                self._move_to(slice_key(bar.closes_at, slice_.phase))
            else:
                official = (record.official or {}).get(symbol)
                _keep_recent(self.opened.setdefault(symbol, {}), bar.opens_at, official)
                self._move_to(slice_key(bar.opens_at, slice_.phase))
            # An open that is journaled, or stated by the close, is looked for no longer.
            self.missing.discard(open_part(symbol, bar.opens_at, bar.closes_at))
        for item in slice_.news:
            self.waiting.pop((item.source, item.id), None)

    def _add_gap(self, gap: Gap) -> None:
        if gap.lacks == "calendar":
            self.ended.add(gap.symbol)
        if gap.session is None:
            return
        part = (close_part if gap.lacks == "bar" else open_part)(gap.symbol, *gap.session)
        if gap.lacks in ("bar", "open"):
            self.missing.add(part)
        self._move_to(part[:2])

    def _add_correction(self, correction: Correction) -> None:
        symbol, opens_at = correction.symbol, correction.session[0]
        if correction.phase is Phase.CLOSE:
            self.closed[symbol][opens_at] = list(correction.now)
        else:
            self.opened[symbol][opens_at] = correction.now[0]

    def _move_to(self, key: Key) -> None:
        self.cursor = max(self.cursor, key)


def open_part(symbol: str, opens_at: datetime, closes_at: datetime) -> BarPart:
    """Return the part of a bar that is known at the open of its session."""
    return BarPart(*slice_key(opens_at, Phase.OPEN), symbol, opens_at, closes_at)


def close_part(symbol: str, opens_at: datetime, closes_at: datetime) -> BarPart:
    """Return the part of a bar that is known at the close of its session."""
    return BarPart(*slice_key(closes_at, Phase.CLOSE), symbol, opens_at, closes_at)


def _keep_recent(kept: dict[datetime, _T], opens_at: datetime, value: _T) -> None:
    kept[opens_at] = value
    if len(kept) > _KEPT:
        del kept[min(kept)]


_RECENT = 5
_TICK = timedelta(milliseconds=1)


class CollectorJournal:
    """The journal of a collector, and its state in `memory`."""

    def __init__(
        self,
        journal: Journal,
        memory: JournalState,
        clock: Callable[[], datetime],
        on_journaled: Callable[[Sequence[StoredEvent]], None] | None = None,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._on_journaled = on_journaled
        self.memory = memory
        memory.catch_up(journal)

    def append(self, events: Sequence[Event]) -> bool:
        """Commit the events together, without refusals that are journaled already; return whether any was."""
        entries = [(event, JournalEntry.from_event(event)) for event in events]
        fresh = [
            (event, entry)
            for event, entry in entries
            if not (entry.kind == Kind.REFUSED and decode(entry) in self.memory.refused)
        ]
        if fresh:
            self._journal.append([event for event, _ in fresh], self._clock())
            journaled = [entry for _, entry in fresh]
            for entry in journaled:
                self.memory.apply(entry)
            if self._on_journaled:
                self._on_journaled(journaled)
        return bool(fresh)

    def close_events(self, at: datetime, bars: Mapping[str, Bar], *, late: bool) -> list[Event]:
        """Return the CLOSE slice of `bars` and the corrections of their official opens; none without bars."""
        if not bars:
            return []
        as_of = self._order_instant(slice_key(at, Phase.CLOSE))
        events = [encode_close_slice(as_of, bars, self.memory.waiting.values(), late=late)]
        for symbol, bar in bars.items():
            opened = self.memory.opened.get(symbol, {})
            if opened.get(bar.opens_at, bar.open) != bar.open:
                events.append(encode_correction(as_of, bar, Phase.OPEN, [opened[bar.opens_at]]))
        return events

    def open_events(
        self,
        at: datetime,
        openings: Mapping[str, Opening],
        sessions: Mapping[str, Session],
        *,
        late: bool,
    ) -> list[Event]:
        """Return the OPEN slice of `openings`; nothing without any."""
        if not openings:
            return []
        as_of = self._order_instant(slice_key(at, Phase.OPEN))
        return [encode_open_slice(as_of, openings, sessions, self.memory.waiting.values(), late=late)]

    def recent_open(self, symbol: str, at: datetime) -> datetime:
        """Return the open of the fifth newest closed bar in the journal, or `at` where there is none.

        A holiday may be longer than any look back.
        """
        return min(sorted(self.memory.closed.get(symbol, {}))[-_RECENT:], default=at)

    def contains(self, bar: Bar) -> bool:
        """Return whether the session's closed bar is in the journal, with these values or with others."""
        return bar.opens_at in self.memory.closed.get(bar.symbol, {})

    def correction_events(self, bars: Iterable[Bar], market: datetime) -> list[Event]:
        """Return the corrections of bars that are in the journal with other values."""
        closed = self.memory.closed
        return [encode_correction(market, bar, Phase.CLOSE, closed[bar.symbol][bar.opens_at]) for bar in bars]

    def _order_instant(self, key: Key) -> datetime:
        """Return the instant itself, or just after the newest slice where that is later."""
        return key[0] if key > self.memory.last else self.memory.last[0] + _TICK
