"""From a wanted weight to the size of an order. Knows no price source, no cash and no time."""

import math

# A size this close below a whole number of lots is that number: 0.3 / 0.1 is 2.9999999999999996.
_LOT_TOLERANCE = 1e-9


def target_position(weight: float, equity: float, price: float, lot: float) -> float:
    """The position, in signed units, that is worth `weight` (a fraction) of `equity` at `price`.

    Any fraction where `lot` is 0, else rounded towards zero to whole lots.
    """
    size = weight * equity / price
    return size if lot == 0 else math.copysign(_round_to_lots(abs(size), lot) * lot, size)


def order_size(target: float, held: float, lot: float) -> float:
    """The signed size that takes the position from `held` to `wanted`, both in units; 0: nothing to do.

    An order to close is exactly what is held, so that no dust remains.
    """
    if target == 0:
        return -held
    if lot == 0:
        return target - held
    return (round(target / lot) - round(held / lot)) * lot


def _round_to_lots(size: float, lot: float) -> int:
    return math.floor(size / lot * (1 + _LOT_TOLERANCE))
