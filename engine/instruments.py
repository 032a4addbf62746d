"""What can be traded and at what cost. Nothing here knows a price."""

import math
from dataclasses import dataclass
from enum import StrEnum

ROUND_THE_CLOCK = "24/7"


class AssetClass(StrEnum):
    """Groups of instruments that share a market's rules and default costs."""

    COIN = "coin"
    STOCK = "stock"
    A_SHARE = "a-share"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """A symbol with its market's rules.

    `calendar` is "24/7" (days in UTC) or a code of exchange_calendars. `lot` is the smallest tradable
    size and its step; 0 allows any fraction. `names` are the other words that news uses for it.
    `price_limit` is how far, as a fraction, a day's price may be from the previous close: 0 is any
    distance, and None is what the market's own rule says (see `engine.market_rules`).
    """

    symbol: str
    names: tuple[str, ...] = ()
    asset_class: AssetClass
    calendar: str
    currency: str
    lot: float = 0.0
    shortable: bool = False
    price_limit: float | None = None

    def __post_init__(self) -> None:
        if not self.symbol:
            raise ValueError("an instrument needs a symbol")
        if not (math.isfinite(self.lot) and self.lot >= 0):
            raise ValueError(f"lot {self.lot} is not a number of zero or more")
        if self.price_limit is not None and not 0 <= self.price_limit < 1:
            raise ValueError(f"price_limit {self.price_limit} is not a fraction from 0 to below 1")

    @property
    def days_per_year(self) -> int:
        """Trading days in a year, by which this instrument's figures are annualised."""
        return 365 if self.calendar == ROUND_THE_CLOCK else 252


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What a trade costs: all in basis points of the traded value, but `borrow_rate` (fraction a year).

    `slippage_bps` and `latency_bps` move the fill away from the official open; `fee_bps` is charged on
    the filled value.
    """

    fee_bps: float
    slippage_bps: float
    latency_bps: float
    borrow_rate: float

    def __post_init__(self) -> None:
        for name in ("fee_bps", "slippage_bps", "latency_bps", "borrow_rate"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} {value} is not a number of zero or more")

    @property
    def slip(self) -> float:
        """How far a fill lies from the official open, as a fraction of it."""
        return (self.slippage_bps + self.latency_bps) / 10_000

    @property
    def fee(self) -> float:
        """The commission as a fraction of the filled value."""
        return self.fee_bps / 10_000


DEFAULT_COSTS = {
    AssetClass.COIN: Costs(fee_bps=10, slippage_bps=5, latency_bps=1, borrow_rate=0.10),
    AssetClass.STOCK: Costs(fee_bps=1, slippage_bps=2, latency_bps=1, borrow_rate=0.03),
    AssetClass.A_SHARE: Costs(fee_bps=5, slippage_bps=5, latency_bps=1, borrow_rate=0.08),
}
