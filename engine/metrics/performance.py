"""Score an equity curve: returns, risk, drawdown, and the Sharpe ratio deflated for trials."""

import math
from collections.abc import Iterable, Mapping, Sequence
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

    Days are those with a mark, and a year has `days_per_year` of them.

    Attributes:
        total_return: The last value over the starting cash, less 1.
        annual_return: The constant yearly return that gives the same; None without a day, and where equity
            fell below zero.
        volatility: The sample standard deviation of the daily returns, a year.
        sharpe: Mean over sample standard deviation of the daily returns, a year.
        daily_sharpe: The same, not annualised.
        sortino: Mean over downside deviation of the daily returns, a year: the root of the mean over all days
            of min(return, 0) squared (Sortino and Price 1994, with a target of 0). None without a loss.
        calmar: Annual return over maximum drawdown; None where there is no drawdown.
        max_drawdown: The deepest fall from a peak, at closes, a positive fraction of the peak.
        max_drawdown_days: Calendar days from that peak until a mark is as high again, or until the last mark.
        hit_rate: The share of gains among the days on which equity changed.
        profit_factor: The sum of the daily gains over that of the daily losses, as returns; None without a
            loss.
        probabilistic_sharpe: The probability that the true Sharpe ratio is above zero (`deflated_sharpe` of
            one trial; Bailey and López de Prado 2012).
        returns: The simple returns of the days, oldest first.
    """

    total_return: float
    annual_return: float | None
    volatility: float | None
    sharpe: float | None
    daily_sharpe: float | None
    sortino: float | None
    calmar: float | None
    max_drawdown: float
    max_drawdown_days: int
    hit_rate: float | None
    profit_factor: float | None
    probabilistic_sharpe: float | None
    returns: tuple[float, ...]


def compute_performance(marks: Iterable[EquityMark], cash: float, days_per_year: int) -> Performance:
    """Score the marks of an equity curve.

    Args:
        marks: The curve, oldest first.
        cash: The equity at its start.
        days_per_year: How many days of a year have a mark (`engine.metrics.annualization`).

    Raises:
        ValueError: For marks out of order or not finite, and for cash that is not above zero.
    """
    curve = _validate_marks(marks, cash)
    returns = daily_returns(curve, cash)
    daily = daily_sharpe(returns)
    total = (curve[-1][1] if curve else cash) / cash - 1.0
    yearly = annual_return(total, len(returns), days_per_year)
    deepest, length = max_drawdown(curve, cash)
    gains = math.fsum(r for r in returns if r > 0)
    losses = -math.fsum(r for r in returns if r < 0)
    changes = sum(r != 0 for r in returns)
    downside = math.sqrt(math.fsum(min(r, 0.0) ** 2 for r in returns) / len(returns)) if returns else 0.0
    deviation = _deviation(returns)
    return Performance(
        total_return=total,
        annual_return=yearly,
        volatility=None if deviation is None else deviation * math.sqrt(days_per_year),
        sharpe=None if daily is None else daily * math.sqrt(days_per_year),
        daily_sharpe=daily,
        sortino=math.fsum(returns) / len(returns) / downside * math.sqrt(days_per_year)
        if downside > _FLAT
        else None,
        calmar=None if yearly is None or deepest <= _FLAT else yearly / deepest,
        max_drawdown=deepest,
        max_drawdown_days=length,
        hit_rate=sum(r > 0 for r in returns) / changes if changes else None,
        profit_factor=gains / losses if losses > _FLAT else None,
        probabilistic_sharpe=deflated_sharpe(returns, 1, None),
        returns=tuple(returns),
    )


def annual_return(total: float, days: int, days_per_year: float) -> float | None:
    """Return the yearly return that compounds to `total` over some days.

    Args:
        total: The return over all days, a fraction.
        days: How many days.
        days_per_year: How many of them make a year.

    Returns:
        A fraction; None without a day, for a loss of more than all, and for a gain of so few days that the
            figure of a year is beyond the numbers of a computer.
    """
    if not days or total < -1:
        return None
    if total == -1:
        return -1.0
    try:
        return math.expm1(math.log1p(total) * days_per_year / days)
    except OverflowError:
        return None


def regress_on_benchmark(
    returns: Mapping[date, float], benchmark: Mapping[date, float], days_per_year: float
) -> tuple[float, float] | None:
    """Return alpha (a fraction a year) and beta of daily returns to those of a benchmark.

    The ordinary least squares of the days that both have (Jensen 1968, at a risk-free rate of 0); alpha is
    the daily intercept times `days_per_year`.

    Args:
        returns: By day.
        benchmark: By day.
        days_per_year: As in `compute_performance`.

    Returns:
        None for fewer than three common days and for a benchmark that does not vary.
    """
    from statistics import linear_regression

    days = [day for day in returns if day in benchmark]
    theirs = [benchmark[day] for day in days]
    if len(days) < 3 or (_deviation(theirs) or 0.0) <= _FLAT:
        return None
    beta, intercept = linear_regression(theirs, [returns[day] for day in days])
    return intercept * days_per_year, beta


def daily_equity(marks: Iterable[EquityMark]) -> dict[date, float]:
    """Return the last mark of each day that has one, in order of time.

    A mark at midnight belongs to the day that ends then: the day is the UTC date one microsecond earlier.
    """
    return {(at.astimezone(UTC) - timedelta(microseconds=1)).date(): value for at, value in marks}


def dated_returns(marks: Iterable[EquityMark], cash: float) -> dict[date, float]:
    """Return the simple return of each day that has a mark, by its last mark; the first is from `cash`.

    Days without a mark (weekends of a stock) are skipped. There are no returns after the day on which equity
    falls to zero or below, since there is nothing left to earn them on.
    """
    returns: dict[date, float] = {}
    before = cash
    for day, value in daily_equity(marks).items():
        if before <= 0:
            break
        returns[day] = value / before - 1.0
        before = value
    return returns


def daily_returns(marks: Iterable[EquityMark], cash: float) -> list[float]:
    """Return the returns of `dated_returns` without their days."""
    return list(dated_returns(marks, cash).values())


def daily_sharpe(returns: Sequence[float]) -> float | None:
    """Return mean over sample standard deviation (divisor n-1) of daily returns, at a risk-free rate of 0.

    None for fewer than two returns and for returns that do not vary.
    """
    deviation = _deviation(returns)
    return None if deviation is None or deviation <= _FLAT else math.fsum(returns) / len(returns) / deviation


def _deviation(returns: Sequence[float]) -> float | None:
    if len(returns) < 2:
        return None
    mean = math.fsum(returns) / len(returns)
    return math.sqrt(math.fsum((r - mean) ** 2 for r in returns) / (len(returns) - 1))


def max_drawdown(curve: Sequence[EquityMark], cash: float) -> tuple[float, int]:
    """Return the deepest fall from a peak, and its length.

    Args:
        curve: The marks, oldest first.
        cash: The equity at the start, which is the first peak; a fall from it counts from the first mark.

    Returns:
        A positive fraction of the peak, and the calendar days from the peak until a mark is as high again, or
            until the last mark.
    """
    if not curve:
        return 0.0, 0
    peak, peak_at = cash, curve[0][0]
    deepest, since, top = 0.0, peak_at, cash
    until: datetime | None = peak_at
    for at, value in curve:
        if until is None and value >= top:
            until = at
        if value >= peak:
            peak, peak_at = value, at
        if (fall := (peak - value) / peak) > deepest:
            deepest, since, top, until = fall, peak_at, peak, None
    return deepest, ((until or curve[-1][0]) - since).days


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
