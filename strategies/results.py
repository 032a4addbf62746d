"""The result of a backtest: what is printed, journaled, exported and given to a library's user."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from engine.calendars import Calendar
from engine.errors import suggest
from engine.instruments import is_round_the_clock
from engine.journal.canonical import row_digest, to_jsonable
from engine.metrics.accuracy import compute_accuracy
from engine.metrics.breakdown import compute_breakdown, describe_reliability
from engine.metrics.differences import Forecaster, compute_differences
from engine.metrics.exposure import PriceHistory
from engine.metrics.registry import collect_metrics, compute_inputs
from engine.metrics.verdicts import Claim, conclude
from engine.model import Abstention, Bar, Direction, Forecast, Observation, Prediction
from engine.outcomes import OutcomeFinder, match_outcomes
from engine.trading.records import EngineResult
from feeds.simulated.market import OracleView
from llm.student import Student
from strategies.baselines.names import BENCHMARK
from strategies.baselines.random_callers import compare_with_random_callers
from strategies.delistings import describe_spans
from strategies.market_data import MarketData
from strategies.run_spec import RunSpec

if TYPE_CHECKING:
    from pandas import DataFrame

T = TypeVar("T")
STUDENT, ORACLE, BUY_AND_HOLD = "student", "oracle", "buy_and_hold"
Key = tuple[str, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationResult:
    """One forecaster's predictions, and what the engine made of them."""

    calls: Sequence[Prediction]
    engine: EngineResult


class Scores(Mapping[str, T]):
    """Values by name, also as attributes: `scores.student.accuracy` is `scores["student"]["accuracy"]`."""

    def __init__(self, values: Mapping[str, T]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> T:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> T:
        if name.startswith("_") or name not in self._values:
            raise AttributeError(f"no score {name!r}; {suggest(name, self.__dict__.get('_values', ()))}")
        return self._values[name]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._values]

    def __repr__(self) -> str:
        return f"Scores({self._values})"


@dataclass(frozen=True, slots=True, weakref_slot=True, kw_only=True, repr=False)
class Result:
    """A finished backtest. `print` shows the table of the command line, a notebook shows it as HTML.

    Attributes:
        name: The name of the run.
        folder: The folder with its journal.
        result: Everything about the run as JSON types, as `--json` prints it.
        simulations: What every forecaster's predictions came to in the engine, by name.
        bars: The bars of each symbol.
        calendars: The calendar of each symbol.

    Example:
        >>> import closecall as cc
        >>> result = cc.simulate(student="tiny", seed=8, days=60)
        >>> 0 <= result.scores.student.accuracy <= 1
        True
        >>> result.verdict, sorted(result.verdicts)
        ('better', ['close', 'direction', 'pnl', 'probability'])
        >>> list(result.equity.columns)
        ['at', 'value', 'cash']
        >>> sorted(result.digests)
        ['equity', 'fills', 'forecasts', 'orders']
    """

    name: str
    folder: Path
    result: Mapping[str, Any]
    simulations: Mapping[str, SimulationResult]
    bars: Mapping[str, Sequence[Bar]]
    calendars: Mapping[str, Calendar]

    @property
    def scores(self) -> Scores[Scores[float | None]]:
        """The metrics of the student, the baselines and, on a simulated market, the oracle.

        Each has the keys of `result["scores"]`; a metric is None where it cannot be computed.
        """
        return Scores({name: Scores(metrics) for name, metrics in self.result["scores"].items()})

    @property
    def verdict(self) -> str:
        """The verdict of the direction: "better", "worse" or "inconclusive"."""
        return str(self.result["verdicts"]["direction"]["result"])

    @property
    def verdicts(self) -> Scores[Scores[Any]]:
        """The verdict of each claim: direction, probability, close and pnl.

        Each has the fields of `engine.metrics.verdicts.Verdict`.
        """
        return Scores({claim: Scores(verdict) for claim, verdict in self.result["verdicts"].items()})

    @property
    def conclusions(self) -> list[str]:
        """The sentences under the table."""
        from strategies.conclusions import list_conclusions

        return list_conclusions(self.result)

    @property
    def digests(self) -> Mapping[str, str]:
        """SHA-256 over the student's forecasts, orders, fills and equity, by name."""
        digests: Mapping[str, str] = self.result["digests"]
        return digests

    @property
    def forecasts(self) -> "DataFrame":
        """The student's predictions with their outcomes; closes in the quote currency."""
        return self._frame("forecasts")

    @property
    def orders(self) -> "DataFrame":
        """The orders that were traded, each in its last status; sizes in signed units."""
        return self._frame("orders")

    @property
    def fills(self) -> "DataFrame":
        """The fills: sizes in signed units, prices in the quote currency, costs in the base currency."""
        return self._frame("fills")

    @property
    def equity(self) -> "DataFrame":
        """Value and cash of the portfolio after each close, in the base currency."""
        return self._frame("equity")

    def _frame(self, table: str) -> "DataFrame":
        from pandas import DataFrame

        columns, rows = list_outputs(self.simulations[STUDENT], self.bars, self.calendars)[table]
        cells = [[str(cell) if isinstance(cell, StrEnum) else cell for cell in row] for row in rows]
        return DataFrame(cells, columns=list(columns))

    def __str__(self) -> str:
        from strategies.result_table import render_text

        return render_text(self.result)

    def __repr__(self) -> str:
        return f"Result({self.name!r}, verdict={self.verdict!r}, folder={str(self.folder)!r})"

    def _repr_html_(self) -> str:
        from strategies.result_table import render_html

        return render_html(self.result)


