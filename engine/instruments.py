"""Instruments with the rules of their markets, and the costs of trading them."""

import math
import re
from dataclasses import dataclass, fields
from datetime import date, timedelta
from enum import StrEnum
from itertools import pairwise

from engine.model import Bar

ROUND_THE_CLOCK = "24/7"
"""The calendar of days in UTC. "24/7+08:00" has the same days from midnight to midnight of that offset."""
WEEKDAYS = "24/5"
"""The calendar of days in UTC from Monday to Friday."""


def is_round_the_clock(calendar: str) -> bool:
    """Return whether a calendar is of a market that never closes."""
    return calendar.startswith(ROUND_THE_CLOCK)


class AssetClass(StrEnum):
    """Groups of instruments that share a market's rules and default costs."""

    COIN = "coin"
    STOCK = "stock"
    A_SHARE = "a-share"
    FX = "fx"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """A symbol with its market's rules.

    Attributes:
        symbol: The traded symbol.
        names: Other words that news uses for it.
        asset_class: Decides the market's rules and default costs.
        calendar: "24/7" or "24/5" (days in UTC), "24/7+08:00" (days of that offset) or a code of
            exchange_calendars.
        currency: The quote currency.
        lot: The smallest tradable size and its step, in units; 0 allows any fraction.
        shortable: Whether it can be sold short.
        price_limit: How far, as a fraction, a day's price may be from the previous close: 0 is any distance,
            and None the rule of its market (see `price_limit`).
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """The costs of a trade. Every fill is a market order and pays the taker's fee.

    Raises ValueError for a value that is not a number of zero or more, and for tiers out of order.

    Attributes:
        fee_bps: The fee, in basis points of the filled value.
        slippage_bps: How far a fill lies from the official open, in basis points of it.
        latency_bps: The cost of delay, added to slippage.
        delay_minutes: How long after the open an order is filled; see `delay_fraction`.
        borrow_rate: What a short position pays, a fraction a year.
        least_fee: The least fee of a fill, in the quote currency.
        sale_tax_bps: What a sale pays beside the fee, such as a stamp duty, in basis points of its value.
        fee_tiers: From so much traded value in 30 days on (base currency), the fee that takes the place of
            `fee_bps`, in ascending order.
    """

    fee_bps: float
    slippage_bps: float
    latency_bps: float
    borrow_rate: float
    least_fee: float = 0.0
    sale_tax_bps: float = 0.0
    fee_tiers: tuple[tuple[float, float], ...] = ()
    delay_minutes: float = 0.0

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            for number in sum(value, ()) if item.name == "fee_tiers" else (value,):
                if not (math.isfinite(number) and number >= 0):
                    raise ValueError(f"{item.name} {number} is not a number of zero or more")
        if any(later[0] <= earlier[0] for earlier, later in pairwise(self.fee_tiers)):
            raise ValueError("fee_tiers do not ascend by the traded value; sort them")

    @property
    def slippage_fraction(self) -> float:
        """How far a fill lies from the official open, as a fraction of it."""
        return (self.slippage_bps + self.latency_bps) / 10_000

    def delay_fraction(self, bar: Bar | None) -> float:
        """Return what the delay costs a fill, as a fraction of the open: the mean move meanwhile.

        In a random walk the mean range of a day is sqrt(8 / pi) standard deviations of its move (Feller
        1951), and the mean size of the move in a share s of the day is sqrt(2 s / pi) of them: half the range
        times sqrt(s). It is charged as if the price always moved against the order, half the price at most.

        Args:
            bar: The last closed bar before the fill, whose range and length are known by then; None costs
                nothing.
        """
        if not self.delay_minutes or bar is None:
            return 0.0
        share = min(1.0, timedelta(minutes=self.delay_minutes) / (bar.closes_at - bar.opens_at))
        return min(0.5, (bar.high - bar.low) / bar.close / 2 * math.sqrt(share))

    @property
    def fee_fraction(self) -> float:
        """The fee as a fraction of the filled value, in the lowest tier."""
        return self.fee_bps / 10_000

    @property
    def is_proportional(self) -> bool:
        """Whether a fill costs the same fraction of its value, whatever its size, side and time."""
        return not (self.least_fee or self.sale_tax_bps or self.fee_tiers)

    def tier_fraction(self, traded: float) -> float:
        """Return the fee as a fraction, after `traded` value in 30 days (base currency)."""
        reached = [bps for value, bps in self.fee_tiers if value <= traded]
        return reached[-1] / 10_000 if reached else self.fee_fraction


DEFAULT_COSTS = {
    AssetClass.COIN: Costs(fee_bps=10, slippage_bps=5, latency_bps=1, borrow_rate=0.10),
    AssetClass.STOCK: Costs(fee_bps=1, slippage_bps=2, latency_bps=1, borrow_rate=0.03),
    AssetClass.A_SHARE: Costs(
        fee_bps=3, slippage_bps=5, latency_bps=1, borrow_rate=0.08, least_fee=5, sale_tax_bps=5
    ),
    AssetClass.FX: Costs(fee_bps=0.2, slippage_bps=0.5, latency_bps=0.5, borrow_rate=0.02),
}
"""Sources are in docs/guide/configuration.md."""


# ChiNext went from 10% to 20% on this day; STAR has had 20% from its start, and Beijing 30%.
_CHINEXT_WIDENED = date(2020, 8, 24)
_CODE = re.compile(r"[0-9]{6}")
_TICK = 0.01

# Adjusting prices for dividends rounds them again, which moves a limit by up to a tick.
_TOLERANCE = 1.05 * _TICK

# An open further beyond the limit than this has another reference price: an ex-rights day, a listing.
_BEYOND = 0.002


def price_limit(instrument: Instrument, day: date) -> float:
    """Return how far from its previous close, as a fraction, the instrument may trade on `day`; 0: any price.

    The instrument's own `price_limit` if it states one. Otherwise, for an A-share by its code: 20% for 688
    and 689, and for 300 and 301 since 2020-08-24; 30% for Beijing's 4, 8 and 92; else 10%. The first days
    after a listing, and shares under special treatment (5%), cannot be inferred from a code.
    """
    if instrument.price_limit is not None:
        return instrument.price_limit
    if instrument.asset_class is not AssetClass.A_SHARE:
        return 0.0
    match = _CODE.search(instrument.symbol)
    code = match[0] if match else ""
    if code.startswith(("688", "689")) or (code.startswith(("300", "301")) and day >= _CHINEXT_WIDENED):
        return 0.20
    return 0.30 if code.startswith(("4", "8", "92")) else 0.10


def limit_prices(previous_close: float, limit: float) -> tuple[float, float]:
    """Return the lowest and the highest price of a day, in whole ticks of 0.01, halves rounded up."""
    down, up = previous_close * (1 - limit), previous_close * (1 + limit)
    return _to_tick(down), _to_tick(up)


def limit_lock_reason(
    instrument: Instrument, size: float, open_price: float, previous_close: float, day: date
) -> str:
    """Return why an order cannot be filled at this open; empty if it can.

    Nobody sells at the upper limit and nobody buys at the lower one, so a purchase at the first and a sale at
    the second would wait in a queue.

    Args:
        instrument: The instrument, with its limit.
        size: The signed size of the order.
        open_price: The open, in the quote currency.
        previous_close: The close of the bar before, in the quote currency; 0 if unknown.
        day: The date of the open.
    """
    limit = price_limit(instrument, day)
    if limit == 0 or previous_close <= 0:
        return ""
    down, up = limit_prices(previous_close, limit)
    if size > 0 and -_TOLERANCE <= open_price - up <= max(_TOLERANCE, _BEYOND * up):
        return f"opened at the upper price limit of {up:.2f}, where nobody sells"
    if size < 0 and -_TOLERANCE <= down - open_price <= max(_TOLERANCE, _BEYOND * down):
        return f"opened at the lower price limit of {down:.2f}, where nobody buys"
    return ""


def _to_tick(price: float) -> float:
    return math.floor(price / _TICK + 0.5 + 1e-6) * _TICK
