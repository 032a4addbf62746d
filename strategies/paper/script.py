"""What happens in a replay beside the recorded days: its configuration's script as inputs of a session.

Knows instants and facts; what a command or a split comes to is the engine's.
"""

import difflib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from engine.commands import Command, CommandKind, command_event
from engine.errors import UsageError
from engine.journal import Event
from engine.splits import Dividend, Split, corporate_event, split_bar
from feeds.live.facts import gap
from strategies.facts import Facts
from strategies.paper.world import QUOTE
from strategies.paper_config import Scripted, ScriptTable

AUTHOR = "script"

Script = Sequence[Event]
"""Inputs beside the facts, at simulated instants: commands, adoptions, splits, dividends, quotes, gaps."""


def scripted(entries: Sequence[ScriptTable], facts: Facts) -> tuple[Facts, Script]:
    """The facts as they are with the script's splits, and the script as events.

    Raises UsageError for a symbol that is not replayed, and for a split or dividend without an open to come.
    """
    events = [_event(entry, facts) for entry in entries]
    splits = [one for entry in entries if isinstance(one := _corporate(entry, facts), Split)]
    return with_splits(facts, splits), events


def with_splits(facts: Facts, splits: Sequence[Split]) -> Facts:
    """Facts whose bars from each split on are in its new units, as an exchange states them.

    Recorded days are mostly restated for splits that came later; a replay that has some wants them as they
    were. Give the splits to the replay's script as well.
    """
    bars = dict(facts.bars)
    for split in splits:
        bars[split.symbol] = tuple(
            split_bar(bar, split.ratio) if bar.opens_at >= split.at else bar for bar in bars[split.symbol]
        )
    return replace(facts, bars=bars)


def _event(entry: ScriptTable, facts: Facts) -> Event:
    if (corporate := _corporate(entry, facts)) is not None:
        return corporate_event(corporate)
    if entry.symbol is None:
        kind = CommandKind(entry.do)
        return command_event(Command(at=entry.at, kind=kind, author=AUTHOR, text=entry.text))
    symbol = _replayed(entry.symbol, facts)
    if entry.do is Scripted.QUOTE:
        return Event(kind=QUOTE, as_of=entry.at, payload={"quotes": {symbol: [entry.value, entry.at]}})
    return gap(entry.at, symbol, None, "bar", entry.text or "the script says so")


def _corporate(entry: ScriptTable, facts: Facts) -> Split | Dividend | None:
    if entry.do not in (Scripted.SPLIT, Scripted.DIVIDEND) or entry.symbol is None or entry.value is None:
        return None
    symbol = _replayed(entry.symbol, facts)
    at = _open_from(entry, symbol, facts)
    if entry.do is Scripted.SPLIT:
        return Split(at=at, symbol=symbol, ratio=entry.value)
    return Dividend(at=at, symbol=symbol, amount=entry.value)


def _open_from(entry: ScriptTable, symbol: str, facts: Facts) -> datetime:
    opens = (bar.opens_at for bar in facts.bars[symbol] if bar.opens_at >= max(entry.at, facts.start))
    if (found := next(opens, None)) is None:
        raise UsageError(
            f"[[paper.script]]: {symbol} has no open from {entry.at:%Y-%m-%d %H:%M} on for its {entry.do}; "
            "choose an earlier day"
        )
    return found


def _replayed(symbol: str, facts: Facts) -> str:
    if symbol in facts.bars:
        return symbol
    near = difflib.get_close_matches(symbol, facts.bars, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else f"choose among {', '.join(sorted(facts.bars)[:12])}"
    raise UsageError(f"[[paper.script]]: {symbol} is not replayed; {hint}")
