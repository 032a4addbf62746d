"""Coins' candles and prices from the exchanges of ccxt, through public endpoints without keys."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from importlib import import_module
from operator import itemgetter
from typing import Any, TypeVar

from engine.calendars import Calendar
from engine.errors import DataError, UsageError, suggest
from engine.instruments import Instrument
from engine.model import Bar
from feeds.history.candles import DAY, EPOCH, Adjustment, EvenGrid, Grid, parse_start, timeframe_step
from feeds.history.client import (
    Row,
    SourceError,
    TemporaryError,
    first_line,
    parse_retry_after,
    system_reason,
)
from feeds.history.endpoints import describe_source, rebase_table
from feeds.live.events import parse_bar
from feeds.live.protocols import Opening, Quote

_MILLISECOND = timedelta(milliseconds=1)
_TIMEOUT_MS = 20_000

# How many candles one answer has, where ccxt states another number or none. Of these, Kraken and
# Gemini give their newest candles whatever is asked.
_PAGES = {"mexc": 500, "kraken": 720, "gemini": 1000}
_PAGE = 100

# Large exchanges with days that begin at midnight UTC, by a currency in which they quote many coins.
_LARGE_BY_QUOTE = {
    "USDT": ("binance", "bybit", "kucoin"),
    "USD": ("coinbase", "kraken", "bitstamp"),
    "EUR": ("coinbase", "kraken", "bitstamp"),
}

# Days that do not begin at midnight UTC are joined from shorter candles that do.
_PARTS = ("4h", "1h")
_PASSING = (408, 418, 425, 429)
Answer = TypeVar("Answer")


class CcxtClient:
    """A `BarClient` over one ccxt exchange. Only spot markets; prices are as traded."""

    adjustment = Adjustment.RAW
    repairs_silently = False

    def __init__(self, exchange: Any, timeframe: str, provenance: str, clock: Callable[[], datetime]) -> None:
        self.name = f"ccxt:{exchange.id}"
        self.provenance = provenance
        self.timeframe = timeframe
        self.page = _page_size(exchange)
        self._exchange, self._clock = exchange, clock
        self._step = timeframe_step(timeframe)
        self._now = EPOCH
        self._part: str | None = None
        self._wait: float | None = None
        self._status = 0
        self._plain = exchange.on_rest_response
        exchange.on_rest_response = self._on_answer
        # ccxt would sort the rows and cut them to the limit, and so hide the second version of a candle.
        exchange.parse_ohlcvs = self._require_complete

    def require(self, symbols: Sequence[str]) -> None:
        """Raise DataError for a symbol that is no spot market of the exchange."""
        markets: Mapping[str, Any] = self._request(self._exchange.load_markets)
        spot = [name for name, market in markets.items() if market.get("spot")]
        for symbol in symbols:
            if symbol not in spot:
                hint = suggest(symbol, spot, "it lists no spot market", cutoff=0.0)
                raise DataError(f"{self.name}: no spot market {symbol[:40]!r}; {hint}")

    def server_time(self) -> datetime:
        """Return the time of the exchange's own clock; of ours where ccxt cannot ask for it."""
        self._now = self._clock() if not self._exchange.has["fetchTime"] else self._ask_time()
        return self._now

    def _ask_time(self) -> datetime:
        stamp = self._request(self._exchange.fetch_time)
        if isinstance(stamp, bool) or not isinstance(stamp, int) or stamp <= 0:
            raise TemporaryError("the exchange does not say what time it is")
        try:
            return EPOCH + stamp * _MILLISECOND
        except OverflowError:
            raise TemporaryError("the exchange's clock is out of range") from None

    def grid(self, symbol: str, since: datetime, until: datetime) -> Grid:  # noqa: ARG002 - same for all
        """Return a grid without pauses; days are UTC days."""
        return EvenGrid(step=self._step)

    def candles(self, symbol: str, since: datetime, until: datetime) -> Sequence[Row]:
        """Request one page; an exchange that has nothing at `since` may answer with later candles.

        Days that begin at another hour are joined from shorter candles. Raises SourceError where these do not
        begin at midnight UTC either.
        """
        if self._part is None:
            rows = self._page_of_candles(symbol, self.timeframe, since, until)
            if self._step < DAY or not (offset := _common_offset(rows)):
                return rows
            offered = self._exchange.timeframes or {}
            joining = [part for part in _PARTS if part in offered and not offset % timeframe_step(part)]
            part = next(iter(joining), None)
            if part is None or not self._join_days(symbol, part, since, until):
                raise SourceError(
                    f"{self.name}: its days begin at {EPOCH + offset:%H:%M} UTC, not at midnight, and its "
                    f"shorter candles do not join to days; choose another exchange, such as "
                    f"{_list_others(self._exchange.id, symbol)}"
                )
            self._part = part
            self.provenance += f", days joined from {part} candles"
        return self._join_days(symbol, self._part, since, until)

    def _join_days(self, symbol: str, part: str, since: datetime, until: datetime) -> list[Row]:
        """Return the whole days within a window, and the running one as far as it has come."""
        step = timeframe_step(part)
        days: dict[datetime, list[Any]] = defaultdict(list)
        while since < until:
            end = min(until, since + self.page // (DAY // step) * DAY)
            for row in self._page_of_candles(symbol, part, since, end):
                if (start := parse_start(row)) is not None and since <= start < end:
                    days[start.replace(hour=0)].append(row)
            since = end
        return [
            _join_rows(rows)
            for day, rows in sorted(days.items())
            if [parse_start(row) for row in rows] == [day + number * step for number in range(len(rows))]
            and (len(rows) == DAY // step or day + DAY > self._now)
        ]

    def _page_of_candles(self, symbol: str, timeframe: str, since: datetime, until: datetime) -> list[Any]:
        limit = -((since - until) // timeframe_step(timeframe))
        stamp = (since - EPOCH) // _MILLISECOND
        rows = self._request(lambda: self._exchange.fetch_ohlcv(symbol, timeframe, stamp, limit))
        if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
            raise TemporaryError("the answer is no list of candles")
        # Some exchanges give the newest first; any other order is left for `reconcile` to refuse.
        return rows[::-1] if rows and rows[-1] < rows[0] else rows

    def last_trade(self, symbol: str) -> tuple[float, datetime]:
        """Return the last traded price and the exchange's instant of it. Raises TemporaryError.

        Both are those of the newest public trade where the ticker has no time, as on Kraken.
        """
        ticker = self._request(lambda: self._exchange.fetch_ticker(symbol))
        price, stamp = ticker.get("last"), ticker.get("timestamp")
        if stamp is None and self._exchange.has["fetchTrades"]:
            trades = self._request(lambda: self._exchange.fetch_trades(symbol))
            newest: Mapping[str, Any] = max(
                (trade for trade in trades if trade["timestamp"]), key=itemgetter("timestamp"), default={}
            )
            price, stamp = newest.get("price"), newest.get("timestamp")
        if not isinstance(price, int | float) or not isinstance(stamp, int):
            raise TemporaryError("the ticker has no last price with its time")
        return float(price), EPOCH + stamp * _MILLISECOND

    def _require_complete(self, rows: Sequence[Any], market: Any = None, *_: object) -> list[Any]:
        return [self._exchange.parse_ohlcv(row, market) for row in rows]

    def _on_answer(
        self, code: int, reason: str, url: str, method: str, headers: Any, body: str, *rest: object
    ) -> str:
        """Record status and demanded pause; refuse a truncated answer, which ccxt takes for an empty list."""
        self._status = code
        self._wait = parse_retry_after(headers.get("Retry-After"), headers.get("Date"))
        if code < 400:
            try:
                json.loads(body)
            except ValueError:
                raise TemporaryError("the answer is not whole") from None
        return str(self._plain(code, reason, url, method, headers, body, *rest))

    def _request(self, request: Callable[[], Answer]) -> Answer:
        ccxt = import_module("ccxt")
        self._wait, self._status = None, 0
        try:
            return request()
        except TemporaryError:
            raise
        except ccxt.BaseError as error:
            if self._is_transient(error, isinstance(error, ccxt.OperationFailed)):
                raise TemporaryError(self._describe_error(error), self._wait) from None
            raise SourceError(
                f"{self.name}: refuses the request ({self._describe_error(error)}); check the symbol, "
                f"the timeframe and whether it serves your country"
            ) from None
        except (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError) as error:
            raise TemporaryError(
                f"an answer that ccxt cannot read, {first_line(error)}", self._wait
            ) from None

    def _is_transient(self, error: Exception, operation_failed: bool) -> bool:  # noqa: FBT001 - ccxt's own word
        """Return whether asking again may help: by the status if there is one, else by the kind of error."""
        from requests import RequestException

        if self._status >= 400:
            return self._status in _PASSING or self._status >= 500
        return operation_failed or isinstance(error.__cause__, RequestException)

    def _describe_error(self, error: Exception) -> str:
        kind = type(error).__name__
        if self._status:
            return f"HTTP {self._status}, {kind}"
        return f"{kind}, {cause}" if (cause := system_reason(error)) else kind


def create_client(
    source: str,
    *,
    timeframe: str = "1d",
    adjustment: Adjustment | None = None,
    clock: Callable[[], datetime],
    url: str | None = None,
    get_instrument: Callable[[str], Instrument] | None = None,  # noqa: ARG001  # coins need none
    settings: Mapping[str, Any] | None = None,
) -> CcxtClient:
    """Create a client of one exchange, without keys and within its rate limit.

    See `feeds.sources.registry.create_client`; `settings` are added to ccxt's configuration.
    """
    if adjustment not in (None, Adjustment.RAW):
        raise UsageError(f"coins have no {adjustment} prices; leave --adjustment out")
    ccxt = import_module("ccxt")
    exchange_id = source.partition(":")[2]
    timeframe_step(timeframe)
    if exchange_id not in ccxt.exchanges:
        hint = suggest(exchange_id, ccxt.exchanges, cutoff=0.0)
        raise UsageError(f"exchange {exchange_id[:40]!r} is unknown; {hint}")
    exchange = getattr(ccxt, exchange_id)(
        {
            "enableRateLimit": True,
            "timeout": _TIMEOUT_MS,
            # Currencies need keys on some exchanges, and no candle needs them.
            "has": {"fetchCurrencies": False},
            "options": {"defaultType": "spot"},
            **dict(settings or {}),
        }
    )
    markets = exchange.options.get("fetchMarkets")
    if isinstance(markets, dict) and "types" in markets:
        markets["types"] = _only_spot(markets["types"])
    if not exchange.has["fetchOHLCV"] or timeframe not in (exchange.timeframes or {timeframe: ""}):
        others = _list_others(exchange_id)
        raise UsageError(
            f"{exchange_id} gives no {timeframe} candles; choose another timeframe, or an exchange such as "
            f"{others}"
        )
    if url:
        exchange.urls["api"] = rebase_table(exchange.urls["api"], url)
    return CcxtClient(
        exchange, timeframe, describe_source(f"{exchange_id} through ccxt {ccxt.__version__}", url), clock
    )


def _list_others(exchange_id: str, symbol: str = "") -> str:
    """Return large exchanges other than `exchange_id` that quote in the symbol's currency, as sources."""
    quote = symbol.partition("/")[2]
    names = _LARGE_BY_QUOTE.get(quote, _LARGE_BY_QUOTE["USDT"])
    return " or ".join(f"ccxt:{name}" for name in names if name != exchange_id)


def _only_spot(types: Any) -> Any:
    """Return ccxt's setting of which kinds of markets it loads, a list or a table of switches, for spot."""
    if isinstance(types, list):
        return ["spot"]
    return {
        name: _only_spot(value) if isinstance(value, dict) else name == "spot"
        for name, value in types.items()
    }


def _common_offset(rows: Sequence[Row]) -> timedelta | None:
    """Return how long after midnight UTC all rows start; None where they differ."""
    offsets = {(start - EPOCH) % DAY for row in rows if (start := parse_start(row)) is not None}
    return offsets.pop() if len(offsets) == 1 else None


def _join_rows(rows: Sequence[Any]) -> Row:
    """Return one row for successive ones; cells that are no numbers are left for `reconcile` to refuse."""
    try:
        highs, lows, volumes = ([row[column] for row in rows] for column in (2, 3, 5))
        return [rows[0][0], rows[0][1], max(highs), min(lows), rows[-1][4], sum(volumes)]
    except (IndexError, TypeError):
        return [rows[0][0], None, None, None, None, None]


def _page_size(exchange: Any) -> int:
    """Return how many candles one request may ask for: what is known, ccxt's limit for spot, or 100."""
    if exchange.id in _PAGES:
        return _PAGES[exchange.id]
    features = (exchange.features or {}).get("spot") or {}
    limit = (features.get("fetchOHLCV") or {}).get("limit")
    return int(limit) if limit else _PAGE


class LiveExchange:
    """A `BarSource` for the spot markets of one exchange, through public endpoints without a key."""

    def __init__(self, client: CcxtClient) -> None:
        self._client = client

    @property
    def name(self) -> str:
        """The source's name, such as "ccxt:binance"."""
        return self._client.name

    def server_time(self) -> datetime:
        """Return the time of the exchange's own clock."""
        return self._client.server_time()

    def closed_bars(self, symbol: str, since: datetime) -> Sequence[Bar]:
        """Return the days from `since` on, with the running one; rows that are no bar are left out."""
        until = self._client.server_time() + DAY
        rows = self._client.candles(symbol, since, until)
        days = [(at, row) for row in rows if (at := parse_start(row)) is not None and at >= since]
        return [bar for at, row in days if (bar := parse_bar(symbol, row, (at, at + DAY))) is not None]

    def session_open(self, symbol: str, session_open: datetime) -> Opening:
        """Return the open of the running day, once the exchange shows its candle, and the last trade."""
        bars = self.closed_bars(symbol, session_open)
        official = next((bar.open for bar in bars if bar.opens_at == session_open), None)
        return Opening(official=official, observed=self.quote(symbol))

    def quote(self, symbol: str) -> Quote:
        """Return the last traded price."""
        price, at = self._client.last_trade(symbol)
        return Quote(price=price, at=at)


# The arguments are those of every source; exchanges of coins need no calendar.
def create_live_source(client: CcxtClient, calendars: Mapping[str, Calendar]) -> LiveExchange:  # noqa: ARG001
    """Create a source of live bars (see `feeds.sources.registry.SourceModule`)."""
    return LiveExchange(client)
