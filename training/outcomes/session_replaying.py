"""Rebuilds experience from the journal of a paper session: its inputs, and what was done about each.

Knows how sessions are kept; what their events amount to is told by `training.outcomes.recollection`.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.errors import JournalError
from engine.journal import Journal, Row
from engine.payloads import bar_from_dated, slice_from_payload
from engine.rates import Rates, RateSeries
from engine.splits import DIVIDEND, SPLIT, Split, corporate_from_payload
from engine.values import Call
from strategies.paper.effects import FILL, FORECAST, MARK, ORDER, STEP
from strategies.paper.opening import session_folder
from strategies.paper.settings import HISTORY, RATE, STARTED, SessionSettings, settings_from_payload
from strategies.paper.world import SLICE
from strategies.runs import JOURNAL
from training.outcomes.experience import Experience, Key
from training.outcomes.recollection import experiences_of
from training.outcomes.replaying import calendars_over, call_from_row
from training.outcomes.story import Story, record_from_payload

_INPUTS = (HISTORY, SLICE, SPLIT, DIVIDEND)
_EFFECTS = (FORECAST, ORDER, FILL, MARK, STEP)


def started_of(journal: Journal) -> Mapping[str, Any]:
    """How a session began. Raises JournalError for a journal that does not say."""
    first = next(journal.read(0), None)
    if first is None or first.kind != STARTED:
        raise JournalError(f"{journal.session} does not say how it was started; name a session")
    return first.payload


def from_session(journal: Journal, until: datetime | None = None) -> list[Experience]:
    """The experience of a session as it stood at `until` (None: now), by instant and symbol.

    Left out are decisions of which the student saw one unit and the outcome is in another, because a split
    came between, those whose step or next close a dividend changed, and those before a gap; a call that a
    limit or a person kept from being traded stays, as what it would have come to. Raises JournalError for a
    session that cannot be read or contradicts itself.
    """
    started = started_of(journal)
    settings = settings_from_payload(started)
    story, calls = Story(), dict[Key, Call]()
    for row in in_order(journal, until):
        try:
            _tell(row, settings, story, calls)
        except (KeyError, TypeError, ValueError) as error:
            raise JournalError(
                f"event {row.seq} ({row.kind}) of {journal.session} cannot be read; "
                "it was written by another version, use that one"
            ) from error
    return experiences_of(
        story,
        calls,
        instruments=settings.instruments,
        calendars=calendars_over(settings.instruments, story),
        costs=settings.costs,
        sizing=settings.sizing,
        rates=rates_of(journal, started, until),
        window=settings.window,
    )


def from_session_named(data_dir: Path, name: str) -> list[Experience]:
    """As `from_session`, of the session of that name in a data folder."""
    with Journal.open(session_folder(data_dir, name) / JOURNAL, name) as journal:
        return from_session(journal)


def rates_of(journal: Journal, started: Mapping[str, Any], until: datetime | None = None) -> Rates | None:
    """The rates that a session was told of, by `until` or at all; None where it has one currency."""
    if started["base"] is None:
        return None
    told: dict[str, dict[datetime, float]] = {}
    for row in journal.read(kinds=(RATE,)):
        if until is None or row.as_of <= until:
            told.setdefault(row.payload["currency"], {})[row.as_of] = row.payload["value"]
    series = {
        currency: RateSeries(known_at=tuple(sorted(known)), values=tuple(known[at] for at in sorted(known)))
        for currency, known in told.items()
    }
    return Rates(base=started["base"], constants=started["constants"], series=series)


def in_order(journal: Journal, until: datetime | None) -> Iterator[Row]:
    """Inputs known at `until`, each followed by what was done about it, wherever that stands.

    An input that nothing has been done about yet is not told of: its effects are still to come.
    """
    inputs = (row for row in journal.read(kinds=_INPUTS) if until is None or row.as_of <= until)
    waiting = next(inputs, None)
    for effect in journal.read(kinds=_EFFECTS):
        if until is not None and _instant(effect) > until:
            continue
        while waiting is not None and waiting.seq <= effect.payload["input"]:
            yield waiting
            waiting = next(inputs, None)
        yield effect


def _instant(row: Row) -> datetime:
    """When it was done; what follows from a person's command in a replay is dated by the person's clock."""
    said = row.payload.get("at") or row.payload.get("ended_at")
    return datetime.fromisoformat(said) if said else row.as_of


def _tell(row: Row, settings: SessionSettings, story: Story, calls: dict[Key, Call]) -> None:
    match row.kind:
        case "slice":
            story.slice(slice_from_payload(row.as_of, row.payload))
        case "history":
            for stored in row.payload["bars"]:
                story.remember(bar_from_dated(row.payload["symbol"], stored))
        case "split" | "dividend":
            action = corporate_from_payload(row.kind, row.as_of, row.payload)
            if isinstance(action, Split):
                story.split(action, settings.instruments[action.symbol].lot)
            else:
                story.dividend(action)
        case "forecast":
            calls[row.payload["symbol"], row.as_of] = call_from_row(row)
        case _:
            story.record(record_from_payload(row.kind, row.payload))
