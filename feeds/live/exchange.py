"""An exchange of ccxt as a live source of daily bars and prices.

Knows how candles become bars of UTC days; whether one can be believed is the collector's business.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from engine.values import Bar
from feeds.history.exchanges import CcxtClient
from feeds.live.rows import bar_of, starts_at
from feeds.live.sources import Opening, Quote

_DAY = timedelta(days=1)


class LiveExchange:
    """A `BarSource` for the spot markets of one exchange, through public endpoints without a key."""

    def __init__(self, client: CcxtClient) -> None:
        self._client = client

    @property
    def name(self) -> str:
        """The source's name, such as "ccxt:binance"."""
        return self._client.name

    def server_time(self) -> datetime:
        """The exchange's own clock."""
        return self._client.server_time()

    def closed_bars(self, symbol: str, since: datetime) -> Sequence[Bar]:
        """The days from `since` on; the running one is among them. Rows that are no bar are left out."""
        until = self._client.server_time() + _DAY
        rows = self._client.candles(symbol, since, until)
        days = [(at, row) for row in rows if (at := starts_at(row)) is not None and at >= since]
        return [bar for at, row in days if (bar := bar_of(symbol, row, (at, at + _DAY))) is not None]

    def opening(self, symbol: str, session_open: datetime) -> Opening:
        """The open of the running day, as soon as the exchange shows its candle, and the last trade."""
        bars = self.closed_bars(symbol, session_open)
        official = next((bar.open for bar in bars if bar.opens_at == session_open), None)
        return Opening(official=official, observed=self.quote(symbol))

    def quote(self, symbol: str) -> Quote:
        """The last traded price."""
        price, at = self._client.last_trade(symbol)
        return Quote(price=price, at=at)
