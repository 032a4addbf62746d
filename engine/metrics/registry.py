"""The metrics of a run, one row of `METRICS` for each: results, tables and exports are made from it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from operator import attrgetter
from typing import Any

from engine.metrics.accuracy import (
    Accuracy,
    ForecastColumns,
    collect_columns,
    daily_clusters,
    summarize_accuracy,
)
from engine.metrics.bootstrap import BootstrapIntervals, bootstrap_intervals
from engine.metrics.calibration import Calibration, score_calibration
from engine.metrics.close_errors import CloseErrors, score_close_errors
from engine.metrics.direction import DirectionScores, score_direction
from engine.metrics.exposure import PriceHistory, TradingScores, score_trading
from engine.metrics.performance import (
    Performance,
    compute_performance,
    dated_returns,
    regress_on_benchmark,
)
from engine.outcomes import Scored
from engine.trading.records import EngineResult, OrderStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricInputs:
    """What metrics are taken from.

    Attributes:
        columns: The forecasts whose outcome is known.
        suspended: How many predictions have no outcome, as the symbol has no bar in its next session.
        accuracy: The scores of the predictions.
        direction: Tests of the directions.
        close_errors: The errors of the closes.
        stated: The calibration of the stated probabilities.
        token: That of the token probabilities.
        performance: The scores of the equity.
        regression: Alpha and beta to the benchmark; None where there are none.
        trading: What was at stake and traded.
        intervals: Intervals by the bootstrap.
        engine: What the engine did.
    """

    columns: ForecastColumns
    suspended: int
    accuracy: Accuracy
    direction: DirectionScores
    close_errors: CloseErrors
    stated: Calibration
    token: Calibration
    performance: Performance
    regression: tuple[float, float] | None
    trading: TradingScores
    intervals: BootstrapIntervals
    engine: EngineResult


class Unit(StrEnum):
    """The unit of a metric, which decides how it is printed unless the metric has a format of its own."""

    COUNT = "count"
    FRACTION = "fraction"
    BASIS_POINTS = "basis points"
    RATIO = "ratio"
    CURRENCY = "base currency"


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


def _field(path: str, unit: Unit, key: str = "", **rest: Any) -> Metric:
    """Return the metric that is a field of `MetricInputs`, by default with the field's name as key."""
    return Metric(key=key or path.rpartition(".")[2], unit=unit, function=attrgetter(path), **rest)


def _scored(key: str, unit: Unit, **rest: Any) -> Metric:
    return _field(f"accuracy.{key}", unit, **rest)


def _earned(key: str, unit: Unit, **rest: Any) -> Metric:
    return _field(f"performance.{key}", unit, **rest)


def _bound(of: str, place: int, unit: Unit) -> Metric:
    """Return a bound of an interval by the bootstrap, which is computed for the student alone."""

    def find(inputs: MetricInputs) -> float | None:
        interval: tuple[float, float] | None = getattr(inputs.intervals, of)
        return None if interval is None else interval[place]

    key, name = f"{of}_bootstrap_{('low', 'high')[place]}", of.replace("_", " ")
    label = f"{name}, bootstrap 95% {('from', 'to')[place]}"
    return Metric(key=key, label=label, unit=unit, function=find, tables=(), optional=True)


def _regressed(key: str, place: int, unit: Unit, **rest: Any) -> Metric:
    return Metric(
        key=key,
        unit=unit,
        function=lambda inputs: inputs.regression[place] if inputs.regression else None,
        **rest,
    )


