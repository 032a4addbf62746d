"""Writes a collector's findings into the journal, each slice in its place in the order of time.

Knows what was journaled before; it knows no source. `clock` is this machine's, for `recorded_at`.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from engine.calendars import Session
from engine.digests import canonical_json
from engine.journal import Event, Journal
from engine.values import Bar, Phase
from feeds.live import facts
from feeds.live.memory import Memory, Told, refusal
from feeds.live.schedule import Key, key_of
from feeds.live.sources import Opening

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
