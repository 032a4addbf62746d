"""Position sizing: from a target weight to the size of an order in whole lots."""

import math

# A size this close below a whole number of lots is that number: 0.3 / 0.1 is 2.9999999999999996.
_LOT_TOLERANCE = 1e-9


def target_position(weight: float, equity: float, price: float, lot: float) -> float:
    """Return the position that is worth `weight` of `equity` at `price`.

    Args:
        weight: A fraction of equity; negative is short.
        equity: The portfolio's value.
        price: The price of one unit, in the currency of `equity`.
        lot: The lot, in units; 0 for any fraction.

    Returns:
        Signed units, rounded towards zero to whole lots.
    """
    size = weight * equity / price
    return size if lot == 0 else math.copysign(_round_to_lots(abs(size), lot) * lot, size)


def order_size(target: float, position: float, lot: float) -> float:
    """Return the signed size that takes a position from `position` to `target`, in units; 0: nothing to do.

    An order to close has exactly the size of the position, so that no dust remains. Other sizes are whole
    multiples of `lot`, unless it is 0.
    """
    if target == 0:
        return -position
    if lot == 0:
        return target - position
    return (round(target / lot) - round(position / lot)) * lot


def _round_to_lots(size: float, lot: float) -> int:
    return math.floor(size / lot * (1 + _LOT_TOLERANCE))
