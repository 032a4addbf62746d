"""The protocol of a source of candles, and the retries for one that does not answer.

Clients translate the errors of their library into the two kinds below.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Protocol, TypeVar

from engine.errors import DataError
from feeds.history.candles import Adjustment, Grid

MAX_TRIES = 8
MAX_FIRST_TRIES = 5
"""For a source that has not answered yet: the connection itself may be down."""

MAX_WAIT = 900.0
_DEEPEST = 12
Row = Sequence[object]
Answer = TypeVar("Answer")


class SourceError(DataError):
    """A source that does not answer, or refuses to. What was downloaded before is kept; exit code 3."""


class TemporaryError(Exception):
    """No usable answer this time: ask again. `wait` is the pause in seconds that the source demands."""

    journal_name = "Unanswered"
    """The name of this error in journals, which never changes."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.wait = reason, wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """A pause of `seconds` before a source is asked again: where, why, and how many of its tries are used."""

    place: str
    reason: str
    seconds: float
    tried: int
    tries: int


OnWait = Callable[[Wait], None]


def ignore_wait(wait: Wait) -> None:
    """Do nothing about a pause."""


class BarClient(Protocol):
    """One source of candles in one timeframe and one adjustment.

    Attributes:
        name: The source in the store, such as "ccxt:binance".
        provenance: Exchange, library and version.
        timeframe: The length of a candle, such as "1d".
        adjustment: How splits and dividends are worked into the prices.
        page: How many candles one request can return.
        repairs_silently: Whether the library drops repeated rows, so that a candle counts only once two
            answers agree on it.
    """

    name: str
    provenance: str
    timeframe: str
    adjustment: Adjustment
    page: int
    repairs_silently: bool

    def require(self, symbols: Sequence[str]) -> None:
        """Raise DataError, with the nearest name, for a symbol that the source certainly does not have."""
        ...

    def server_time(self) -> datetime:
        """Return the time of the source's own clock, in UTC. Raises TemporaryError."""
        ...

    def grid(self, symbol: str, since: datetime, until: datetime) -> Grid:
        """Return when the candles of `symbol` are due in the window."""
        ...

    def candles(self, symbol: str, since: datetime, until: datetime) -> Sequence[Row]:
        """Return the candles of a window, as the source gives them.

        Args:
            symbol: The symbol, as the source spells it.
            since: The start of the window, included.
            until: Its end, excluded; at most `page` candles later.

        Returns:
            Rows of start (milliseconds since 1970), open, high, low, close and volume. Nothing about them is
                trusted.

        Raises:
            TemporaryError: Where asking again may help.
            SourceError: Where it does not.
        """
        ...


class RetryPolicy:
    """Retries for one source, with fewer tries until it has answered once.

    Args:
        sleep: Waits for a number of seconds.
        on_wait: Called before each pause.
    """

    def __init__(self, sleep: Callable[[float], None], on_wait: OnWait = ignore_wait) -> None:
        self._sleep, self._on_wait = sleep, on_wait
        self._tries = MAX_FIRST_TRIES

    def call(self, call: Callable[[], Answer], place: str) -> Answer:
        """Return the answer of `call`, retried with pauses of 1, 2, 4, … 60 s, or as the source demands.

        `place` is the source and symbol, for errors. Raises SourceError after the last try, and at once where
        the source demands a pause of more than fifteen minutes.
        """
        tried = 0
        while True:
            try:
                answer = call()
            except TemporaryError as fault:
                tried += 1
                self._pause(fault, place, tried)
            else:
                self._tries = MAX_TRIES
                return answer

    def _pause(self, fault: TemporaryError, place: str, tried: int) -> None:
        demanded = fault.wait or 0.0
        if demanded > MAX_WAIT:
            raise SourceError(
                f"{place}: {fault.reason}, and it demands a pause of {demanded:.0f} s; what was "
                f"downloaded is kept, run the same command again after that"
            ) from None
        if tried == self._tries:
            raise SourceError(
                f"{place}: no answer in {tried} tries ({fault.reason}); what was downloaded is kept, "
                f"check the connection and run the same command again"
            ) from None
        pause = max(min(2.0 ** (tried - 1), 60.0), demanded)
        self._on_wait(Wait(place=place, reason=fault.reason, seconds=pause, tried=tried, tries=self._tries))
        self._sleep(pause)


def parse_retry_after(retry_after: str | None, answered_at: str | None) -> float | None:
    """Return the seconds that a Retry-After header demands; a date counts from the answer's Date header.

    None where there is none or it cannot be read (RFC 9110, 10.2.3).
    """
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        pause = parsedate_to_datetime(text) - parsedate_to_datetime(answered_at or "")
    except (TypeError, ValueError):
        return None
    return max(0.0, pause.total_seconds())


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, cut to 120 characters, with its type."""
    lines = str(error).splitlines()
    text = "".join(mark for mark in (lines[0] if lines else "")[:120] if mark.isprintable())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def system_reason(error: BaseException) -> str:
    """Return the operating system's message below an error, such as "Connection refused", or nothing.

    An error's own text may hold an address; this message does not.
    """
    cause: BaseException | None = error
    for _ in range(_DEEPEST):
        if cause is None:
            break
        if isinstance(cause, OSError) and isinstance(cause.strerror, str):
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return ""
