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
from engine.journal.events import news_from_payload
from engine.journal.journal import Event, Journal
from engine.model import Bar, NewsItem, Phase
from feeds.live import events as facts
from feeds.live.protocols import Opening
from feeds.live.schedule import Key, key_of

KINDS = ("collecting", "slice", "gap", "correction", "news", "clock", "source", "refused")

_KEPT = 60

_NEVER = datetime.min.replace(tzinfo=UTC)

_T = TypeVar("_T")


class Told(NamedTuple):
    """An event of the journal, its payload as the journal hands it back."""

    kind: str
    as_of: datetime
    payload: Mapping[str, Any]


class Fact(NamedTuple):
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
class Memory:
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
    missing: set[Fact] = field(default_factory=set)
    seen: set[tuple[str, str]] = field(default_factory=set)
    waiting: dict[tuple[str, str], NewsItem] = field(default_factory=dict)
    offsets: dict[str, float] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    refused: set[tuple[str, str, str]] = field(default_factory=set)

    def catch_up(self, journal: Journal) -> None:
        """Fold in all that a collector has journaled."""
        for row in journal.read(kinds=KINDS):
            self.fold(Told(row.kind, row.as_of, row.payload))

    def fold(self, told: Told) -> None:
        """Take in an event; other kinds than `KINDS` say nothing here."""
        if told.kind in KINDS:
            getattr(self, f"_{told.kind}")(told)

    def expects(self, bar: Bar) -> bool:
        """Whether a closed bar is news: not journaled yet and not past looking for, or now different."""
        stated = self.closed.get(bar.symbol, {}).get(bar.opens_at)
        if stated is not None:
            return stated != [bar.open, bar.high, bar.low, bar.close, bar.volume]
        fact = closing(bar.symbol, bar.opens_at, bar.closes_at)
        return fact[:2] > self.cursor or fact in self.missing

    def _collecting(self, told: Told) -> None:
        if self.since is None:
            self.since = datetime.fromisoformat(told.payload["since"])
            # What closes just then belongs to a session from before.
            self.cursor = key_of(self.since, Phase.CLOSE)

    def _slice(self, told: Told) -> None:
        phase = Phase(told.payload["phase"])
        self.last = key_of(told.as_of, phase)
        for symbol, values in told.payload["bars"].items():
            opens_at, closes_at = map(datetime.fromisoformat, told.payload["sessions"][symbol])
            if phase is Phase.CLOSE:
                _keep(self.closed.setdefault(symbol, {}), opens_at, values)
                self.missing.discard(closing(symbol, opens_at, closes_at))
                self._move_to(key_of(closes_at, phase))
            else:
                official = told.payload["official"].get(symbol)
                _keep(self.opened.setdefault(symbol, {}), opens_at, official)
                self._move_to(key_of(opens_at, phase))
            # An open that is journaled, or stated by the close, is looked for no longer.
            self.missing.discard(opening(symbol, opens_at, closes_at))
        for item in told.payload["news"]:
            self.waiting.pop((item["source"], item["id"]), None)

    def _gap(self, told: Told) -> None:
        lacks, symbol = told.payload["lacks"], told.payload["symbol"]
        if lacks == "calendar":
            self.ended.add(symbol)
            return
        opens_at, closes_at = map(datetime.fromisoformat, told.payload["session"])
        make = closing if lacks == "bar" else opening
        fact = make(symbol, opens_at, closes_at)
        if lacks in ("bar", "open"):
            self.missing.add(fact)
        self._move_to(fact[:2])

    def _correction(self, told: Told) -> None:
        symbol, opens_at = told.payload["symbol"], datetime.fromisoformat(told.payload["session"][0])
        if told.payload["phase"] == Phase.CLOSE:
            self.closed[symbol][opens_at] = told.payload["now"]
        else:
            self.opened[symbol][opens_at] = told.payload["now"][0]

    def _news(self, told: Told) -> None:
        item = news_from_payload(told.payload)
        self.seen.add((item.source, item.id))
        self.waiting[item.source, item.id] = item

    def _clock(self, told: Told) -> None:
        self.offsets[told.payload["source"]] = told.payload["offset_seconds"]

    def _source(self, told: Told) -> None:
        change = self.down.add if told.payload["state"] == "down" else self.down.discard
        change(told.payload["source"])

    def _refused(self, told: Told) -> None:
        self.refused.add(refusal(told.payload))

    def _move_to(self, key: Key) -> None:
        self.cursor = max(self.cursor, key)


