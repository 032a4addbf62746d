"""Indicators of one observation's window, as short words and numbers for a prompt.

Each is computed from the closed bars of the window alone; one whose history is too short is left out. The
caller says how differences of prices are written.

Sources: Wilder, New Concepts in Technical Trading Systems (1978), for RSI and ATR with his smoothing; Appel,
Technical Analysis (2005), for MACD 12/26/9; Bollinger, Bollinger on Bollinger Bands (2002), for the position
between bands of 20 days and two standard deviations of the population.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from engine.model import Bar

Steps = Callable[[float], str]
"""Writes a difference of prices as a signed number of steps."""


def mean_close(bars: Sequence[Bar], days: int) -> float | None:
    """Return the mean of the last closes; None where there are fewer."""
    return sum(bar.close for bar in bars[-days:]) / days if len(bars) >= days else None


def macd(bars: Sequence[Bar]) -> tuple[float, float] | None:
    """Return MACD (12, 26) and its signal (9), in the quote currency; None below 35 bars.

    Each exponential mean begins with the plain mean of its first values.
    """
    closes = [bar.close for bar in bars]
    if len(closes) < 35:
        return None
    fast, slow = exponential_means(closes, 12), exponential_means(closes, 26)
    line = [a - b for a, b in zip(fast[-len(slow) :], slow, strict=True)]
    return line[-1], exponential_means(line, 9)[-1]


def rsi(bars: Sequence[Bar], days: int = 14) -> float | None:
    """Return Wilder's relative strength index, 0 to 100, 50 without any move; None without `days` changes."""
    changes = [b.close - a.close for a, b in pairwise(bars)]
    if len(changes) < days:
        return None
    gain = smoothed([max(change, 0.0) for change in changes], days)
    loss = smoothed([max(-change, 0.0) for change in changes], days)
    return 100 * gain / (gain + loss) if gain + loss else 50.0


def atr(bars: Sequence[Bar], days: int = 14) -> float | None:
    """Return Wilder's average true range, in the quote currency; None without `days` bars and one before."""
    ranges = [max(bar.high, before.close) - min(bar.low, before.close) for before, bar in pairwise(bars)]
    return smoothed(ranges, days) if len(ranges) >= days else None


def bollinger_position(bars: Sequence[Bar], days: int = 20) -> float | None:
    """Return where the last close lies: 0 is the lower band, 1 the upper; None below `days` bars."""
    closes = [bar.close for bar in bars[-days:]]
    if len(closes) < days:
        return None
    mean = sum(closes) / days
    deviation = math.sqrt(sum((close - mean) ** 2 for close in closes) / days)
    return 0.5 + (closes[-1] - mean) / (4 * deviation) if deviation else 0.5


def trend(bars: Sequence[Bar], days: int = 20) -> float | None:
    """Return the slope a day of the line that fits the last log closes best; None below `days` bars."""
    closes = [bar.close for bar in bars[-days:]]
    if len(closes) < days:
        return None
    middle = (days - 1) / 2
    weights = [place - middle for place in range(days)]
    moment = sum(weight * math.log(close) for weight, close in zip(weights, closes, strict=True))
    return moment / sum(weight * weight for weight in weights)


def exponential_means(values: Sequence[float], days: int) -> list[float]:
    """Return the exponential means of weight 2 / (days + 1); the first is the plain mean of `days` values."""
    means = [sum(values[:days]) / days]
    for value in values[days:]:
        means.append(means[-1] + 2 / (days + 1) * (value - means[-1]))
    return means


def smoothed(values: Sequence[float], days: int) -> float:
    """Return Wilder's smoothed mean: the plain mean of `days` values, then 1 / days of each next one."""
    mean = sum(values[:days]) / days
    for value in values[days:]:
        mean += (value - mean) / days
    return mean


def _show_mean(days: int) -> Callable[[Sequence[Bar], Steps], str | None]:
    def show(bars: Sequence[Bar], steps: Steps) -> str | None:
        mean = mean_close(bars, days)
        return None if mean is None else f"MA{days} {steps(mean - bars[-1].close)}"

    return show


def _show_macd(bars: Sequence[Bar], steps: Steps) -> str | None:
    values = macd(bars)
    return f"MACD {steps(values[0])} signal {steps(values[1])}" if values else None


def _show_rsi(bars: Sequence[Bar], steps: Steps) -> str | None:  # noqa: ARG001  # all have one form
    value = rsi(bars)
    return None if value is None else f"RSI14 {value:.0f}"


def _show_atr(bars: Sequence[Bar], steps: Steps) -> str | None:
    value = atr(bars)
    return None if value is None else f"ATR14 {steps(value).lstrip('+')}"


def _show_bollinger(bars: Sequence[Bar], steps: Steps) -> str | None:  # noqa: ARG001  # as above
    value = bollinger_position(bars)
    return None if value is None else f"Bollinger {value * 100:.0f}%"


def _show_trend(bars: Sequence[Bar], steps: Steps) -> str | None:
    value = trend(bars)
    return None if value is None else f"trend {steps(value * bars[-1].close)} a day"


INDICATORS: dict[str, Callable[[Sequence[Bar], Steps], str | None]] = {
    "ma5": _show_mean(5),
    "ma10": _show_mean(10),
    "macd": _show_macd,
    "rsi": _show_rsi,
    "atr": _show_atr,
    "bollinger": _show_bollinger,
    "trend": _show_trend,
}
"""The indicators that a template may ask for, by the word that it uses."""

INDICATOR_WINDOW = 60
"""How many bars a template with indicators looks at; smoothed ones depend on where the window begins."""


def describe_indicators(names: Sequence[str], bars: Sequence[Bar], steps: Steps) -> str:
    """Return the indicators on one line, such as "MA5 -3, RSI14 61"; empty where none can be computed.

    Args:
        names: Words of `INDICATORS`.
        bars: The closed bars, oldest first.
        steps: Writes a difference of prices.
    """
    shown = (INDICATORS[name](bars, steps) for name in names) if bars else ()
    return ", ".join(text for text in shown if text)