def _calibrated(of: str, suffix: str, *, optional: bool) -> list[Metric]:
    """Return the metrics of one kind of probability beside its Brier score."""
    ending = f" of {of}s" if suffix else ""
    rows = {
        "reliability": ("brier_reliability", "Brier reliability", ".4f"),
        "resolution": ("brier_resolution", "Brier resolution", ".4f"),
        "uncertainty": ("brier_uncertainty", "Brier uncertainty", ".4f"),
        "within_bins": ("brier_within_bins", "Brier within bins", "+.4f"),
        "skill": ("brier_skill", "Brier skill", "+.3f"),
        "log_score": ("log_score", "log score", ".4f"),
        "calibration_error": ("calibration_error", "calibration error", ".4f"),
    }
    return [
        _field(
            f"{of}.{name}", Unit.RATIO, key + suffix, label=label + ending, format=form, tables=(),
            optional=optional,
        )
        for name, (key, label, form) in rows.items()
    ]  # fmt: skip


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
    _scored("n_open", Unit.COUNT, label="scored, open", tables=()),
    _scored("days", Unit.COUNT, label="days scored", tables=()),
    _scored("ties", Unit.COUNT, label="ties", tables=()),
    _scored("abstentions", Unit.COUNT, label="abstentions", tables=()),
    Metric(
        key="pending",
        label="pending",
        unit=Unit.COUNT,
        function=lambda inputs: inputs.accuracy.pending - inputs.suspended,
        tables=(),
    ),
    _field("suspended", Unit.COUNT, label="suspended", tables=()),
    _scored("accuracy", Unit.FRACTION, label="accuracy", tables=_ALL),
    _scored("accuracy_low", Unit.FRACTION, label="  95% from"),
    _scored("accuracy_high", Unit.FRACTION, label="  95% to"),
    _bound("accuracy", 0, Unit.FRACTION),
    _bound("accuracy", 1, Unit.FRACTION),
    _scored("accuracy_open", Unit.FRACTION, label="accuracy, open"),
    _field("direction.balanced_accuracy", Unit.FRACTION, label="balanced accuracy", tables=()),
    _field("direction.matthews", Unit.RATIO, label="Matthews correlation", format="+.3f", tables=()),
    _field("direction.pesaran_timmermann", Unit.RATIO, label="Pesaran-Timmermann", tables=()),
    _field("direction.pesaran_timmermann_p", Unit.RATIO, label="  p", format=".3f", tables=()),
    _field("direction.pesaran_timmermann_days", Unit.RATIO, label="  by days", tables=()),
    _field("direction.pesaran_timmermann_days_p", Unit.RATIO, label="  p by days", format=".3f", tables=()),
    _scored("brier", Unit.RATIO, label="Brier score", format=",.4f", header="Brier", tables=_ARMS),
    *_calibrated("stated", "", optional=False),
    _scored("brier_token", Unit.RATIO, label="  of the tokens", format=",.4f", optional=True),
    *_calibrated("token", "_token", optional=True),
    _scored("close_mae_bps", Unit.BASIS_POINTS, label="close error, bp", header="error, bp", tables=_ARMS),
    _field("close_errors.close_rmse_bps", Unit.BASIS_POINTS, label="close RMSE, bp", tables=()),
    _field("close_errors.close_mase", Unit.RATIO, label="  of random walk", format=".3f"),
    _field("close_errors.close_dm", Unit.RATIO, label="Diebold-Mariano", format="+.2f", tables=()),
    _field("close_errors.close_dm_p", Unit.RATIO, label="  p", format=".3f", tables=()),
    _earned("total_return", Unit.FRACTION, label="return", format="+.1%", tables=_ALL),
    _earned("annual_return", Unit.FRACTION, label="return, a year", format="+.1%", tables=()),
    _bound("annual_return", 0, Unit.FRACTION),
    _bound("annual_return", 1, Unit.FRACTION),
    _earned("volatility", Unit.FRACTION, label="volatility, a year", tables=()),
    _earned("sharpe", Unit.RATIO, label="Sharpe, a year", header="Sharpe", tables=_ARMS),
    _bound("sharpe", 0, Unit.RATIO),
    _bound("sharpe", 1, Unit.RATIO),
    _earned("probabilistic_sharpe", Unit.FRACTION, label="chance of Sharpe above 0", tables=()),
    _earned("sortino", Unit.RATIO, label="Sortino, a year", tables=()),
    _earned("max_drawdown", Unit.FRACTION, label="max. drawdown"),
    _field("trading.max_drawdown_lows", Unit.FRACTION, label="  with day's lows"),
    _earned("max_drawdown_days", Unit.COUNT, label="  its days", tables=()),
    _earned("calmar", Unit.RATIO, label="Calmar", tables=()),
    _earned("hit_rate", Unit.FRACTION, label="days with a gain", tables=()),
    _earned("profit_factor", Unit.RATIO, label="profit factor", tables=()),
    _regressed("alpha", 0, Unit.FRACTION, label="alpha, a year", format="+.1%", tables=()),
    _regressed("beta", 1, Unit.RATIO, label="beta", tables=()),
    _field("trading.exposure", Unit.FRACTION, label="exposure, mean"),
    _field("trading.turnover", Unit.RATIO, label="turnover, a year", format=",.1f", tables=()),
    Metric(key="trades", label="fills", unit=Unit.COUNT, function=lambda inputs: len(inputs.engine.fills)),
    Metric(key="rejected", label="rejected", unit=Unit.COUNT, function=_count_orders(OrderStatus.REJECTED)),
    Metric(key="resized", label="resized to cash", unit=Unit.COUNT, function=_count_resized),
    Metric(
        key="expired",
        label="expired",
        unit=Unit.COUNT,
        function=_count_orders(OrderStatus.EXPIRED),
        tables=(),
    ),
    Metric(key="costs_paid", label="costs paid", unit=Unit.CURRENCY, function=_costs_paid),
    _field(
        "trading.break_even_cost_bps",
        Unit.BASIS_POINTS,
        label="break-even cost, bp",
        format=",.1f",
        tables=(),
    ),
)
"""In the order of the JSON keys and of the table's rows."""


