"""Score an equity curve: returns, drawdown, Sharpe ratio, and the Sharpe ratio deflated for trials."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from statistics import NormalDist

EquityMark = tuple[datetime, float]
"""When equity was marked (UTC), and its value in the base currency."""

_FLAT = 1e-12  # below this a standard deviation of returns is rounding, not movement


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """The scores of an equity curve, all fractions; a ratio is None where it cannot be computed.

    `sharpe` is annualised, `daily_sharpe` is not; `max_drawdown` is a positive fraction of the peak.
    `returns` are the simple returns of the days with a mark, oldest first.
    """

    total_return: float
    sharpe: float | None
    daily_sharpe: float | None
    max_drawdown: float
    returns: tuple[float, ...]


def compute_performance(marks: Iterable[EquityMark], cash: float, days_per_year: int) -> Performance:
    """Score the marks of an equity curve.

    Args:
        marks: The curve, oldest first.
        cash: The equity at its start.
        days_per_year: 365 for coins, 252 for stocks.

    Raises:
        ValueError: For marks out of order or not finite, and for cash that is not above zero.
    """
    curve = _validate_marks(marks, cash)
    returns = daily_returns(curve, cash)
    daily = daily_sharpe(returns)
    return Performance(
        total_return=(curve[-1][1] if curve else cash) / cash - 1.0,
        sharpe=None if daily is None else daily * math.sqrt(days_per_year),
        daily_sharpe=daily,
        max_drawdown=max_drawdown((value for _, value in curve), cash),
        returns=tuple(returns),
    )


def daily_equity(marks: Iterable[EquityMark]) -> dict[date, float]:
    """Return the last mark of each day that has one, in order of time.

    A mark at midnight belongs to the day that ends then: the day is the UTC date one microsecond earlier.
    """
    return {(at.astimezone(UTC) - timedelta(microseconds=1)).date(): value for at, value in marks}


def daily_returns(marks: Iterable[EquityMark], cash: float) -> list[float]:
    """Return the simple return of each day that has a mark, by its last mark; the first is from `cash`.

    Days without a mark (weekends of a stock) are skipped. There are no returns after the day on which equity
    falls to zero or below, since there is nothing left to earn them on.
    """
    returns: list[float] = []
    before = cash
    for value in daily_equity(marks).values():
        if before <= 0:
            break
        returns.append(value / before - 1.0)
        before = value
    return returns


def daily_sharpe(returns: Sequence[float]) -> float | None:
    """Return mean over sample standard deviation (divisor n-1) of daily returns, at a risk-free rate of 0.

    None for fewer than two returns and for returns that do not vary.
    """
    if len(returns) < 2:
        return None
    mean = math.fsum(returns) / len(returns)
    deviation = math.sqrt(math.fsum((r - mean) ** 2 for r in returns) / (len(returns) - 1))
    return None if deviation <= _FLAT else mean / deviation


def max_drawdown(values: Iterable[float], cash: float) -> float:
    """Return the deepest fall from a peak as a positive fraction of that peak; `cash` is the first peak."""
    peak, deepest = cash, 0.0
    for value in values:
        peak = max(peak, value)
        deepest = max(deepest, (peak - value) / peak)
    return deepest


def expected_max_sharpe(trials: int, variance: float) -> float:
    """Return the Sharpe ratio expected of the best of `trials` independent ones without skill.

    `variance` is that of the trials' Sharpe ratios; Bailey and López de Prado 2014, by extreme value theory.
    0 for fewer than two trials.
    """
    if trials < 2:
        return 0.0
    euler, quantile = 0.5772156649015329, NormalDist().inv_cdf
    highest = (1 - euler) * quantile(1 - 1 / trials) + euler * quantile(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * highest


def deflated_sharpe(
    returns: Sequence[float], trials: int, variance: float | None, yardstick: float = 0.0
) -> float | None:
    """Return the probability that the true Sharpe ratio exceeds the expected best of `trials` without skill.

    Bailey and López de Prado 2014, "The Deflated Sharpe Ratio", Journal of Portfolio Management 40(5), with
    the skewness and kurtosis of these daily returns. Without skill means here: with the Sharpe ratio of the
    yardstick, such as that of buy and hold, since in a rising market luck alone earns most of it. With fewer
    than two trials it is the probabilistic Sharpe ratio against the yardstick.

    Args:
        returns: Simple daily returns.
        trials: How many trials were made.
        variance: That of the daily Sharpe ratios of the trials on record; None (fewer than two are known)
            stands for 1/(T-1), which T returns without skill would give.
        yardstick: The daily Sharpe ratio that takes no skill.

    Returns:
        The probability; None where the Sharpe ratio is None, and for returns so few or odd that its error is
            zero.
    """
    ratio = daily_sharpe(returns)
    if ratio is None:
        return None
    freedom = len(returns) - 1
    benchmark = yardstick + expected_max_sharpe(trials, 1.0 / freedom if variance is None else variance)
    mean = math.fsum(returns) / len(returns)
    second, third, fourth = (math.fsum((r - mean) ** k for r in returns) / len(returns) for k in (2, 3, 4))
    skewness, kurtosis = third / second**1.5, fourth / second**2
    spread = 1.0 - skewness * ratio + (kurtosis - 1.0) / 4.0 * ratio**2
    if spread <= _FLAT:
        return None
    return NormalDist().cdf((ratio - benchmark) * math.sqrt(freedom / spread))


def _validate_marks(marks: Iterable[EquityMark], cash: float) -> list[EquityMark]:
    if not (math.isfinite(cash) and cash > 0):
        raise ValueError(f"cash {cash} is not an amount above zero")
    curve = list(marks)
    if any(later[0] < earlier[0] for earlier, later in pairwise(curve)):
        raise ValueError("marks of equity are not in order of time")
    if not all(math.isfinite(value) for _, value in curve):
        raise ValueError("a mark of equity is not a finite number")
    return curve
