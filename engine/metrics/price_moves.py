"""Recognise market data by its price moves, whatever its file, source or symbols are called."""

import hashlib
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MAX_CELLS = 32_768
"""Moves kept of one set of data: all of three symbols over 40 years, 65 days of 500 symbols."""

_MIN_DAYS = 15
"""With fewer days in common nothing is concluded from the moves."""

_MAX_DIFFERENCE = 0.25
"""The same price from two sources, or rounded, differs by up to 0.11 of its move; two indices by 0.6."""

_MIN_AGREEMENT = 0.5
"""Mean product of signs below which two series cannot be the same: the same price has 0.9 and more."""


@dataclass(frozen=True)
class PriceMoves:
    """The moves of the closes of some symbols, whose names do not matter.

    Attributes:
        days: Days with a close as proleptic ordinals, ascending, shape (days,).
        moves: Log moves from the close before, shape (days, symbols), float16; NaN where there is none.
    """

    days: "NDArray[np.int32]"
    moves: "NDArray[np.float16]"

    @cached_property
    def digest(self) -> str:
        """SHA-256 of days and moves."""
        return hashlib.sha256(self.days.tobytes() + self.moves.tobytes()).hexdigest()

    def encode(self) -> dict[str, Any]:
        """Return this as JSON types."""
        return {
            "days": encode_array(self.days, "<i4"),
            "symbols": self.moves.shape[1],
            "moves": encode_array(self.moves, "<f2"),
        }


def build_price_moves(closes: Mapping[str, Mapping[int, float]]) -> PriceMoves:
    """Return the moves from close to close of each symbol.

    Of large data some days are left out: the same ones of every data, so that parts of them can be compared.

    Args:
        closes: The closes by symbol and day, a proleptic ordinal, oldest first; in quote currency, above 0.
    """
    import numpy as np

    days = np.array(sorted(set().union(*closes.values())), dtype=np.int32)
    moves = np.full((len(days), len(closes)), np.nan, dtype=np.float16)
    for column, series in enumerate(closes.values()):
        places = np.searchsorted(days, np.fromiter(series, np.int32, len(series)))
        prices = np.fromiter(series.values(), np.float64, len(series))
        moves[places[1:], column] = np.diff(np.log(prices))
    # An order of all days that does not follow the week (Knuth's multiplicative hash).
    ranks = (days.astype(np.uint64) * np.uint64(2_654_435_761)) % np.uint64(2**32)
    kept = np.ones(len(days), dtype=bool)
    part = 2**32
    while kept.sum() * moves.shape[1] > _MAX_CELLS:
        part //= 2
        kept = ranks < part
    return PriceMoves(days=days[kept], moves=moves[kept])


def decode_price_moves(cells: Mapping[str, Any]) -> PriceMoves:
    """Return what `PriceMoves.encode` wrote. Raises KeyError, TypeError or ValueError for anything else."""
    days = decode_array(cells["days"], "<i4")
    return PriceMoves(
        days=days, moves=decode_array(cells["moves"], "<f2").reshape(len(days), int(cells["symbols"]))
    )


def have_same_prices(some: PriceMoves, other: PriceMoves) -> bool | None:
    """Return whether two data share the prices of a symbol, by whatever name; None for too few common days.

    A symbol is the same if on the median day the two moves differ by less than a quarter of the median move.
    So a renamed file, another source of the same price, adjusted prices, left-out days and rounding are
    recognised, and so are inverse prices and bars that carry the date of the day before or after.

    Args:
        some: Moves of one data.
        other: Moves of another.
    """
    if some.digest == other.digest and len(some.days) >= _MIN_DAYS:
        return True
    same_dates, *shifted = (_share_a_symbol(some, other, shift) for shift in (0, 1, -1))
    return True if same_dates or any(shifted) else same_dates


def _share_a_symbol(some: PriceMoves, other: PriceMoves, shift: int) -> bool | None:
    """Return what `have_same_prices` does where the days of the second are `shift` days later."""
    import numpy as np

    _, rows, other_rows = np.intersect1d(
        some.days, other.days + shift, assume_unique=True, return_indices=True
    )
    if len(rows) < _MIN_DAYS:
        return None
    left, right = (
        np.asarray(moves, dtype=np.float32) for moves in (some.moves[rows], other.moves[other_rows])
    )
    for x, y in _candidates(left, right):
        moved = ~np.isnan(x) & ~np.isnan(y) & ((x != 0) | (y != 0))
        if moved.sum() < _MIN_DAYS:
            continue
        size = min(np.median(np.abs(x[moved])), np.median(np.abs(y[moved])))
        if np.median(np.abs(x[moved] - y[moved])) < _MAX_DIFFERENCE * size:
            return True
    return False if _overlap(left, right) else None


def _candidates(
    left: "NDArray[np.float32]", right: "NDArray[np.float32]"
) -> Iterator[tuple["NDArray[np.float32]", "NDArray[np.float32]"]]:
    """Yield the pairs of columns that mostly rise and fall together, or one of them against the other."""
    import numpy as np

    signs, other_signs = (np.nan_to_num(np.sign(moves)) for moves in (left, right))
    agreement = signs.T @ other_signs
    moved = np.abs(signs).T @ np.abs(other_signs)
    for column, other_column in np.argwhere(np.abs(agreement) >= np.maximum(moved, 1) * _MIN_AGREEMENT):
        yield left[:, column], right[:, other_column] * np.sign(agreement[column, other_column])


def _overlap(left: "NDArray[np.float32]", right: "NDArray[np.float32]") -> bool:
    """Return whether any two columns have enough days in common to be compared."""
    import numpy as np

    present, other_present = (np.asarray(~np.isnan(moves), dtype=np.float32) for moves in (left, right))
    return bool((present.T @ other_present).max(initial=0) >= _MIN_DAYS)


def encode_array(values: "NDArray[Any]", kind: str) -> str:
    """Return an array as text: zlib and base64 of its numbers as `kind`, such as "<f8"."""
    return b64encode(zlib.compress(values.astype(kind).tobytes())).decode()


def decode_array(text: str, kind: str) -> "NDArray[Any]":
    """Return the numbers in a text of `encode_array`. Raises ValueError for another text."""
    import numpy as np

    try:
        return np.frombuffer(zlib.decompress(b64decode(text, validate=True)), dtype=kind)
    except zlib.error as error:
        raise ValueError(f"not compressed numbers ({error})") from error
