"""What a live source of bars or news has to answer. Knows no exchange and no schedule.

An implementation asks with a time limit and raises whatever it likes: a failure is asked again later and is
named in the journal by the type of its exception alone, since an error's text may hold an address.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from engine.model import Bar, NewsItem, require_utc


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A traded price in the quote currency, and the instant in UTC that the source gives it."""

    price: float
    at: datetime

    def __post_init__(self) -> None:
        require_utc(self.at, "at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a source says of a session's open: the official open, and the last price it has seen traded."""

    official: float | None
    observed: Quote | None


class BarSource(Protocol):
    """Live daily bars and prices of some symbols, from one exchange or service."""

    @property
    def name(self) -> str:
        """What the journal calls it, such as "ccxt:binance"."""
        ...

    def server_time(self) -> datetime:
        """What time the source has, in UTC."""
        ...

    def closed_bars(self, symbol: str, since: datetime) -> Sequence[Bar]:
        """The bars that open at or after `since`; an unfinished one may be among them."""
        ...

    def session_open(self, symbol: str, session_open: datetime) -> Opening:
        """What is known of the session that opens at `session_open`, which is not over."""
        ...

    def quote(self, symbol: str) -> Quote:
        """The last traded price."""
        ...


class NewsSource(Protocol):
    """A feed of dated texts."""

    @property
    def name(self) -> str:
        """What the journal calls it when it fails."""
        ...

    def poll(self) -> Sequence[NewsItem]:
        """What the feed shows now; items that it showed before may be among them."""
        ...