def opening(symbol: str, opens_at: datetime, closes_at: datetime) -> Fact:
    """The fact that is known at the open of a session."""
    return Fact(*key_of(opens_at, Phase.OPEN), symbol, opens_at, closes_at)


def closing(symbol: str, opens_at: datetime, closes_at: datetime) -> Fact:
    """The fact that is known at the close of a session."""
    return Fact(*key_of(closes_at, Phase.CLOSE), symbol, opens_at, closes_at)


def refusal(payload: Mapping[str, Any]) -> tuple[str, str, str]:
    """What makes a refused value one that was refused before: symbol, session's open and reason."""
    return payload["symbol"], payload["opens_at"], payload["reason"]


def _keep(kept: dict[datetime, _T], opens_at: datetime, value: _T) -> None:
    kept[opens_at] = value
    if len(kept) > _KEPT:
        del kept[min(kept)]


_RECENT = 5

_TICK = timedelta(milliseconds=1)


class Book:
    """The journal, and what it adds up to in `memory`."""

    def __init__(
        self,
        journal: Journal,
        memory: Memory,
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
            if each.kind != "refused" or refusal(each.payload) not in self.memory.refused
        ]
        if fresh:
            self._journal.append(fresh, self._clock())
            for each in fresh:
                payload = json.loads(canonical_json(each.payload))
                self.memory.fold(Told(each.kind, each.as_of, payload))
            if self._on_journaled:
                self._on_journaled(fresh)
        return bool(fresh)

    def close(self, at: datetime, bars: Mapping[str, Bar], *, late: bool) -> list[Event]:
        """The CLOSE slice of `bars` and the corrections of their official opens; nothing without bars."""
        if not bars:
            return []
        stamp = facts.Stamp(as_of=self._place(key_of(at, Phase.CLOSE)), late=late)
        events = [facts.close_slice(stamp, bars, self.memory.waiting.values())]
        for symbol, bar in bars.items():
            opened = self.memory.opened.get(symbol, {})
            if opened.get(bar.opens_at, bar.open) != bar.open:
                events.append(facts.open_correction(stamp.as_of, bar, opened[bar.opens_at]))
        return events

    def open(
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
        stamp = facts.Stamp(as_of=self._place(key_of(at, Phase.OPEN)), late=late)
        return [facts.open_slice(stamp, openings, sessions, self.memory.waiting.values())]

    def recent(self, symbol: str, at: datetime) -> datetime:
        """The open of the fifth newest closed bar in the journal: a holiday may be longer than any look back.

        It is `at` where there is none.
        """
        return min(sorted(self.memory.closed.get(symbol, {}))[-_RECENT:], default=at)

    def has(self, bar: Bar) -> bool:
        """Whether the session's closed bar is in the journal, with these values or with others."""
        return bar.opens_at in self.memory.closed.get(bar.symbol, {})

    def corrections(self, bars: Iterable[Bar], market: datetime) -> list[Event]:
        """That these bars, which are in the journal, now differ."""
        return [facts.correction(market, bar, self.memory.closed[bar.symbol][bar.opens_at]) for bar in bars]

    def _place(self, key: Key) -> datetime:
        """The instant itself, or just after the newest slice where that is later."""
        return key[0] if key > self.memory.last else self.memory.last[0] + _TICK
