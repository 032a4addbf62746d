"""A session's journal as that of a run, from which training learns. Trains nothing and changes no session.

Whatever stands before a split is restated in its new units. `tui.paper.restating` says how.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.journal import Event, Journal, Row
from engine.rates import Rates, RateSeries
from strategies.paper.effects import FILL, FORECAST, MARK, ORDER, STEP
from strategies.paper.settings import RATE, STARTED
from strategies.paper.world import SLICE
from strategies.runs import JOURNAL
from strategies.runs import STARTED as RUN_STARTED
from tui.paper.restating import Restating

_LEARNED_FROM = (FORECAST, ORDER, FILL, MARK, STEP)
_BATCH = 5000


def write_as_run(session: Journal, data_dir: Path, until: datetime, at: datetime) -> Path:
    """Write all that a session knew at `until` to the run of its name in `data_dir`; returns the folder.

    What was written before is replaced, whole or not at all.
    """
    folder = data_dir / "runs" / session.session
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "journal.part"
    for left in folder.glob("journal.part*"):
        left.unlink()
    with Journal.open(part, session.session, create=True) as journal:
        batch: list[Event] = []
        for event in _events(session, until):
            batch.append(event)
            if len(batch) == _BATCH:
                journal.append(batch, at)
                batch = []
        journal.append(batch, at)
    part.replace(folder / JOURNAL)
    return folder


def rates_of(session: Journal, settings: Mapping[str, Any], until: datetime | None = None) -> Rates | None:
    """The rates that a session was told of, by `until` or at all; None where it has one currency."""
    if settings["base"] is None:
        return None
    told: dict[str, dict[datetime, float]] = {}
    for row in session.read(kinds=(RATE,)):
        if until is None or row.as_of <= until:
            told.setdefault(row.payload["currency"], {})[row.as_of] = row.payload["value"]
    series = {
        currency: RateSeries(known_at=tuple(sorted(known)), values=tuple(known[at] for at in sorted(known)))
        for currency, known in told.items()
    }
    return Rates(base=settings["base"], constants=settings["constants"], series=series)


def _events(session: Journal, until: datetime) -> Iterator[Event]:
    first = next(session.read(kinds=(STARTED,)))
    yield Event(kind=RUN_STARTED, as_of=first.as_of, payload=first.payload["about"]["config"])
    if (rates := rates_of(session, first.payload, until)) is not None:
        yield Event(kind="rates", as_of=first.as_of, payload=asdict(rates))
    restating = Restating(session, until)
    for row in in_order(session, until):
        yield from restating.events(row)


def in_order(session: Journal, until: datetime) -> Iterator[Row]:
    """Slices known at `until`, each followed by what was done about it, wherever that stands."""
    effects = (row for row in session.read(kinds=_LEARNED_FROM) if _instant(row) <= until)
    effect = next(effects, None)
    for slice_ in session.read(kinds=(SLICE,)):
        if slice_.as_of > until:
            continue
        while effect is not None and effect.payload["input"] < slice_.seq:
            yield effect
            effect = next(effects, None)
        yield slice_
    while effect is not None:
        yield effect
        effect = next(effects, None)


def _instant(row: Row) -> datetime:
    """When it was done; what follows from a person's command in a replay is dated by the person's clock."""
    said = row.payload.get("at") or row.payload.get("ended_at")
    return datetime.fromisoformat(said) if said else row.as_of
