"""Binance's public REST interface for spot markets, version 3, on loopback.

The shapes are those of the recorded answers in the shared wire samples. The last candle of each symbol is
one that has only begun.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.support.servers.bars_on_disk import DAY_MS, SAMPLES
from tests.support.servers.faults import FaultPlan, Loopback, Request, TextRow


class BinanceServer(Loopback):
    """Daily candles of `rows` by market id (BTCUSDT); `now` is the exchange's clock in milliseconds."""

    def __init__(
        self, rows: Mapping[str, Sequence[TextRow]], now: int, faults: FaultPlan | None = None
    ) -> None:
        super().__init__(self._answer, faults)
        self.now = now
        self.rows: dict[str, list[TextRow]] = {}
        self.wrong: dict[str, set[int]] = {}
        for symbol, each in rows.items():
            kept, self.wrong[symbol] = faults.spoil_for_good(each) if faults else (list(each), set())
            self.rows[symbol] = [*kept, drop_unfinished(each[-1], now)]
        self._info = _exchange_info(list(rows), now)

    def _answer(self, request: Request) -> str | tuple[int, str]:
        match request.path:
            case "/api/v3/time":
                return json.dumps({"serverTime": self.now})
            case "/api/v3/exchangeInfo":
                return self._info
            case "/api/v3/klines":
                return self._klines(request.query)
            case "/api/v3/ticker/24hr":
                return self._ticker(request.query)
        return 404, "{}"

    def _klines(self, query: Mapping[str, str]) -> str | tuple[int, str]:
        if query.get("symbol") not in self.rows or query.get("interval") != "1d":
            return 400, json.dumps({"code": -1121, "msg": "Invalid symbol."})
        since, until = int(query.get("startTime", 0)), int(query.get("endTime", 1 << 60))
        limit = min(int(query.get("limit", 500)), 1000)
        rows = [row for row in self.rows[query["symbol"]] if since <= row[0] <= until][:limit]
        return json.dumps([_kline(row) for row in (self.faults.spoil(rows) if self.faults else rows)])

    def _ticker(self, query: Mapping[str, str]) -> str | tuple[int, str]:
        sample = json.loads((SAMPLES / "binance_ticker24hr_BTCUSDT.json").read_text())
        symbols = [query["symbol"]] if "symbol" in query else list(self.rows)
        if any(symbol not in self.rows for symbol in symbols):
            return 400, json.dumps({"code": -1121, "msg": "Invalid symbol."})
        answers = [
            sample | {"symbol": symbol, "lastPrice": self.rows[symbol][-1][4], "closeTime": self.now}
            for symbol in symbols
        ]
        return json.dumps(answers[0] if "symbol" in query else answers)


def drop_unfinished(row: TextRow, now: int) -> TextRow:
    """The candle of the running day: half a day's volume at twice the last close."""
    price = repr(float(row[4]) * 2)
    return (now // DAY_MS * DAY_MS, price, price, price, price, "0.5")


def _kline(row: TextRow) -> list[Any]:
    start, open_, high, low, close, volume = row
    end = start + DAY_MS - 1
    return [start, open_, high, low, close, volume, end, "0", 1, "0", "0", "0"]


def _exchange_info(symbols: Sequence[str], now: int) -> str:
    info = json.loads((SAMPLES / "binance_exchangeInfo_trimmed.json").read_text())
    sample = info["symbols"][0]
    info["serverTime"] = now
    info["symbols"] = [
        sample | {"symbol": symbol, "baseAsset": symbol.removesuffix("USDT"), "quoteAsset": "USDT"}
        for symbol in symbols
    ]
    return json.dumps(info)
