"""What a collector has journaled so far, read from the journal and from nowhere else.

Starting anew and going on are one path: what is read from the journal and what has just been appended is
folded in by the same code. Knows the payloads of the collector's events, and neither sources nor time.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from engine.calendars import Session
from engine.journal.canonical import canonical_json
from engine.journal.events import decode_news
from engine.journal.journal import Event, Journal
from engine.model import Bar, NewsItem, Phase
from feeds.live import events as facts
from feeds.live.protocols import Opening
from feeds.live.schedule import Key, slice_key

KINDS = ("collecting", "slice", "gap", "correction", "news", "clock", "source", "refused")

_KEPT = 60

_NEVER = datetime.min.replace(tzinfo=UTC)

_T = TypeVar("_T")


class JournalEntry(NamedTuple):
    """An event of the journal, its payload as the journal hands it back."""

    kind: str
    as_of: datetime
    payload: Mapping[str, Any]


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
    """The state that the journal's events add up to.

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
    refused: set[tuple[str, str, str]] = field(default_factory=set)

    def catch_up(self, journal: Journal) -> None:
        """Fold in all that a collector has journaled."""
        for row in journal.read(kinds=KINDS):
            self.apply(JournalEntry(row.kind, row.as_of, row.payload))

    def apply(self, entry: JournalEntry) -> None:
        """Take in an event; other kinds than `KINDS` say nothing here."""
        if entry.kind in KINDS:
            getattr(self, f"_{entry.kind}")(entry)

    def is_expected(self, bar: Bar) -> bool:
        """Whether a closed bar is news: not journaled yet and not past looking for, or now different."""
        stated = self.closed.get(bar.symbol, {}).get(bar.opens_at)
        if stated is not None:
            return stated != [bar.open, bar.high, bar.low, bar.close, bar.volume]
        fact = close_part(bar.symbol, bar.opens_at, bar.closes_at)
        return fact[:2] > self.cursor or fact in self.missing

    def _collecting(self, entry: JournalEntry) -> None:
        if self.since is None:
            self.since = datetime.fromisoformat(entry.payload["since"])
            # What closes just then belongs to a session from before.
            self.cursor = slice_key(self.since, Phase.CLOSE)

    def _slice(self, entry: JournalEntry) -> None:
        phase = Phase(entry.payload["phase"])
        self.last = slice_key(entry.as_of, phase)
        for symbol, values in entry.payload["bars"].items():
            opens_at, closes_at = map(datetime.fromisoformat, entry.payload["sessions"][symbol])
            if phase is Phase.CLOSE:
                _keep_recent(self.closed.setdefault(symbol, {}), opens_at, values)
                self.missing.discard(close_part(symbol, opens_at, closes_at))
                self._move_to(slice_key(closes_at, phase))
            else:
                official = entry.payload["official"].get(symbol)
                _keep_recent(self.opened.setdefault(symbol, {}), opens_at, official)
                self._move_to(slice_key(opens_at, phase))
            # An open that is journaled, or stated by the close, is looked for no longer.
            self.missing.discard(open_part(symbol, opens_at, closes_at))
        for item in entry.payload["news"]:
            self.waiting.pop((item["source"], item["id"]), None)

    def _gap(self, entry: JournalEntry) -> None:
        lacks, symbol = entry.payload["lacks"], entry.payload["symbol"]
        if lacks == "calendar":
            self.ended.add(symbol)
            return
        opens_at, closes_at = map(datetime.fromisoformat, entry.payload["session"])
        make = close_part if lacks == "bar" else open_part
        fact = make(symbol, opens_at, closes_at)
        if lacks in ("bar", "open"):
            self.missing.add(fact)
        self._move_to(fact[:2])

    def _correction(self, entry: JournalEntry) -> None:
        symbol, opens_at = entry.payload["symbol"], datetime.fromisoformat(entry.payload["session"][0])
        if entry.payload["phase"] == Phase.CLOSE:
            self.closed[symbol][opens_at] = entry.payload["now"]
        else:
            self.opened[symbol][opens_at] = entry.payload["now"][0]

    def _news(self, entry: JournalEntry) -> None:
        item = decode_news(entry.payload)
        self.seen.add((item.source, item.id))
        self.waiting[item.source, item.id] = item

    def _clock(self, entry: JournalEntry) -> None:
        self.offsets[entry.payload["source"]] = entry.payload["offset_seconds"]

    def _source(self, entry: JournalEntry) -> None:
        change = self.down.add if entry.payload["state"] == "down" else self.down.discard
        change(entry.payload["source"])

    def _refused(self, entry: JournalEntry) -> None:
        self.refused.add(refusal_key(entry.payload))

    def _move_to(self, key: Key) -> None:
        self.cursor = max(self.cursor, key)


