"""Replays recorded or simulated days through a paper session as if live, in simulated time.

Appends market data to a session's journal, one instant after the other, as a collector would. A replay that
was killed resumes where its journal ends.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path

from engine.calendars import Calendar
from engine.corporate_actions import Dividend, Split, split_bar
from engine.errors import UsageError, suggest
from engine.journal.canonical import to_jsonable
from engine.journal.events import INPUT_KINDS, Kind, encode, replay_number, with_replay_number
from engine.journal.events.inputs import Gap, ModelAdopted, Quotes, SliceRecord
from engine.journal.journal import Event, Journal
from engine.model import Phase, Slice
from engine.timeline import build_observations, build_slices
from engine.trading.risk import Command, CommandKind, RiskLimits
from llm.answer_cache import AnswerCache
from llm.forecaster import forecast
from llm.student import LocalStudentClient, Student, StudentClient
from strategies.config import BacktestConfig, ScenarioAction, ScriptTable
from strategies.market_data import MarketData
from strategies.paper.clock import SimulatedClock
from strategies.paper.files import create_session, open_session, read_start
from strategies.paper.session import Champion, PaperSession, SessionDeps
from strategies.run_spec import build_run_spec, encode_history, encode_rates

AUTHOR = "script"
Script = Sequence[Event]
"""Inputs beside the market data, at simulated instants: commands, adoptions, splits, quotes and the like."""


def apply_script(entries: Sequence[ScriptTable], facts: MarketData) -> tuple[MarketData, Script]:
    """Return the market data with the script's splits applied, and the script as events.

    Raises UsageError for a symbol that is not replayed, and for a split or dividend without a later open.
    """
    events = [_build_event(entry, facts) for entry in entries]
    actions = [_build_corporate_action(entry, facts) for entry in entries]
    splits = [action for action in actions if isinstance(action, Split)]
    return with_splits(facts, splits), events


def with_splits(facts: MarketData, splits: Sequence[Split]) -> MarketData:
    """Return market data whose bars from each split on are in its new units, as an exchange states them.

    Most recorded prices are adjusted for later splits; a replay with splits needs them unadjusted. The
    script must state the splits as well.
    """
    bars = dict(facts.bars)
    for split in splits:
        bars[split.symbol] = tuple(
            split_bar(bar, split.ratio) if bar.opens_at >= split.at else bar for bar in bars[split.symbol]
        )
    return replace(facts, bars=bars)


def _build_event(entry: ScriptTable, facts: MarketData) -> Event:
    if (corporate := _build_corporate_action(entry, facts)) is not None:
        return encode(corporate, corporate.at)
    if entry.symbol is None:
        kind = CommandKind(entry.do)
        return encode(Command(at=entry.at, kind=kind, author=AUTHOR, text=entry.text), entry.at)
    symbol = _require_replayed(entry.symbol, facts)
    if entry.do is ScenarioAction.QUOTE:
        return encode(Quotes(quotes={symbol: (entry.value or 0.0, entry.at)}), entry.at)
    reason = entry.text or "the script says so"
    return encode(Gap(symbol=symbol, session=None, lacks="bar", reason=reason), entry.at)


def _build_corporate_action(entry: ScriptTable, facts: MarketData) -> Split | Dividend | None:
    if (
        entry.do not in (ScenarioAction.SPLIT, ScenarioAction.DIVIDEND)
        or entry.symbol is None
        or entry.value is None
    ):
        return None
    symbol = _require_replayed(entry.symbol, facts)
    at = _find_open(entry, symbol, facts)
    if entry.do is ScenarioAction.SPLIT:
        return Split(at=at, symbol=symbol, ratio=entry.value)
    return Dividend(at=at, symbol=symbol, amount=entry.value)


def _find_open(entry: ScriptTable, symbol: str, facts: MarketData) -> datetime:
    opens = (bar.opens_at for bar in facts.bars[symbol] if bar.opens_at >= max(entry.at, facts.start))
    if (first := next(opens, None)) is None:
        raise UsageError(
            f"[[paper.script]]: {symbol} has no open from {entry.at:%Y-%m-%d %H:%M} on for its {entry.do}; "
            "choose an earlier day"
        )
    return first


def _require_replayed(symbol: str, facts: MarketData) -> str:
    if symbol in facts.bars:
        return symbol
    raise UsageError(f"[[paper.script]]: {symbol} is not replayed; {suggest(symbol, facts.bars, cutoff=0.4)}")


_RANK: Mapping[str, int] = {
    Kind.RATE: 0,
    Phase.CLOSE: 1,
    Kind.SPLIT: 2,
    Kind.DIVIDEND: 2,
    Phase.OPEN: 3,
}

_LAST = 4
_AHEAD = 500
_TAIL = 5000
_Placed = tuple[datetime, int, Slice | Event]


class ReplaySource:
    """Appends the slices of `facts` and the events of `script` in the order of their instants.

    At one instant rates come first, then closes, splits and dividends, opens, and all else. `ahead` is how
    many inputs are committed in one transaction; more is faster and changes no output.
    """

    def __init__(self, journal: Journal, facts: MarketData, script: Script, ahead: int) -> None:
        self._journal = journal
        self._ahead = ahead
        self._place = _newest_number(journal)
        self._events = islice(_list_inputs(facts, script), self._place, None)
        self._next = next(self._events, None)
        self._batch: list[Event] = []

    def step(self, now: datetime) -> datetime | None:
        """Append what is due at `now`; return when to call again, None at the end."""
        if not self._batch:
            if self._next is None:
                return None
            if self._next[0] > now:
                return self._next[0]
            self._collect()
        self._journal.append(self._batch, self._batch[-1].as_of)
        self._batch = []  # only once it is journaled: a failed append is repeated
        return now

    def _collect(self) -> None:
        while self._next is not None and len(self._batch) < self._ahead:
            self._place += 1
            self._batch.append(_with_number(self._next[2], self._place))
            self._next = next(self._events, None)
            if self._place % self._ahead == 0:
                return


def replay_session(
    data_dir: Path,
    name: str,
    config: BacktestConfig,
    facts: MarketData,
    *,
    student: Student,
    ledger: AnswerCache,
    limits: RiskLimits | None = None,
    script: Script = (),
    load: Callable[[ModelAdopted | None], StudentClient] | None = None,
    champion: Champion | None = None,
    time: SimulatedClock | None = None,
    ahead: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    at: Callable[[str], None] = lambda _boundary: None,
    calendars: Mapping[str, Calendar] | None = None,
) -> PaperSession:
    """Start or resume a session over `facts`, until they end or `stop` says so.

    Args:
        data_dir: The data folder.
        name: The session's name.
        config: Its configuration.
        facts: The market data that is replayed.
        student: The student that it begins with.
        ledger: The answer cache.
        limits: The risk limits; None for the default ones.
        script: Inputs beside the market data.
        load: Loads the adopted student, for None the first one; without it `student` answers throughout.
        champion: Returns the registry's champion at an instant.
        time: The clock; None for one that runs as fast as possible.
        ahead: How many inputs are committed at once; None chooses.
        stop: Whether to stop.
        at: Called at each boundary with its name.
        calendars: Calendars that replace those that the settings name.

    Raises:
        JournalError: The journal is damaged, or its outputs do not match on replay.
    """
    if read_start(data_dir, name) is None:
        spec = build_run_spec(config, facts, student, limits or RiskLimits(), simulated=True)
        about = {"replay": facts.source, "config": to_jsonable(config.stored())}
        history = [*encode_history(facts), *(e for e in encode_rates(facts) if e.as_of <= facts.start)]
        create_session(data_dir, name, spec, history, at=facts.start, about=about)
    if time is None and load is None:  # every close at once, as a backtest does: prompts depend on data alone
        observed = build_observations(facts.bars, facts.news, window=student.window, start=facts.start)
        forecast(observed, student, ledger, lambda *_: None)

    def parts(journal: Journal) -> SessionDeps:
        together = 1 if time or champion else _AHEAD
        return SessionDeps(
            source=ReplaySource(journal, facts, script, ahead or together),
            time=time or SimulatedClock(facts.start),
            answers=ledger,
            load_student=load or (lambda _adopted: LocalStudentClient(student)),
            champion=champion or (lambda _at: None),
            stop=stop,
            failpoint=at,
            calendars=calendars or {},
        )

    with open_session(data_dir, name, parts) as session:
        session.run()
    return session


def _list_inputs(facts: MarketData, script: Iterable[Event]) -> Iterator[_Placed]:
    """Return all inputs in order."""
    rates = [event for event in encode_rates(facts) if event.as_of > facts.start]
    beside = sorted(map(_sort_key, [*rates, *script]), key=_sort_by_key)
    return heapq.merge(map(_sort_key, build_slices(facts.traded_bars, facts.news)), beside, key=_sort_by_key)


def _sort_key(item: Slice | Event) -> _Placed:
    kind = item.phase if isinstance(item, Slice) else item.kind
    return item.as_of, _RANK.get(kind, _LAST), item


def _sort_by_key(placed: _Placed) -> tuple[datetime, int]:
    return placed[:2]


def _with_number(item: Slice | Event, number: int) -> Event:
    """Return the input as it is journaled, with its place in the replay from 1."""
    event = encode(SliceRecord(slice=item), item.as_of) if isinstance(item, Slice) else item
    return with_replay_number(event, number)


def _newest_number(journal: Journal) -> int:
    """Return the place of the newest input in the journal, 0 before the first; its end is searched first."""
    last = journal.last_seq
    for since in (max(0, last - _TAIL), 0):
        places = (replay_number(row) or 0 for row in journal.read(since, INPUT_KINDS))
        if newest := max(places, default=0):
            return newest
    return 0
