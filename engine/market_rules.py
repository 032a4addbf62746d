"""What a market allows at an open: daily price limits, and the fills that they prevent.

Knows instruments and prices; it knows no order book. That shares bought today cannot be sold today (T+1)
needs no rule here: an order fills at an open only, and a symbol of daily bars opens once a day.
"""

import math
import re
from datetime import date

from engine.instruments import AssetClass, Instrument

# ChiNext went from 10% to 20% on this day; STAR has had 20% since it began, and Beijing 30%.
_CHINEXT_WIDENED = date(2020, 8, 24)
_CODE = re.compile(r"[0-9]{6}")
_TICK = 0.01
# Adjusting prices for dividends rounds them again, which moves a limit by up to a tick.
_NEAR = 1.05 * _TICK
# An open further beyond the limit than this belongs to another reference price: an ex-rights day, a listing.
_BEYOND = 0.002


def price_limit(instrument: Instrument, day: date) -> float:
    """How far from its previous close, as a fraction, the instrument may trade on `day`; 0: any price.

    The instrument's own `price_limit` if it states one. Otherwise, for an A-share by its code: 20% for 688
    and 689, and for 300 and 301 since 2020-08-24; 30% for Beijing's 4, 8 and 92; else 10%. The first days
    after a listing, and shares under special treatment (5%), cannot be told from a code.
    """
    if instrument.price_limit is not None:
        return instrument.price_limit
    if instrument.asset_class is not AssetClass.A_SHARE:
        return 0.0
    found = _CODE.search(instrument.symbol)
    code = found[0] if found else ""
    if code.startswith(("688", "689")) or (code.startswith(("300", "301")) and day >= _CHINEXT_WIDENED):
        return 0.20
    return 0.30 if code.startswith(("4", "8", "92")) else 0.10


def limit_prices(previous_close: float, limit: float) -> tuple[float, float]:
    """The lowest and the highest price of a day, in whole ticks of 0.01, halves rounded up."""
    down, up = previous_close * (1 - limit), previous_close * (1 + limit)
    return _to_tick(down), _to_tick(up)


def locked(instrument: Instrument, size: float, open_price: float, previous_close: float, day: date) -> str:
    """Why an order of `size` (signed) cannot be filled at this open; empty if it can.

    Nobody sells at the upper limit and nobody buys at the lower one, so a purchase at the first and a sale at
    the second would wait in a queue. Prices are in the quote currency, `previous_close` 0 if unknown.
    """
    limit = price_limit(instrument, day)
    if limit == 0 or previous_close <= 0:
        return ""
    down, up = limit_prices(previous_close, limit)
    if size > 0 and -_NEAR <= open_price - up <= max(_NEAR, _BEYOND * up):
        return f"opened at the upper price limit of {up:.2f}, where nobody sells"
    if size < 0 and -_NEAR <= down - open_price <= max(_NEAR, _BEYOND * down):
        return f"opened at the lower price limit of {down:.2f}, where nobody buys"
    return ""


def _to_tick(price: float) -> float:
    return math.floor(price / _TICK + 0.5 + 1e-6) * _TICK