def compute_inputs(
    scored: Iterable[Scored],
    engine: EngineResult,
    days_per_year: int,
    *,
    suspended: int,
    prices: PriceHistory,
    benchmark: EngineResult | None = None,
    resample: bool = False,
) -> MetricInputs:
    """Compute what all metrics of one forecaster are taken from.

    Args:
        scored: The predictions with their outcomes.
        engine: What the engine did with them.
        days_per_year: How many days of a year have a mark (`engine.metrics.annualization`).
        suspended: How many of the predictions have no next close (`OutcomeFinder.is_suspended`).
        prices: The prices of the symbols.
        benchmark: What the engine did for the benchmark of alpha and beta; None for neither.
        resample: Whether to compute intervals by the bootstrap.
    """
    columns = collect_columns(scored)
    moved = columns.take(columns.moved)
    rose = moved.move > 0
    known = moved.token_probability == moved.token_probability  # false for NaN
    returns = _dated_returns(engine)
    performance = compute_performance(
        ((mark.at, mark.value) for mark in engine.marks), engine.starting_cash, days_per_year
    )
    intervals = BootstrapIntervals()
    if resample:
        intervals = bootstrap_intervals(daily_clusters(moved), performance.returns, days_per_year)
    return MetricInputs(
        columns=columns,
        suspended=suspended,
        accuracy=summarize_accuracy(columns),
        direction=score_direction(moved),
        close_errors=score_close_errors(columns),
        stated=score_calibration(moved.probability, rose),
        token=score_calibration(moved.token_probability[known], rose[known]),
        performance=performance,
        regression=regress_on_benchmark(returns, _dated_returns(benchmark), days_per_year)
        if benchmark
        else None,
        trading=score_trading(engine, prices, len(returns), days_per_year, performance.max_drawdown),
        intervals=intervals,
        engine=engine,
    )


def collect_metrics(inputs: MetricInputs) -> dict[str, Any]:
    """Return every metric by its key, without the optional ones that cannot be computed."""
    values = {metric: metric.function(inputs) for metric in METRICS}
    return {metric.key: value for metric, value in values.items() if value is not None or not metric.optional}


def _dated_returns(engine: EngineResult) -> Mapping[date, float]:
    return dated_returns(((mark.at, mark.value) for mark in engine.marks), engine.starting_cash)


def table_metrics(table: MetricTable) -> list[Metric]:
    """Return the metrics that a table shows, in order."""
    return [metric for metric in METRICS if table in metric.tables]
