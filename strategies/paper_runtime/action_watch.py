"""Asks live sources for splits and dividends, and announces them ahead of the collector."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from engine.calendars import Calendar
from engine.corporate_actions import ActionKind, Dividend, Split
from engine.errors import DataError
from engine.journal.events import encode
from engine.journal.events.sessions import ActionAnnounced
from engine.journal.journal import Journal
from feeds.live.polling import Executor
from feeds.live.protocols import ActionSource
from strategies.paper.announced_actions import AnnouncedActions
from strategies.paper.clock import Source

_BACK = timedelta(days=7)
"""For how long before an ask an action is still applied, such as one from while the session was stopped."""

_RETRY = timedelta(minutes=10)


class ActionWatch:
    """The `Source` of a live session over its collector.

    At each open and close of a symbol it first asks the symbol's source, so that what takes effect at an open
    is announced before that open is journaled. A source that fails is asked again after ten minutes.

    Args:
        collector: The session's collector.
        journal: The session's journal.
        sources: The source of each symbol that has one which states actions.
        calendars: The calendar of each of these symbols.
        since: When the session began: earlier actions are in its prices.
        executor: Runs the requests to several sources.
    """

    def __init__(
        self,
        collector: Source,
        journal: Journal,
        *,
        sources: Mapping[str, ActionSource],
        calendars: Mapping[str, Calendar],
        since: datetime,
        executor: Executor,
    ) -> None:
        self._collector, self._journal = collector, journal
        self._sources, self._calendars, self._since, self._executor = sources, calendars, since, executor
        self._known = AnnouncedActions(journal)
        self._asked: dict[str, datetime] = {}
        self._retry_at: dict[str, datetime] = {}

    def step(self, now: datetime) -> datetime | None:
        """Ask for splits and dividends where that is due, and return at once; else let the collector step."""
        due = {symbol: at for symbol in self._sources if (at := self._due(symbol, now)) is not None}
        if not due:
            return self._collector.step(now)
        if fresh := self._ask(due, now):
            self._journal.append([encode(announced, now) for announced in fresh], now)
        return now  # the answers took time, which the collector must not overlook

    def _ask(self, due: Mapping[str, datetime], now: datetime) -> list[ActionAnnounced]:
        by_source: dict[str, list[str]] = {}
        for symbol in due:
            by_source.setdefault(self._sources[symbol].name, []).append(symbol)
        fresh: list[ActionAnnounced] = []
        for name, answer in self._executor(
            {name: self._request(symbols, now) for name, symbols in by_source.items()}
        ).items():
            if isinstance(answer, Exception):
                # The collector journals a source that is down; the same source serves its prices.
                self._retry_at |= dict.fromkeys(by_source[name], now + _RETRY)
                continue
            self._asked |= {symbol: due[symbol] for symbol in by_source[name]}
            stated = (_announce(action, name) for action in answer)
            fresh += [each for each in stated if self._is_new(each)]
        return fresh

    def _request(self, symbols: Sequence[str], now: datetime) -> Callable[[], list[Split | Dividend]]:
        since = max(self._since, now - _BACK)
        return lambda: [
            action for symbol in symbols for action in self._sources[symbol].corporate_actions(symbol, since)
        ]

    def _due(self, symbol: str, now: datetime) -> datetime | None:
        """Return the newest open or close of a symbol if its source was not asked since, None if it was."""
        if now < self._retry_at.get(symbol, now):
            return None
        for back in range(-1, 5):
            try:
                session = self._calendars[symbol].session((now - timedelta(days=back)).date())
            except DataError:
                continue  # the calendar ends there, which the collector journals
            if passed := [at for at in reversed(session or ()) if at <= now]:
                return passed[0] if passed[0] > self._asked.get(symbol, self._since) else None
        return None

    def _is_new(self, announced: ActionAnnounced) -> bool:
        return not (self._known.is_announced(announced) or self._known.is_effective(announced))


def _announce(action: Split | Dividend, name: str) -> ActionAnnounced:
    is_split = isinstance(action, Split)
    return ActionAnnounced(
        action=ActionKind.SPLIT if is_split else ActionKind.DIVIDEND,
        symbol=action.symbol,
        effective_at=action.at,
        value=action.ratio if isinstance(action, Split) else action.amount,
        author=name,
    )
