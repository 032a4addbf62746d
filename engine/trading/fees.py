"""The fees of an account, whose tiers follow from the value that it traded in the last 30 days."""

from bisect import bisect_left
from collections.abc import Mapping
from datetime import datetime, timedelta
from math import floor, fsum

from engine.instruments import Costs
from engine.trading.pnl import commission
from engine.trading.records import Fill

_WINDOW = timedelta(days=30)


class FeeVolume:
    """The traded value by table of fee tiers: symbols with equal tiers share an account.

    `costs` are by symbol.
    """

    def __init__(self, costs: Mapping[str, Costs]) -> None:
        self._costs = costs
        self._times: dict[object, list[datetime]] = {}
        self._values: dict[object, list[float]] = {}

    def add(self, symbol: str, at: datetime, value: float) -> None:
        """Add a fill, in the order of time.

        Args:
            symbol: The symbol.
            at: When it was filled, in UTC.
            value: Its absolute value in the base currency.
        """
        if tiers := self._costs[symbol].fee_tiers:
            self._times.setdefault(tiers, []).append(at)
            self._values.setdefault(tiers, []).append(value)

    def before(self, symbol: str, at: datetime) -> float:
        """Return the value traded in the 30 days before `at`, that instant excluded; 0 without tiers."""
        tiers = self._costs[symbol].fee_tiers
        times = self._times.get(tiers, [])
        first, last = bisect_left(times, at - _WINDOW), bisect_left(times, at)
        return fsum(self._values[tiers][first:last]) if first < last else 0.0


class AccountFees:
    """The fees of fills at an instant; `add` each fill afterwards. `costs` are by symbol."""

    def __init__(self, costs: Mapping[str, Costs]) -> None:
        self._costs = costs
        self._volume = FeeVolume(costs)

    def add(self, fill: Fill) -> None:
        """Count a fill, in the order of time."""
        self._volume.add(fill.symbol, fill.at, abs(fill.size) * fill.price * fill.rate)

    def commission(self, symbol: str, size: float, price: float, rate: float, at: datetime) -> float:
        """Return the fee and the tax of a fill, in the base currency.

        Args:
            symbol: The symbol.
            size: Signed units.
            price: The price of the fill, in the base currency.
            rate: The value of the quote currency in the base currency.
            at: The instant, in UTC.
        """
        traded = self._volume.before(symbol, at)
        return commission(size, price, self._costs[symbol], rate=rate, traded=traded)

    def affordable_size(
        self, symbol: str, cash: float, price: float, rate: float, at: datetime, lot: float
    ) -> float:
        """Return the largest size in whole lots that cash buys, fee included; 0 where it buys none.

        Args:
            symbol: The symbol.
            cash: The cash, in the base currency.
            price: The price of the fill, in the base currency.
            rate: The value of the quote currency in the base currency.
            at: The instant, in UTC.
            lot: The lot; 0 for any fraction.
        """
        costs = self._costs[symbol]
        fraction, least = costs.tier_fraction(self._volume.before(symbol, at)), costs.least_fee * rate
        size = cash / (price * (1 + fraction))
        if size * price * fraction < least:
            size = (cash - least) / price
        return max(0.0, floor(size / lot) * lot if lot else size)
