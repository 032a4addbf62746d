"""EastMoney's history of candles on loopback, in the shape of the recorded answer of the wire samples."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from servers.faults import FaultPlan, Loopback, Request, TextRow


class EastmoneyServer(Loopback):
    """Daily candles of `rows` by code and "fqt" (600519 and 0: as traded, 1: adjusted); volumes in lots."""

    def __init__(
        self, rows: Mapping[tuple[str, str], Sequence[TextRow]], faults: FaultPlan | None = None
    ) -> None:
        super().__init__(self._answer, faults)
        self.rows = rows

    def _answer(self, request: Request) -> str | tuple[int, str]:
        if request.path != "/api/qt/stock/kline/get":
            return 404, "{}"
        query = request.query
        code = query["secid"].partition(".")[2]
        rows = [
            row
            for row in self.rows.get((code, query["fqt"]), ())
            if query["beg"] <= f"{_day(row):%Y%m%d}" <= query["end"]
        ]
        if not rows:
            return json.dumps({"rc": 100, "rt": 1, "svr": 1, "lt": 1, "full": 1, "dlmkts": "", "data": None})
        lines = [_line(row) for row in (self.faults.spoil(rows) if self.faults else rows)]
        data = {"code": code, "market": 1, "name": "", "decimal": 2, "dktotal": len(rows), "klines": lines}
        return json.dumps({"rc": 0, "rt": 17, "svr": 1, "lt": 1, "full": 0, "dlmkts": "", "data": data})


def _day(row: TextRow) -> datetime:
    return datetime.fromtimestamp(row[0] / 1000, UTC)


def _line(row: TextRow) -> str:
    _, open_, high, low, close, volume = row
    lots = f"{float(volume) / 100:.0f}"
    return f"{_day(row):%Y-%m-%d},{open_},{close},{high},{low},{lots},0.00,0.00,0.00,0.00,0.00"
