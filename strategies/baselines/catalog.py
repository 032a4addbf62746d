"""The forecasts of all baselines that a run asks for."""

from collections.abc import Callable, Mapping, Sequence

from engine.errors import UsageError
from engine.model import Abstention, Bar, Forecast, Observation, Prediction
from engine.outcomes import match_outcomes
from strategies.baselines import counting, news_models, price_models, timeseries
from strategies.baselines.names import ALL, BASELINES, OF_STUDENT
from strategies.calibration import calibrate
from strategies.config import BacktestConfig, CalibrationMethod
from strategies.market_data import MarketData
from strategies.results import ORACLE, oracle_predictions

Forecaster = Callable[[Sequence[Observation], Mapping[str, Sequence[Bar]], int], Sequence[Prediction]]
"""Forecasts observations from the bars of each symbol and a seed."""

_FORECASTERS: Mapping[str, Forecaster] = {
    "buy_and_hold": lambda observed, bars, _: counting.buy_and_hold(observed, bars),
    "persistence": lambda observed, bars, _: counting.persistence(observed, bars),
    "majority": lambda observed, bars, _: counting.majority(observed, bars),
    "random": lambda observed, _, seed: counting.random_baseline(observed, seed),
    "random_walk": lambda observed, bars, _: counting.random_walk(observed, bars),
    "momentum": lambda observed, bars, _: counting.momentum(observed, bars),
    "volatility_target": lambda observed, bars, _: counting.buy_and_hold(observed, bars),
    "logistic": lambda observed, bars, _: price_models.logistic(observed, bars),
    "boosted": price_models.boosted,
    "tfidf": lambda observed, bars, _: news_models.tfidf(observed, bars),
    "lexicon": lambda observed, bars, _: news_models.lexicon(observed, bars),
    "timeseries": lambda observed, bars, _: timeseries.timeseries(observed, bars),
}
_OF_NEWS = ("tfidf", "lexicon")


def baseline_predictions(
    config: BacktestConfig,
    market: MarketData,
    observed: Sequence[Observation],
    calls: Sequence[Prediction | Observation],
) -> dict[str, Sequence[Prediction]]:
    """Return the forecasts of every baseline that is asked for, and of the oracle if there is one, by name.

    A baseline that cannot be made of this run is left out (see `require_available`); so is the student's base
    model, which has to be asked.

    Args:
        config: The configuration, for the names and the seed.
        market: The market data.
        observed: What the baselines forecast.
        calls: The closes that the oracle forecasts: where they are the student's predictions, with its stated
            confidences, these are what is calibrated.
    """
    missing = _find_missing(config, market, student=True)
    callers: dict[str, Sequence[Prediction]] = {
        name: forecaster(observed, market.bars, config.seed)
        for name, forecaster in _FORECASTERS.items()
        if is_wanted(config, name) and name not in missing
    }
    stated = [call for call in calls if isinstance(call, Forecast | Abstention)]
    if is_wanted(config, "calibrated") and stated:
        method = config.calibrate or CalibrationMethod.PLATT
        callers["calibrated"] = calibrate(
            match_outcomes(stated, market.bars, market.symbol_calendars), method
        ).calls
    if market.oracle:
        callers[ORACLE] = oracle_predictions(calls, market.oracle)
    return callers


def is_wanted(config: BacktestConfig, name: str) -> bool:
    """Return whether a configuration asks for a baseline."""
    asked = {*config.baselines, *config.comparators.values()}
    return BASELINES[name].always or name in asked or ALL in asked


def require_available(config: BacktestConfig, market: MarketData, *, student: bool) -> None:
    """Raise UsageError for a baseline or comparator that a run cannot have; `all` leaves those out.

    Args:
        config: The configuration.
        market: The market data.
        student: Whether a student forecasts.
    """
    missing = _find_missing(config, market, student=student)
    for name in config.baselines:
        if name in missing:
            raise UsageError(f"--baselines {name}: {missing[name]}")
    for claim, name in config.comparators.items():
        if name in missing:
            raise UsageError(f"--comparator {claim}={name}: {missing[name]}")


def _find_missing(config: BacktestConfig, market: MarketData, *, student: bool) -> dict[str, str]:
    """Return the baselines that a run cannot have, with the reason and what to do."""
    missing = {} if timeseries.is_installed() else {"timeseries": timeseries.REMEDY}
    if not market.news:
        missing |= dict.fromkeys(_OF_NEWS, "there is no news; give it with --news, or leave it out")
    if not student:
        missing |= dict.fromkeys(OF_STUDENT, "no student forecasts; name one with --student, or leave it out")
    elif config.adapter is None:
        missing["base"] = "the student has no adapter; name one with --adapter, or leave it out"
    return missing