Table = tuple[tuple[str, ...], Iterable[Sequence[object]]]
"""The columns of a table and its rows."""


def list_outputs(
    student: SimulationResult,
    bars: Mapping[str, Sequence[Bar]],
    calendars: Mapping[str, Calendar],
) -> dict[str, Table]:
    """Return the forecasts, orders, fills and equity of a run as tables.

    Args:
        student: The predictions that were traded, and what they came to.
        bars: The bars of each symbol, for the outcomes.
        calendars: The calendar of each symbol, for the same.
    """
    engine = student.engine
    forecast_columns = ("as_of", "symbol", "direction", "confidence", "close", "last_close")
    return {
        "forecasts": (
            (*forecast_columns, "outcome_close", "abstention", "token_probability_up"),
            _list_forecasts(student, bars, calendars),
        ),
        "orders": _list_fields(
            engine.orders, "number", "decided_at", "due_at", "at", "symbol", "size", "status", "reason"
        ),
        "fills": _list_fields(engine.fills, "at", "symbol", "size", "price", "cost"),
        "equity": _list_fields(engine.marks, "at", "value", "cash"),
    }


def _list_forecasts(
    student: SimulationResult, bars: Mapping[str, Sequence[Bar]], calendars: Mapping[str, Calendar]
) -> Iterator[Sequence[object]]:
    for call, outcome in match_outcomes(student.calls, bars, calendars):
        *row, abstention = forecast_row(call)
        token = call.token_probability_up if isinstance(call, Forecast) else None
        yield *row, outcome.next_close if outcome else None, abstention, token


def _list_fields(records: Sequence[object], *fields: str) -> Table:
    return fields, map(attrgetter(*fields), records)


def scorecard(
    simulations: Mapping[str, SimulationResult],
    market: MarketData,
    comparators: Mapping[Claim, str],
    *,
    can_short: bool,
) -> dict[str, Any]:
    """Return the scores of all, verdicts, digests and, on a simulated market, the share of edge captured.

    Args:
        simulations: What every forecaster's predictions came to in the engine, by name.
        market: The market data.
        comparators: The comparator of each claim.
        can_short: Whether short positions are allowed.
    """
    outcomes = OutcomeFinder(market.bars, market.symbol_calendars)
    student = simulations[STUDENT]
    scores, details = _score_all(simulations, market, outcomes)
    forecasters = {
        name: Forecaster(
            scored=outcomes.match(each.calls), marks=each.engine.marks, cash=each.engine.starting_cash
        )
        for name, each in simulations.items()
    }
    differences = compute_differences(
        forecasters.pop(STUDENT), forecasters, market.bars, comparators, can_short=can_short
    )
    return {
        "scores": scores,
        **details,
        "verdicts": {claim: asdict(verdict) for claim, verdict in conclude(differences).items()},
        "edge_captured": edge_captured(student.calls, market.oracle) if market.oracle else None,
        "digests": output_digests(student),
    }


