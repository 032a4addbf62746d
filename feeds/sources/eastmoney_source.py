"""A-shares' daily candles and last prices from EastMoney through akshare."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from typing import Any
from zoneinfo import ZoneInfo

from engine.errors import DataError
from feeds.history.candles import DAY, Adjustment
from feeds.history.client import Row, TemporaryError
from feeds.history.endpoints import redirect_requests
from feeds.instruments import a_share_code
from feeds.sources.stocks import UNREADABLE, LiveStocks, StockClient, day_after, to_milliseconds

_LOT = 100
_SHANGHAI = ZoneInfo("Asia/Shanghai")
_CLOCK = "https://push2his.eastmoney.com/api/qt/stock/kline/get"

_SMALL_REQUEST = {
    "secid": "1.000001",
    "fields1": "f1",
    "fields2": "f51",
    "klt": "101",
    "fqt": "0",
    "beg": "20240102",
    "end": "20240102",
}


class EastmoneyClient(StockClient):
    """A `BarClient` over akshare's A-share history. Volumes are converted from lots to shares."""

    name = "eastmoney"
    service, library = "EastMoney", "akshare"
    adjustments = (Adjustment.RAW, Adjustment.SPLIT_DIVIDEND)
    lacking = "split-only"
    repairs_silently = False

    def __init__(self, source: str, **settings: Any) -> None:
        super().__init__(source, **settings)
        self._module = import_module("akshare.stock_feature.stock_hist_em")

    def require(self, symbols: Sequence[str]) -> None:
        """Raise DataError for a symbol that is no A-share's code."""
        for symbol in symbols:
            if not a_share_code(symbol):
                raise DataError(f"{self.name}: {symbol[:40]!r} is no A-share; give six digits such as 600519")

    def candles(self, symbol: str, since: datetime, until: datetime) -> Sequence[Row]:
        """Request the days from `since` to the one before `until`."""
        with self._translate_errors():
            frame = self._library.stock_zh_a_hist(
                symbol=a_share_code(symbol),
                period="daily",
                start_date=f"{since:%Y%m%d}",
                end_date=f"{day_after(until) - DAY:%Y%m%d}",
                adjust="" if self.adjustment is Adjustment.RAW else "qfq",
                timeout=self._timeout_s,
            )
            if frame.empty:
                return []
            columns = [frame[name].tolist() for name in ("开盘", "最高", "最低", "收盘")]
            volumes = [float(lots) * _LOT for lots in frame["成交量"].tolist()]
            days = [to_milliseconds(day) for day in frame["日期"].tolist()]
        return list(zip(days, *columns, volumes, strict=True))

    def last_trade(self, symbol: str) -> tuple[float, datetime]:
        """Return the close and the instant of the newest minute with a trade. Raises TemporaryError.

        The instant is never after that of the answer.
        """
        with self._translate_errors():
            minutes = self._library.stock_zh_a_hist_min_em(symbol=a_share_code(symbol), period="1")
            traded = minutes[minutes["成交量"] > 0].iloc[-1]
            at = datetime.fromisoformat(str(traded["时间"])).replace(tzinfo=_SHANGHAI).astimezone(UTC)
            price = float(traded["收盘"])
        # A minute is named by its end, which may lie in the future.
        return price, min(at, self._answer_date(200))

    def answer_time(self) -> datetime:
        """Return the Date of a small answer."""
        with self._translate_errors():
            answer = self._module.requests.get(_CLOCK, params=_SMALL_REQUEST, timeout=self._timeout_s)
        return self._answer_date(answer.status_code)

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            with redirect_requests(self._module, self._http), warnings.catch_warnings():
                # akshare still calls parts of pandas that are to change in a later version.
                warnings.simplefilter("ignore", DeprecationWarning)
                yield
        except UNREADABLE as error:
            raise TemporaryError(type(error).__name__) from None


create_client = EastmoneyClient
create_live_source = LiveStocks
