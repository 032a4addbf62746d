"""Record each finished run as a trial, and deflate its Sharpe ratio by the trials on the same data."""

import hashlib
from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from math import ceil, sqrt
from operator import attrgetter
from pathlib import Path
from typing import Any

from engine.errors import DataError
from engine.journal.canonical import canonical_json, to_jsonable
from engine.journal.events.rules import RULES
from engine.metrics.performance import Performance, compute_performance, daily_equity, deflated_sharpe
from engine.metrics.price_moves import PriceMoves, build_price_moves
from engine.metrics.trials import (
    Trial,
    append_trial,
    distinct_trials,
    encode_returns,
    find_trials,
    sharpe_variance,
)
from engine.model import Bar
from strategies.config import BacktestConfig
from strategies.data_folder import find_trial_records
from strategies.market_data import MarketData
from strategies.results import STUDENT, SimulationResult

BUY_AND_HOLD = "buy_and_hold"
_EPOCH = date(1970, 1, 1).toordinal()

# Where data come from, what is printed, how fast it goes, and what only a paper session has: other values of
# these are no other trial. The data are recognised by their content.
_NO_SETTINGS = (
    *("bars", "store", "news", "feeds", "sources", "allow_harmful", "skip_unknown_files"),
    *("out", "batch", "paper", "risk"),
)


def record_trial(
    name: str,
    config: BacktestConfig,
    market: MarketData,
    result: Mapping[str, Any],
    simulations: Mapping[str, SimulationResult],
    data_dir: Path,
    now: datetime,
    **also: Any,
) -> dict[str, Any]:
    """Append the run to the records of trials; return its trials on these data and the deflated Sharpe ratio.

    Args:
        name: The name of the run.
        config: What was asked for.
        market: Its market data.
        result: Its result so far.
        simulations: What every forecaster's predictions came to, by name.
        data_dir: The data folder, which has a record of its own beside the user's.
        now: When the run is recorded.
        also: Settings that the configuration lacks.

    Raises:
        DataError: The record of the data folder cannot be read or written.
    """
    trial, moves = _describe_trial(name, config, market, result, simulations, now, also)
    own, *others = find_trial_records(data_dir)
    append_trial(own, trial, moves)
    readable, notes = [own], list(result["notes"])
    for path in others:
        try:
            append_trial(path, trial, moves)
            readable.append(path)
        except DataError as error:  # the run is in its own folder's record, and the reader is warned
            notes.append(f"Runs in other data folders are not counted as trials: {error}.")
    return compare_with_trials(trial, moves, readable, simulations, market) | {"notes": notes}


def count_trials(
    name: str,
    config: BacktestConfig,
    market: MarketData,
    result: Mapping[str, Any],
    simulations: Mapping[str, SimulationResult],
    data_dir: Path,
    now: datetime,
) -> dict[str, Any]:
    """Return what `record_trial` returns, without recording the run; for the same arguments."""
    trial, moves = _describe_trial(name, config, market, result, simulations, now, {})
    own, *others = find_trial_records(data_dir)
    try:
        return compare_with_trials(trial, moves, [own, *others], simulations, market)
    except DataError:
        if not others:
            raise
        # The session is recorded without the user's record too, with a note that says so.
        return compare_with_trials(trial, moves, [own], simulations, market)


def compare_with_trials(
    trial: Trial,
    moves: PriceMoves,
    records: Sequence[Path],
    simulations: Mapping[str, SimulationResult],
    market: MarketData,
) -> dict[str, Any]:
    """Return the number of trials on the same data, and the Sharpe ratio deflated by them.

    It is deflated against the Sharpe ratio of buy and hold on the same days, or 0 where that is negative: in
    a rising market coin flippers earn most of it.

    Args:
        trial: The run.
        moves: The price moves of its data.
        records: The records of trials.
        simulations: What every forecaster's predictions came to, by name.
        market: The market data.
    """
    known = find_trials(records, trial, moves)
    different = distinct_trials(known)
    yardstick = _measure(simulations[BUY_AND_HOLD], market).daily_sharpe or 0.0
    return {
        "trials": len(known),
        "distinct_trials": len(different),
        "deflated_sharpe": deflated_sharpe(
            _measure(simulations[STUDENT], market).returns,
            max(1, len(different)),
            sharpe_variance(different),
            max(0.0, yardstick),
        ),
        "sharpe_yardstick": {
            "caller": BUY_AND_HOLD if yardstick > 0 else None,
            "sharpe": max(0.0, yardstick) * sqrt(market.days_per_year),
        },
    }


