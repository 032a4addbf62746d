"""Splits and dividends that were announced to a session, from its journal, until they take effect."""

from collections.abc import Mapping
from datetime import datetime

from engine.corporate_actions import ActionKind, Dividend, Split
from engine.journal.events import Kind, decode
from engine.journal.events.sessions import ActionAnnounced
from engine.journal.journal import Journal

_KINDS = (Kind.ACTION_ANNOUNCED, Kind.SPLIT, Kind.DIVIDEND)
_TAKEN_BACK: Mapping[ActionKind, float] = {ActionKind.SPLIT: 1.0, ActionKind.DIVIDEND: 0.0}
_Key = tuple[ActionKind, str, datetime]


class AnnouncedActions:
    """The announcements in a journal. Of several on one symbol and day the newest counts."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._read_until = 0
        self._announced: dict[_Key, ActionAnnounced] = {}
        self._effective: set[_Key] = set()

    @property
    def pending(self) -> list[Split | Dividend]:
        """Return what has not taken effect yet, in order of time."""
        self._read()
        actions = [
            build_action(announced)
            for key, announced in self._announced.items()
            if key not in self._effective and announced.value != _TAKEN_BACK[announced.action]
        ]
        return sorted(actions, key=lambda action: (action.at, action.symbol, isinstance(action, Dividend)))

    def due(self, now: datetime) -> list[Split | Dividend]:
        """Return what takes effect at `now` or before."""
        return [action for action in self.pending if action.at <= now]

    def is_effective(self, announced: ActionAnnounced) -> bool:
        """Return whether such an action on that symbol and day has taken effect."""
        self._read()
        return _announced_key(announced) in self._effective

    def is_announced(self, announced: ActionAnnounced) -> bool:
        """Return whether such an action on that symbol and day is announced, with whatever value."""
        self._read()
        return _announced_key(announced) in self._announced

    def _read(self) -> None:
        newest = self._journal.last_seq
        if newest == self._read_until:
            return
        for row in self._journal.read(self._read_until, _KINDS):
            match decode(row):
                case ActionAnnounced() as announced:
                    self._announced[_announced_key(announced)] = announced
                case Split() as split:
                    self._effective.add((ActionKind.SPLIT, split.symbol, split.at))
                case Dividend() as dividend:
                    self._effective.add((ActionKind.DIVIDEND, dividend.symbol, dividend.at))
        self._read_until = newest


def build_action(announced: ActionAnnounced) -> Split | Dividend:
    """Return the action that is announced. Raises ValueError for a value that makes no sense."""
    at, symbol = announced.effective_at, announced.symbol
    if announced.action is ActionKind.SPLIT:
        return Split(at=at, symbol=symbol, ratio=announced.value)
    return Dividend(at=at, symbol=symbol, amount=announced.value)


def _announced_key(announced: ActionAnnounced) -> _Key:
    return announced.action, announced.symbol, announced.effective_at
