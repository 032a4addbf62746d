"""Equity, mean price, positions and prices, from the events of a journal."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta

from engine.corporate_actions import Dividend, RecentFills, Split, apply_split
from engine.journal.events.inputs import Quotes
from engine.model import Prediction, Slice
from engine.trading.records import EquityPoint, Fill, OrderRecord, OrderStatus, SessionSnapshot, Valuation
from strategies.monitor.views import AccountView, Point, PositionView

MAX_POINTS = 600


class Curve:
    """Keeps at most twice as many points as can be drawn, dropping every other one beyond that."""

    def __init__(self) -> None:
        self._points: list[Point] = []
        self._every = 1
        self._seen = 0
        self.last: Point | None = None

    def add(self, at: datetime, value: float) -> None:
        """Add the next point."""
        self.last = Point(at=at, value=value)
        if self._seen % self._every == 0:
            self._points.append(self.last)
            if len(self._points) > 2 * MAX_POINTS:
                self._points = self._points[::2]
                self._every *= 2
        self._seen += 1

    def points(self) -> tuple[Point, ...]:
        """Return what is kept, with the newest point at its end."""
        end = () if self.last is None or (self._points and self._points[-1] is self.last) else (self.last,)
        return (*self._points, *end)


class AccountTracker:
    """The account's value and its positions."""

    def __init__(self) -> None:
        self.start: float | None = None
        self._equity = Curve()
        self._mean_price = Curve()
        self._cash: float | None = None
        self._peak = self._fall = self._costs = 0.0
        self._fills = 0
        self._day: date | None = None
        self._day_start: float | None = None
        self._first: dict[str, float] = {}
        self._ratio: dict[str, float] = {}
        self._closes_at: datetime | None = None
        self._sizes: dict[str, float] = {}
        self._entry: dict[str, float] = {}
        self._rates: dict[str, float] = {}
        self._waiting: dict[str, float] = {}
        self._recent_fills = RecentFills()
        self._prices: dict[str, tuple[float, datetime]] = {}

    def on_valuation(self, at: datetime, valued: EquityPoint | Valuation) -> None:
        """Add a value of the account, as of `at`."""
        day = (at - timedelta(microseconds=1)).date()
        if self._day is None or day > self._day:
            self._day, self._day_start = day, self._equity.last.value if self._equity.last else self.start
        if isinstance(valued, EquityPoint):
            self._cash = valued.cash
        if self._equity.last is None or at >= self._equity.last.at:
            self._equity.add(at, valued.value)
        self._peak = max(self._peak, valued.value)
        if self._peak > 0:
            self._fall = max(self._fall, 1 - valued.value / self._peak)

    def on_snapshot(self, snapshot: SessionSnapshot) -> None:
        """Take the cash, positions and waiting orders that a session states."""
        self._cash = snapshot.cash
        self._sizes = {symbol: size for symbol, size in snapshot.positions.items() if size}
        self._waiting = {symbol: size for symbol, size in snapshot.waiting.items() if size}

    def on_order(self, order: OrderRecord) -> None:
        """Apply an order's status: a pending one waits for its symbol's open, and no other does."""
        if order.status is OrderStatus.PENDING:
            self._waiting[order.symbol] = order.size
        else:
            self._waiting.pop(order.symbol, None)

    def on_fill(self, fill: Fill) -> None:
        """Apply a fill to position, entry price and costs."""
        symbol, size, price = fill.symbol, fill.size, fill.price
        before = self._sizes.get(symbol, 0.0)
        after = before + size
        if before * size >= 0 or before * after < 0:
            paid = self._entry.get(symbol, 0.0) * before if before * size > 0 else 0.0
            bought = size if before * size >= 0 else after
            self._entry[symbol] = (paid + price * bought) / after if after else price
        self._rates[symbol] = fill.rate
        if self._cash is not None:
            self._cash -= size * price * fill.rate + fill.commission
        self._costs += fill.cost
        self._recent_fills.add(symbol, fill.at, size)
        self._fills += 1
        self._sizes[symbol] = 0.0 if abs(after) < 1e-9 * max(1.0, abs(before)) else after

    def on_split(self, split: Split) -> None:
        """Restate a symbol's position and prices in its new units."""
        later = self._recent_fills.since(split.symbol, split.at)
        self._sizes[split.symbol], _ = apply_split(
            self._sizes.get(split.symbol, 0.0), split.ratio, 0.0, later
        )
        known = self._prices.get(split.symbol)
        if known is not None and known[1] < split.at:
            self._prices[split.symbol] = known[0] / split.ratio, known[1]
        for book in (self._entry, self._first):
            if split.symbol in book:
                book[split.symbol] /= split.ratio

    def on_dividend(self, dividend: Dividend) -> None:
        """Add a dividend to the cash, on the position before the open of its ex-date."""
        symbol = dividend.symbol
        held = self._sizes.get(symbol, 0.0) - self._recent_fills.since(symbol, dividend.at)
        if self._cash is not None:
            self._cash += held * dividend.amount * self._rates.get(symbol, 1.0)

    def on_price(self, symbol: str, price: float, at: datetime) -> None:
        """Take a price, unless a newer one is known."""
        known = self._prices.get(symbol)
        if known is None or at >= known[1]:
            self._prices[symbol] = price, at

    def on_slice(self, slice_: Slice) -> None:
        """Take the prices of a slice: closes, or opens where that is all that is known."""
        for symbol, bar in slice_.bars.items():
            self.on_price(symbol, bar.close, slice_.as_of)

    def on_quotes(self, at: datetime, quotes: Quotes) -> None:
        """Take last prices between slices."""
        for symbol, (price, _) in quotes.quotes.items():
            self.on_price(symbol, price, at)

    def on_prediction(self, call: Prediction) -> None:
        """Take the last close that a prediction states; it also moves the mean price."""
        symbol, close, at = call.symbol, call.last_close, call.as_of
        if not close:
            return
        if self._closes_at is not None and at > self._closes_at and self._ratio:
            self._mean_price.add(self._closes_at, sum(self._ratio.values()) / len(self._ratio))
        self._closes_at = at
        self._ratio[symbol] = close / self._first.setdefault(symbol, close)
        self.on_price(symbol, close, at)

    def view(self) -> AccountView:
        """Return the account so far; `mean_price` is scaled to the starting cash."""
        last = self._equity.last
        today = last.value - self._day_start if last and self._day_start is not None else None
        start = self.start or (self._equity.points()[0].value if last else None)
        return AccountView(
            start=start,
            value=last.value if last else start,
            cash=self._cash,
            at=last.at if last else None,
            today=today,
            equity=self._equity.points(),
            mean_price=tuple(_scale_points(self._mean_price.points(), start)),
            drawdown=self._fall,
            costs=self._costs,
            fills=self._fills,
        )

    def positions(self) -> tuple[PositionView, ...]:
        """Return open positions and symbols with waiting orders, largest first."""
        symbols = {s for s, size in self._sizes.items() if size} | self._waiting.keys()
        positions = map(self._position, symbols)
        return tuple(sorted(positions, key=lambda view: (-abs(view.market_value or 0.0), view.symbol)))

    def _position(self, symbol: str) -> PositionView:
        price = self._prices.get(symbol)
        return PositionView(
            symbol=symbol[:40],
            size=self._sizes.get(symbol, 0.0),
            entry=self._entry.get(symbol) if self._sizes.get(symbol) else None,
            price=price[0] if price else None,
            price_at=price[1] if price else None,
            rate=self._rates.get(symbol, 1.0),
            waiting=self._waiting.get(symbol, 0.0),
        )


def _scale_points(points: Iterable[Point], start: float | None) -> Iterable[Point]:
    return (Point(at=point.at, value=point.value * (start or 1.0)) for point in points)