def _measure(simulation: SimulationResult, market: MarketData) -> Performance:
    engine = simulation.engine
    marks = [(mark.at, mark.value) for mark in engine.marks]
    return compute_performance(marks, engine.starting_cash, market.days_per_year)


def _describe_trial(
    name: str,
    config: BacktestConfig,
    market: MarketData,
    result: Mapping[str, Any],
    simulations: Mapping[str, SimulationResult],
    now: datetime,
    also: Mapping[str, Any],
) -> tuple[Trial, PriceMoves]:
    performance = _measure(simulations[STUDENT], market)
    days = daily_equity((mark.at, mark.value) for mark in simulations[STUDENT].engine.marks)
    moves = build_price_moves(list_closes(market))
    # Equity that has fallen to zero earns nothing on the days after it.
    returns = dict(zip(days, performance.returns, strict=False))
    own = {"strategy": result["strategy"]} if "strategy" in result else {}
    trial = Trial(
        run=name,
        at=now,
        data=market.source,
        symbols=tuple(result["symbols"]),
        start=date.fromisoformat(result["start"]),
        end=date.fromisoformat(result["end"]),
        forecasts_digest=result["digests"]["forecasts"],
        daily_sharpe=performance.daily_sharpe,
        equity_digest=result["digests"]["equity"],
        settings=list_trial_settings(config) | own | to_jsonable(also),
        student=result["student_fingerprint"],
        data_digest=digest_data(market),
        moves_digest=moves.digest,
        returns=encode_returns(returns),
    )
    return trial, moves


def list_trial_settings(config: BacktestConfig) -> dict[str, Any]:
    """Return what of a configuration tells one trial from another: stored keys that differ from the default.

    The rules of trading are among them: another version may trade the same settings otherwise.
    """
    usual = BacktestConfig().stored()
    settings = {
        key: value
        for key, value in config.stored().items()
        if key not in _NO_SETTINGS and usual.get(key) != value
    }
    return settings | {"rules": RULES}


def list_closes(market: MarketData) -> dict[str, dict[int, float]]:
    """Return the closes of the traded days, and the one before them, by symbol and ordinal of the day."""
    closes = {}
    for symbol, series in market.bars.items():
        first = bisect_right(series, market.start, key=attrgetter("closes_at"))
        closes[symbol] = {_closing_day(bar): bar.close for bar in series[max(0, first - 1) :]}
    return closes


def _closing_day(bar: Bar) -> int:
    """Return the ordinal of the UTC day of a close; at midnight it belongs to the day that ends then."""
    return ceil(bar.closes_at.timestamp() / 86_400) - 1 + _EPOCH


def digest_data(market: MarketData) -> str:
    """Return the SHA-256 of everything that a run reads of its market, to the last digit."""
    sha = hashlib.sha256(market.start.isoformat().encode())
    for symbol, series in sorted(market.bars.items()):
        cells = array("d")
        for bar in series:
            opens, closes = bar.opens_at.timestamp(), bar.closes_at.timestamp()
            cells.extend((opens, closes, bar.open, bar.high, bar.low, bar.close, bar.volume))
        sha.update(symbol.encode())
        sha.update(cells.tobytes())
    for item in market.news:
        words = (item.id, item.available_at.isoformat(), *item.symbols, item.title, item.text)
        sha.update("\n".join(words).encode(errors="surrogatepass"))
    if market.rates is not None:
        rates = {
            currency: dict(zip(map(str, series.known_at), series.values, strict=True))
            for currency, series in market.rates.series.items()
        }
        sha.update(canonical_json({"base": market.rates.base, **market.rates.constants, **rates}).encode())
    return sha.hexdigest()
