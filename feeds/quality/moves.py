"""Measure how a symbol's prices and volumes usually move, so that a move can be compared with the usual one.

All scales are median absolute deviations, which a wrong price does not move (Hampel 1974); moves are natural
logarithms of ratios.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from feeds.quality.rows import BarRow

Series = np.ndarray[Any, np.dtype[np.float64]]

# A normal distribution's standard deviation over its median absolute deviation.
_MAD_TO_SIGMA = 1.4826
_WINDOW, _MIN_SCALE = 61, 0.002
_USUAL_DAYS = 20


class Moves:
    """Log moves and their scales: `gap` from the last close to the open, `body` from open to close."""

    def __init__(self, rows: Sequence[BarRow]) -> None:
        opens, closes = _logs(row.open for row in rows), _logs(row.close for row in rows)
        self.body = closes - opens
        self.gap = np.concatenate([[0.0], opens[1:] - closes[:-1]])
        self.gap_scale, self.body_scale = _scale(self.gap), _scale(self.body)
        self._volume = np.array([row.volume for row in rows])

    def relative_volume(self, index: int) -> float | None:
        """Return the volume of row `index` over the usual one; None where either is zero."""
        usual = float(np.median(self._volume[max(0, index - _USUAL_DAYS) : index]))
        day = float(self._volume[index])
        return day / usual if usual > 0 and day > 0 else None


def _logs(values: Iterable[float]) -> Series:
    logs: Series = np.log(np.fromiter(values, dtype=np.float64))
    return logs


def _scale(moves: Series) -> Series:
    """Return the larger of the scale of all moves and of the 61 around each, so that a wild month passes."""
    deviation = np.abs(moves - np.median(moves))
    scale = np.full(len(moves), max(_MAD_TO_SIGMA * float(np.median(deviation)), _MIN_SCALE))
    if len(moves) <= _WINDOW:
        return scale
    padded = np.pad(deviation, _WINDOW // 2, mode="reflect")
    around = np.median(np.lib.stride_tricks.sliding_window_view(padded, _WINDOW), axis=1)
    wider: Series = np.maximum(scale, _MAD_TO_SIGMA * around)
    return wider
