"""Yahoo's chart interface, version 8, on loopback, in the shape that yfinance 1.7 reads.

There is no recorded answer: the fields are those that yfinance's own source takes from one.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tests.support.servers.faults import FaultPlan, Loopback, Request, TextRow
from tests.support.servers.tape import Tape

_OPENS_AT_S = 14 * 3600 + 30 * 60


class YahooServer(Loopback):
    """Daily candles of `rows` by Yahoo's symbol; adjusted closes are `factor` times the close.

    `events` are splits and dividends as Yahoo states them, by its symbol; `market` is the currency and the
    zone that it states. With a `tape` candles are those of its moment, which is also that of the Date header.
    """

    def __init__(
        self,
        rows: Mapping[str, Sequence[TextRow]],
        faults: FaultPlan | None = None,
        factor: float = 0.5,
        tape: Tape | None = None,
        events: Mapping[str, Any] | None = None,
        market: tuple[str, str] = ("USD", "America/New_York"),
    ) -> None:
        super().__init__(self._answer, faults)
        self.events, self.market = events or {}, market
        self.rows, self.factor, self.tape = dict(rows), factor, tape
        if tape:
            self.dated = lambda: tape.now.timestamp()

    def _answer(self, request: Request) -> str | tuple[int, str]:
        if request.path == "/v1/test/getcrumb":
            return "crumb"
        if not request.path.startswith("/v8/finance/chart/"):
            return 404, ""
        symbol, query = request.path.rpartition("/")[2], request.query
        if symbol == "SPY" and symbol not in self.rows:  # asked for the answer's date alone
            return json.dumps({"chart": {"result": [], "error": None}})
        if symbol not in self.rows:
            error = {"code": "Not Found", "description": "No data found, symbol may be delisted"}
            return 404, json.dumps({"chart": {"result": None, "error": error}})
        since, until = int(query.get("period1", 0)), int(query.get("period2", 1 << 40))
        shown = self.tape.visible_rows(symbol) if self.tape else self.rows[symbol]
        rows = [row for row in shown if since <= _opens(row) < until]
        if query.get("range") == "1d":
            rows = rows[-1:]
        if self.faults and "period1" in query:
            rows = self.faults.spoil(rows)
        return json.dumps({"chart": {"result": [self._result(symbol, rows)], "error": None}})

    def _result(self, symbol: str, rows: Sequence[TextRow]) -> dict[str, Any]:
        columns = zip(*(row[1:] for row in rows), strict=True) if rows else [()] * 5
        numbers = [[float(cell) for cell in column] for column in columns]
        quote = dict(zip(("open", "high", "low", "close", "volume"), numbers, strict=True))
        adjusted = [price * self.factor for price in quote["close"]]
        price, at = self.tape.last(symbol) if self.tape else (None, None)
        return {
            "meta": {
                "regularMarketPrice": price,
                "regularMarketTime": int(at.timestamp()) if at else None,
                "currency": self.market[0],
                "symbol": symbol,
                "exchangeName": "NMS",
                "instrumentType": "EQUITY",
                "exchangeTimezoneName": self.market[1],
                "timezone": "EST",
                "gmtoffset": -18000,
                "priceHint": 2,
                "dataGranularity": "1d",
                "validRanges": ["1d", "5d", "1mo", "max"],
            },
            "timestamp": [_opens(row) for row in rows],
            **({"events": self.events[symbol]} if symbol in self.events else {}),
            "indicators": {"quote": [quote if rows else {}], "adjclose": [{"adjclose": adjusted}]},
        }


def _opens(row: TextRow) -> int:
    return int(datetime.fromtimestamp(row[0] / 1000, UTC).timestamp()) + _OPENS_AT_S