def open_part(symbol: str, opens_at: datetime, closes_at: datetime) -> BarPart:
    """The fact that is known at the open of a session."""
    return BarPart(*slice_key(opens_at, Phase.OPEN), symbol, opens_at, closes_at)


def close_part(symbol: str, opens_at: datetime, closes_at: datetime) -> BarPart:
    """The fact that is known at the close of a session."""
    return BarPart(*slice_key(closes_at, Phase.CLOSE), symbol, opens_at, closes_at)


def refusal_key(payload: Mapping[str, Any]) -> tuple[str, str, str]:
    """What makes a refused value one that was refused before: symbol, session's open and reason."""
    return payload["symbol"], payload["opens_at"], payload["reason"]


def _keep_recent(kept: dict[datetime, _T], opens_at: datetime, value: _T) -> None:
    kept[opens_at] = value
    if len(kept) > _KEPT:
        del kept[min(kept)]


_RECENT = 5

_TICK = timedelta(milliseconds=1)


class CollectorJournal:
    """The journal, and what it adds up to in `memory`."""

    def __init__(
        self,
        journal: Journal,
        memory: JournalState,
        clock: Callable[[], datetime],
        on_journaled: Callable[[Sequence[Event]], None] | None = None,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._on_journaled = on_journaled
        self.memory = memory
        memory.catch_up(journal)

    def append(self, events: Sequence[Event]) -> bool:
        """Commit the events together, but for refusals that stand in the journal; whether there were any."""
        fresh = [
            each
            for each in events
            if each.kind != "refused" or refusal_key(each.payload) not in self.memory.refused
        ]
        if fresh:
            self._journal.append(fresh, self._clock())
            for each in fresh:
                payload = json.loads(canonical_json(each.payload))
                self.memory.apply(JournalEntry(each.kind, each.as_of, payload))
            if self._on_journaled:
                self._on_journaled(fresh)
        return bool(fresh)

    def append_close(self, at: datetime, bars: Mapping[str, Bar], *, late: bool) -> list[Event]:
        """The CLOSE slice of `bars` and the corrections of their official opens; nothing without bars."""
        if not bars:
            return []
        stamp = facts.SliceStamp(as_of=self._order_instant(slice_key(at, Phase.CLOSE)), late=late)
        events = [facts.encode_close_slice(stamp, bars, self.memory.waiting.values())]
        for symbol, bar in bars.items():
            opened = self.memory.opened.get(symbol, {})
            if opened.get(bar.opens_at, bar.open) != bar.open:
                events.append(facts.encode_open_correction(stamp.as_of, bar, opened[bar.opens_at]))
        return events

    def append_open(
        self,
        at: datetime,
        openings: Mapping[str, Opening],
        sessions: Mapping[str, Session],
        *,
        late: bool,
    ) -> list[Event]:
        """The OPEN slice of `openings`; nothing without any."""
        if not openings:
            return []
        stamp = facts.SliceStamp(as_of=self._order_instant(slice_key(at, Phase.OPEN)), late=late)
        return [facts.encode_open_slice(stamp, openings, sessions, self.memory.waiting.values())]

    def recent_open(self, symbol: str, at: datetime) -> datetime:
        """The open of the fifth newest closed bar in the journal: a holiday may be longer than any look back.

        It is `at` where there is none.
        """
        return min(sorted(self.memory.closed.get(symbol, {}))[-_RECENT:], default=at)

    def contains(self, bar: Bar) -> bool:
        """Whether the session's closed bar is in the journal, with these values or with others."""
        return bar.opens_at in self.memory.closed.get(bar.symbol, {})

    def append_corrections(self, bars: Iterable[Bar], market: datetime) -> list[Event]:
        """That these bars, which are in the journal, now differ."""
        return [
            facts.encode_correction(market, bar, self.memory.closed[bar.symbol][bar.opens_at]) for bar in bars
        ]

    def _order_instant(self, key: Key) -> datetime:
        """The instant itself, or just after the newest slice where that is later."""
        return key[0] if key > self.memory.last else self.memory.last[0] + _TICK
