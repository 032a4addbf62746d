"""The protocols of live sources of bars and news.

An implementation sets a time limit on its requests and may raise any exception: the source is asked again
later, and the journal names the failure by the type of the exception alone, because its text may contain an
address.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from engine.corporate_actions import Dividend, Split
from engine.model import Bar, NewsItem, require_utc


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A traded price in the quote currency, and the source's time of it in UTC."""

    price: float
    at: datetime

    def __post_init__(self) -> None:
        require_utc(self.at, "at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A session's open by a source: the official open, and the last traded price."""

    official: float | None
    observed: Quote | None


class BarSource(Protocol):
    """Live daily bars and prices of some symbols, from one exchange or service."""

    @property
    def name(self) -> str:
        """Return the name for the journal, such as "ccxt:binance"."""
        ...

    def server_time(self) -> datetime:
        """Return the source's own time, in UTC."""
        ...

    def closed_bars(self, symbol: str, since: datetime) -> Sequence[Bar]:
        """Return the bars that open at or after `since`; an unfinished one may be among them."""
        ...

    def session_open(self, symbol: str, session_open: datetime) -> Opening:
        """Return the open of the session that starts at `session_open` and is not over."""
        ...

    def quote(self, symbol: str) -> Quote:
        """Return the last traded price."""
        ...


@runtime_checkable
class ActionSource(Protocol):
    """A source that states splits and dividends."""

    @property
    def name(self) -> str:
        """Return the name for the journal."""
        ...

    def corporate_actions(self, symbol: str, since: datetime) -> Sequence[Split | Dividend]:
        """Return those whose ex-date opened at or after `since`, as far as they are known."""
        ...


class NewsSource(Protocol):
    """A feed of dated texts."""

    @property
    def name(self) -> str:
        """Return the name for the journal."""
        ...

    def poll(self) -> Sequence[NewsItem]:
        """Return the current items; items of an earlier poll may be among them."""
        ...