def _score_all(
    simulations: Mapping[str, SimulationResult], market: MarketData, outcomes: OutcomeFinder
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the metrics of all by name, and the student's by symbol, by year and by probability."""
    rates, instruments = market.rates, market.instruments
    prices = PriceHistory(
        market.bars, (lambda symbol, at: rates.rate(instruments[symbol].currency, at)) if rates else None
    )
    benchmark = simulations.get(BENCHMARK) or simulations.get(BUY_AND_HOLD)
    days_per_year = market.days_per_year
    scores: dict[str, Any] = {}
    details: dict[str, Any] = {}
    for name, simulation in simulations.items():
        inputs = compute_inputs(
            outcomes.match(simulation.calls),
            simulation.engine,
            days_per_year,
            suspended=sum(
                outcomes.is_suspended(call) for call in simulation.calls if isinstance(call, Forecast)
            ),
            prices=prices,
            benchmark=benchmark.engine if benchmark else None,
            resample=name == STUDENT,
        )
        scores[name] = collect_metrics(inputs)
        if name == STUDENT:
            details = {
                "breakdown": compute_breakdown(inputs.columns),
                "reliability": describe_reliability(inputs.stated, inputs.token),
            }
    return scores, details


def edge_captured(calls: Sequence[Prediction], oracle: Mapping[Key, OracleView]) -> float | None:
    """Return the share of the oracle's edge that the predictions captured; None where there is none.

    With q the oracle's probability of up: the mean of (q or 1 - q, by the called direction) - 1/2, over the
    mean of max(q, 1 - q) - 1/2. An abstention captures nothing.
    """
    captured = available = 0.0
    for call in calls:
        q = oracle[call.symbol, call.as_of].probability_up
        available += abs(q - 0.5)
        if isinstance(call, Forecast):
            captured += (q - 0.5) * call.direction.sign
    return captured / available if available > 0 else None


def oracle_predictions(
    calls: Sequence[Prediction | Observation], oracle: Mapping[Key, OracleView]
) -> list[Forecast]:
    """Return the oracle's forecasts at the closes of predictions or observations."""
    return [_oracle_call(call, oracle[call.symbol, call.as_of]) for call in calls]


def output_digests(student: SimulationResult) -> dict[str, str]:
    """Return SHA-256 over the canonical rows of the student's forecasts, orders, fills and equity."""
    tables = {name: rows for name, (_, rows) in list_outputs(student, {}, {}).items() if name != "forecasts"}
    return {
        "forecasts": row_digest(forecast_row(call) for call in student.calls),
        **{name: row_digest(rows) for name, rows in tables.items()},
    }


def forecast_row(call: Prediction) -> tuple[object, ...]:
    """Return as_of, symbol, direction, confidence, close, last close and the reason of an abstention."""
    if isinstance(call, Abstention):
        return call.as_of, call.symbol, None, None, None, call.last_close, call.reason
    return call.as_of, call.symbol, call.direction, call.confidence, call.close, call.last_close, None


def _oracle_call(call: Prediction | Observation, view: OracleView) -> Forecast:
    up = view.probability_up >= 0.5
    limit = max if up else min
    return Forecast(
        symbol=call.symbol,
        as_of=call.as_of,
        direction=Direction.UP if up else Direction.DOWN,
        confidence=max(view.probability_up, 1 - view.probability_up),
        close=limit(view.close, call.last_close),
        last_close=call.last_close,
    )


def build_result(
    name: str,
    spec: RunSpec,
    market: MarketData,
    observed: Sequence[Observation],
    student: Student | None,
    num_generated: int,
    simulations: Mapping[str, SimulationResult],
    strategy: str | None = None,
    *,
    comparators: Mapping[Claim, str],
    adapted: bool = False,
) -> dict[str, Any]:
    """Return everything about a run but its place in the record of trials, as JSON types.

    Args:
        name: The name of the run.
        spec: What decided it.
        market: Its market data.
        observed: What was to be forecast.
        student: The student; None where a strategy of the user's traded without one.
        num_generated: How many answers were generated, and not taken from the cache.
        simulations: What every forecaster's predictions came to, by name.
        strategy: The name of the user's strategy that traded in place of the built-in one.
        comparators: The comparator of each claim.
        adapted: Whether the student has an adapter.
    """
    traded = market.traded_bars
    calls = simulations[STUDENT].calls
    forecasts = [call for call in calls if isinstance(call, Forecast)]
    released = student.released if student else None
    until: date | None = getattr(student, "knowledge_until", None)
    result = {
        "run": name,
        "simulated": market.is_simulated,
        "symbols": sorted(market.instruments),
        "start": min(bar.opens_at for bar in traded).date(),
        "end": max(bar.opens_at for bar in traded).date(),
        "bars": len(traded),
        "news": sum(item.available_at > market.start for item in market.news),
        "forecasts": len(forecasts),
        "forecasts_with_news": sum(bool(observation.news) for observation in observed),
        "abstentions": len(calls) - len(forecasts),
        "asked": num_generated,
        "student": student.name if student else None,
        "student_fingerprint": student.fingerprint if student else None,
        "student_released": released,
        **_measure_contamination(forecasts, market, released, until, adapted=adapted),
        "days_per_year": market.days_per_year,
        "currency": market.currency,
        "benchmark": market.benchmark.instrument.symbol if market.benchmark else None,
        "cash": spec.cash,
        "round_the_clock": sorted(
            symbol for symbol, item in market.instruments.items() if is_round_the_clock(item.calendar)
        ),
        "costs": {symbol: asdict(costs) for symbol, costs in spec.costs.items()},
        "notes": [
            *market.notes,
            *(student.notes if student else ()),
            *describe_spans(market, spec.delistings),
        ],
        **scorecard(simulations, market, comparators, can_short=bool(spec.sizing.shortable)),
        "random_callers": compare_with_random_callers(
            calls, simulations[STUDENT].engine, market.bars, market.instruments, market.rates
        ),
        **({"strategy": strategy} if strategy else {}),
    }
    jsonable: dict[str, Any] = to_jsonable(result)
    return jsonable


def _measure_contamination(
    forecasts: Sequence[Forecast],
    market: MarketData,
    released: date | None,
    until: date | None,
    *,
    adapted: bool,
) -> dict[str, Any]:
    """Return how many forecasts the model may have known the answer to, and the accuracy of both kinds.

    Both before and after its release, and where its makers state until when its training data reach
    (`until`), before and after that day.

    A simulated market's dates mean nothing; there it is the training seeds that a student knows, and an
    adapter may have been trained on any market.
    """
    if market.is_simulated:
        contaminated = len(forecasts) if market.is_training_market else None if adapted else 0
        return {"contaminated_n": contaminated, "after_release": None}
    if released is None:
        return {"contaminated_n": None, "after_release": None}
    before, after = _score_apart(forecasts, market, released)
    figures = {"contaminated_n": before["forecasts"], "before_release": before, "after_release": after}
    if until is not None:
        # The last day of its training data is a day that it may have read of.
        known, unknown = _score_apart(forecasts, market, until + timedelta(days=1))
        figures |= {"knowledge_until": until, "before_cutoff": known, "after_cutoff": unknown}
    return figures


def _score_apart(
    forecasts: Sequence[Forecast], market: MarketData, day: date
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the accuracy of the forecasts made before a day began, and of the others."""
    instant = datetime.combine(day, time(0), tzinfo=UTC)
    early = [call for call in forecasts if call.as_of < instant]
    late = [call for call in forecasts if call.as_of >= instant]
    return _score_period(early, market), _score_period(late, market)


def _score_period(calls: Sequence[Forecast], market: MarketData) -> dict[str, Any]:
    scored = compute_accuracy(match_outcomes(calls, market.bars, market.symbol_calendars))
    return {
        "forecasts": len(calls),
        "n": scored.n,
        "accuracy": scored.accuracy,
        "accuracy_low": scored.accuracy_low,
        "accuracy_high": scored.accuracy_high,
    }
