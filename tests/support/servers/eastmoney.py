"""EastMoney's history of candles on loopback, in the shape of the recorded answer of the wire samples."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from tests.support.servers.faults import FaultPlan, Loopback, Request, TextRow
from tests.support.servers.tape import Tape

_SHANGHAI = ZoneInfo("Asia/Shanghai")


class EastmoneyServer(Loopback):
    """Daily candles of `rows` by code and "fqt" (600519 and 0: as traded, 1: adjusted); volumes in lots.

    With a `tape` they are those of its moment, which is also that of the Date header, and there are minutes.
    The shape of these is what akshare's source takes from an answer: there is no recorded one.
    """

    def __init__(
        self,
        rows: Mapping[tuple[str, str], Sequence[TextRow]],
        faults: FaultPlan | None = None,
        tape: Tape | None = None,
    ) -> None:
        super().__init__(self._answer, faults)
        self.rows, self.tape = rows, tape
        if tape:
            self.dated = lambda: tape.now.timestamp()

    def _answer(self, request: Request) -> str | tuple[int, str]:
        query = request.query
        if request.path == "/api/qt/stock/trends2/get":
            return self._minutes(query["secid"].partition(".")[2])
        if request.path != "/api/qt/stock/kline/get" or "secid" not in query:
            return 404, "{}"
        code = query["secid"].partition(".")[2]
        shown = self.tape.visible_rows(code) if self.tape else self.rows.get((code, query["fqt"]), ())
        rows = [row for row in shown if query["beg"] <= f"{_day(row):%Y%m%d}" <= query["end"]]
        if not rows:
            return json.dumps({"rc": 100, "rt": 1, "svr": 1, "lt": 1, "full": 1, "dlmkts": "", "data": None})
        lines = [_line(row) for row in (self.faults.spoil(rows) if self.faults else rows)]
        data = {"code": code, "market": 1, "name": "", "decimal": 2, "dktotal": len(rows), "klines": lines}
        return json.dumps({"rc": 0, "rt": 17, "svr": 1, "lt": 1, "full": 0, "dlmkts": "", "data": data})

    def _minutes(self, code: str) -> str:
        if not self.tape:
            return json.dumps({"rc": 100, "data": None})
        price, at = self.tape.last(code)
        # A minute is named by its end; the newest has not been traded in.
        ends = [at.astimezone(_SHANGHAI) + timedelta(minutes=n) for n in (-1, 0, 1)]
        trends = [
            f"{end:%Y-%m-%d %H:%M},{price},{price},{price},{price},{n},0.00,{price}"
            for n, end in zip((9, 5, 0), ends, strict=True)
        ]
        return json.dumps({"rc": 0, "data": {"code": code, "trends": trends}})


def _day(row: TextRow) -> datetime:
    return datetime.fromtimestamp(row[0] / 1000, UTC)


def _line(row: TextRow) -> str:
    _, open_, high, low, close, volume = row
    lots = f"{float(volume) / 100:.0f}"
    return f"{_day(row):%Y-%m-%d},{open_},{close},{high},{low},{lots},0.00,0.00,0.00,0.00,0.00"
