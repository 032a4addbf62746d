"""Equity, what holding would have made, positions and prices, as events go by. Knows no forecast's worth."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from strategies.monitor import fields
from strategies.monitor.journal_reader import EventRow
from strategies.monitor.views import AccountView, Point, PositionView

MAX_POINTS = 600


class Curve:
    """Points that never become more than twice as many as can be drawn: every other one goes then."""

    def __init__(self) -> None:
        self._points: list[Point] = []
        self._every = 1
        self._seen = 0
        self.last: Point | None = None

    def add(self, at: datetime, value: float) -> None:
        """The next point."""
        self.last = Point(at=at, value=value)
        if self._seen % self._every == 0:
            self._points.append(self.last)
            if len(self._points) > 2 * MAX_POINTS:
                self._points = self._points[::2]
                self._every *= 2
        self._seen += 1

    def points(self) -> tuple[Point, ...]:
        """What is kept, with the newest point at its end."""
        end = () if self.last is None or (self._points and self._points[-1] is self.last) else (self.last,)
        return (*self._points, *end)


class AccountTracker:
    """What the account is worth and what it holds."""

    def __init__(self) -> None:
        self.start: float | None = None
        self._equity = Curve()
        self._buy_and_hold = Curve()
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
        self._prices: dict[str, tuple[float, datetime]] = {}

    def on_valuation(self, at: datetime, payload: Mapping[str, Any]) -> None:
        """The account was valued."""
        value = fields.get_number(payload, "value")
        if value is None:
            return
        day = (at - timedelta(microseconds=1)).date()
        if self._day is None or day > self._day:
            self._day, self._day_start = day, self._equity.last.value if self._equity.last else self.start
        self._cash = fields.get_number(payload, "cash") if "cash" in payload else self._cash
        if self._equity.last is None or at >= self._equity.last.at:
            self._equity.add(at, value)
        self._peak = max(self._peak, value)
        if self._peak > 0:
            self._fall = max(self._fall, 1 - value / self._peak)

    def on_progress(self, payload: Mapping[str, Any]) -> None:
        """A session told what it holds and what waits."""
        said = fields.get_mapping(payload, "positions")
        self._sizes = {str(symbol): size for symbol in said if (size := fields.get_number(said, symbol))}
        waits = fields.get_mapping(payload, "waiting")
        self._waiting = {str(symbol): size for symbol in waits if (size := fields.get_number(waits, symbol))}

    def on_order(self, payload: Mapping[str, Any]) -> None:
        """An order got a status; once it is no longer pending, nothing waits for its symbol."""
        if payload.get("status") != "pending":
            self._waiting.pop(fields.get_text(payload, "symbol", 40), None)

    def on_fill(self, payload: Mapping[str, Any]) -> None:
        """An order was filled."""
        symbol, size = fields.get_text(payload, "symbol", 40), fields.get_number(payload, "size") or 0.0
        price = fields.get_number(payload, "price")
        before = self._sizes.get(symbol, 0.0)
        after = before + size
        if price is not None and (before * size >= 0 or before * after < 0):
            paid = self._entry.get(symbol, 0.0) * before if before * size > 0 else 0.0
            bought = size if before * size >= 0 else after
            self._entry[symbol] = (paid + price * bought) / after if after else price
        self._rates[symbol] = fields.get_number(payload, "rate") or 1.0
        self._costs += fields.get_number(payload, "cost") or 0.0
        self._fills += 1
        self._sizes[symbol] = 0.0 if abs(after) < 1e-9 * max(1.0, abs(before)) else after

    def on_split(self, payload: Mapping[str, Any]) -> None:
        """A symbol's units changed."""
        symbol, ratio = fields.get_text(payload, "symbol", 40), fields.get_number(payload, "ratio")
        if ratio:
            self._sizes[symbol] = self._sizes.get(symbol, 0.0) * ratio
            for book in (self._entry, self._first):
                if symbol in book:
                    book[symbol] /= ratio

    def on_price(self, symbol: str, price: float | None, at: datetime) -> None:
        """A price was learned."""
        known = self._prices.get(symbol)
        if price is not None and (known is None or at >= known[1]):
            self._prices[symbol] = price, at

    def on_slice(self, row: EventRow) -> None:
        """The prices of a slice: its close where there is one, else its open."""
        for symbol, values in fields.get_mapping(row.payload, "bars").items():
            if isinstance(values, list) and values:
                close = fields.as_finite(values[3] if len(values) > 3 else values[0])
                self.on_price(str(symbol)[:40], close, row.as_of)

    def on_quotes(self, row: EventRow) -> None:
        """Last prices between slices."""
        for symbol, said in fields.get_mapping(row.payload, "quotes").items():
            if isinstance(said, list) and said:
                self.on_price(str(symbol)[:40], fields.as_finite(said[0]), row.as_of)

    def on_close(self, row: EventRow) -> None:
        """A call stated its symbol's last close, which is what a holder of it has."""
        symbol, close = (
            fields.get_text(row.payload, "symbol", 40),
            fields.get_number(row.payload, "last_close"),
        )
        if not close:
            return
        if self._closes_at is not None and row.as_of > self._closes_at and self._ratio:
            self._buy_and_hold.add(self._closes_at, sum(self._ratio.values()) / len(self._ratio))
        self._closes_at = row.as_of
        self._ratio[symbol] = close / self._first.setdefault(symbol, close)
        self.on_price(symbol, close, row.as_of)

    def view(self) -> AccountView:
        """The account so far; `hold` is scaled to the starting cash."""
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
            hold=tuple(_scale_points(self._buy_and_hold.points(), start)),
            drawdown=self._fall,
            costs=self._costs,
            fills=self._fills,
        )

    def positions(self) -> tuple[PositionView, ...]:
        """What is held or waits to be, largest first."""
        symbols = {s for s, size in self._sizes.items() if size} | self._waiting.keys()
        found = [self._position(symbol) for symbol in symbols]
        return tuple(sorted(found, key=lambda one: (-abs(one.market_value or 0.0), one.symbol)))

    def _position(self, symbol: str) -> PositionView:
        price = self._prices.get(symbol)
        return PositionView(
            symbol=symbol,
            size=self._sizes.get(symbol, 0.0),
            entry=self._entry.get(symbol) if self._sizes.get(symbol) else None,
            price=price[0] if price else None,
            price_at=price[1] if price else None,
            rate=self._rates.get(symbol, 1.0),
            waiting=self._waiting.get(symbol, 0.0),
        )


def _scale_points(points: Iterable[Point], start: float | None) -> Iterable[Point]:
    return (Point(at=one.at, value=one.value * (start or 1.0)) for one in points)
