"""The metrics of a run, one row of `METRICS` for each: results, tables and exports are made from it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter
from typing import Any

from engine.metrics.accuracy import Accuracy, compute_accuracy
from engine.metrics.performance import Performance, compute_performance
from engine.outcomes import Scored
from engine.trading.records import EngineResult, OrderStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricInputs:
    """What metrics are computed from: the scores of predictions and equity, and what the engine did."""

    accuracy: Accuracy
    performance: Performance
    engine: EngineResult


class Unit(StrEnum):
    """The unit of a metric, which decides how it is printed unless the metric has a format of its own."""

    COUNT = "count"
    FRACTION = "fraction"
    BASIS_POINTS = "basis points"
    RATIO = "ratio"
    CURRENCY = "quote currency"


_FORMATS = {
    Unit.COUNT: ",.0f",
    Unit.FRACTION: ".1%",
    Unit.BASIS_POINTS: ",.0f",
    Unit.RATIO: ",.2f",
    Unit.CURRENCY: ",.0f",
}


class MetricTable(StrEnum):
    """A table that metrics are shown in: of one result, of all runs, or of a walk-forward's arms."""

    RESULT = "result"
    RUNS = "runs"
    ARMS = "arms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One figure of a result.

    Attributes:
        key: Its name in JSON.
        label: Its name in the table of one result.
        unit: What it is measured in.
        function: Computes it; None where it cannot be computed.
        format: The format specification of its value; empty for the unit's own.
        header: Its name as a column; empty for the label.
        tables: Where it is shown.
        optional: Whether it is left out where it cannot be computed.
    """

    key: str
    label: str = ""
    unit: Unit
    function: Callable[[MetricInputs], float | None]
    format: str = ""
    header: str = ""
    tables: tuple[MetricTable, ...] = (MetricTable.RESULT,)
    optional: bool = False

    def show(self, value: float | None) -> str:
        """Return a value as text; "-" for None."""
        return "-" if value is None else format(value, self.format or _FORMATS[self.unit])

    @property
    def column(self) -> str:
        """The heading of its column."""
        return self.header or self.label


def _scored(key: str, unit: Unit, **rest: Any) -> Metric:
    return Metric(key=key, unit=unit, function=attrgetter(f"accuracy.{key}"), **rest)


def _earned(key: str, unit: Unit, **rest: Any) -> Metric:
    return Metric(key=key, unit=unit, function=attrgetter(f"performance.{key}"), **rest)


def _count_orders(status: OrderStatus) -> Callable[[MetricInputs], int]:
    return lambda inputs: sum(order.status is status for order in inputs.engine.orders)


def _count_resized(inputs: MetricInputs) -> int:
    return sum(order.requested is not None for order in inputs.engine.orders)


def _costs_paid(inputs: MetricInputs) -> float:
    engine = inputs.engine
    return sum(fill.cost for fill in engine.fills) + engine.borrow_paid


_ALL = (MetricTable.RESULT, MetricTable.RUNS, MetricTable.ARMS)
_ARMS = (MetricTable.RESULT, MetricTable.ARMS)

METRICS = (
    _scored("n", Unit.COUNT, label="forecasts scored"),
    _scored("n_open", Unit.COUNT, tables=()),
    _scored("days", Unit.COUNT, tables=()),
    _scored("ties", Unit.COUNT, tables=()),
    _scored("abstentions", Unit.COUNT, tables=()),
    _scored("pending", Unit.COUNT, tables=()),
    _scored("accuracy", Unit.FRACTION, label="accuracy", tables=_ALL),
    _scored("accuracy_low", Unit.FRACTION, label="  95% from"),
    _scored("accuracy_high", Unit.FRACTION, label="  95% to"),
    _scored("accuracy_open", Unit.FRACTION, label="accuracy, open"),
    _scored("brier", Unit.RATIO, label="Brier score", format=",.4f", header="Brier", tables=_ARMS),
    _scored("brier_token", Unit.RATIO, label="  of the tokens", format=",.4f", optional=True),
    _scored("close_mae_bps", Unit.BASIS_POINTS, label="close error, bp", tables=_ARMS),
    _earned("total_return", Unit.FRACTION, label="return", format="+.1%", tables=_ALL),
    _earned("sharpe", Unit.RATIO, label="Sharpe, a year", header="Sharpe", tables=_ARMS),
    _earned("max_drawdown", Unit.FRACTION, label="max. drawdown"),
    Metric(key="trades", label="fills", unit=Unit.COUNT, function=lambda inputs: len(inputs.engine.fills)),
    Metric(key="rejected", label="rejected", unit=Unit.COUNT, function=_count_orders(OrderStatus.REJECTED)),
    Metric(key="resized", label="resized to cash", unit=Unit.COUNT, function=_count_resized),
    Metric(key="expired", unit=Unit.COUNT, function=_count_orders(OrderStatus.EXPIRED), tables=()),
    Metric(key="costs_paid", label="costs paid", unit=Unit.CURRENCY, function=_costs_paid),
)
"""In the order of the JSON keys and of the table's rows."""


def compute_metrics(scored: Iterable[Scored], engine: EngineResult, days_per_year: int) -> dict[str, Any]:
    """Return every metric by its key.

    Args:
        scored: The predictions with their outcomes.
        engine: What the engine did with them.
        days_per_year: 365 for coins, 252 for stocks.
    """
    marks = [(mark.at, mark.value) for mark in engine.marks]
    inputs = MetricInputs(
        accuracy=compute_accuracy(scored),
        performance=compute_performance(marks, engine.starting_cash, days_per_year),
        engine=engine,
    )
    values = {metric: metric.function(inputs) for metric in METRICS}
    return {metric.key: value for metric, value in values.items() if value is not None or not metric.optional}


def table_metrics(table: MetricTable) -> list[Metric]:
    """Return the metrics that a table shows, in order."""
    return [metric for metric in METRICS if table in metric.tables]
