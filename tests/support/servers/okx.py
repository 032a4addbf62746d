"""OKX's public REST interface for spot markets, version 5, on loopback: newest candles first."""

import json
from collections.abc import Mapping, Sequence

from tests.support.servers.bars_on_disk import DAY_MS
from tests.support.servers.binance import drop_unfinished
from tests.support.servers.faults import FaultPlan, Loopback, Request, TextRow


class OkxServer(Loopback):
    """Daily candles (in UTC) of `rows` by instrument (BTC-USDT); `now` is its clock in milliseconds."""

    def __init__(
        self, rows: Mapping[str, Sequence[TextRow]], now: int, faults: FaultPlan | None = None
    ) -> None:
        super().__init__(self._answer, faults)
        self.now = now
        self.rows = {symbol: [*each, drop_unfinished(each[-1], now)] for symbol, each in rows.items()}

    def _answer(self, request: Request) -> str | tuple[int, str]:
        match request.path:
            case "/api/v5/public/time":
                return _wrap_data([{"ts": str(self.now)}])
            case "/api/v5/public/instruments":
                return _wrap_data([_instrument(symbol) for symbol in self.rows])
            case "/api/v5/market/candles" | "/api/v5/market/history-candles":
                return self._candles(request.query)
        return 404, "{}"

    def _candles(self, query: Mapping[str, str]) -> str | tuple[int, str]:
        if query.get("instId") not in self.rows or query.get("bar") != "1Dutc":
            return 200, json.dumps({"code": "51001", "msg": "Instrument ID does not exist", "data": []})
        since, until = int(query.get("before", 0)), int(query.get("after", 1 << 60))
        limit = min(int(query.get("limit", 100)), 300)
        rows = [row for row in self.rows[query["instId"]] if since < row[0] < until][-limit:][::-1]
        return _wrap_data([self._row(row) for row in (self.faults.spoil(rows) if self.faults else rows)])

    def _row(self, row: TextRow) -> list[str]:
        start, *prices = row
        return [str(start), *prices, "0", "0", "1" if start + DAY_MS <= self.now else "0"]


def _wrap_data(data: Sequence[object]) -> str:
    return json.dumps({"code": "0", "msg": "", "data": data})


def _instrument(symbol: str) -> dict[str, str]:
    base, quote = symbol.split("-")
    return {
        "instType": "SPOT",
        "instId": symbol,
        "baseCcy": base,
        "quoteCcy": quote,
        "lotSz": "0.00000001",
        "minSz": "0.00001",
        "tickSz": "0.1",
        "state": "live",
        "listTime": "1548133413000",
        "expTime": "",
        "uly": "",
        "instFamily": "",
        "settleCcy": "",
        "ctVal": "",
        "ctMult": "",
        "ctValCcy": "",
        "ctType": "",
        "lever": "10",
        "alias": "",
        "category": "1",
        "optType": "",
        "stk": "",
        "maxLmtSz": "99999",
        "maxMktSz": "99999",
        "ruleType": "normal",
    }
