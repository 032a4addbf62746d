"""A recorded run that is to be checked: its configuration, and whether its data give the same run again."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.errors import DataError, UsageError
from engine.journal.events import Kind, decode
from engine.journal.events.outputs import PredictionRecord
from engine.journal.events.rules import require_rules
from engine.journal.events.sessions import RunStarted
from engine.journal.journal import Journal
from strategies.config import BacktestConfig
from strategies.lookahead.base_run import BaseRun
from strategies.lookahead.comparison import describe_prediction
from strategies.lookahead.report import Leak, LeakKind
from strategies.results import SimulationResult, output_digests
from strategies.runs import JOURNAL, load_run

FINDINGS = "lookahead.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRun:
    """A finished run.

    Attributes:
        name: Its name.
        folder: Its folder.
        config: Its configuration.
        result: Its result.
        predictions: What was forecast, by symbol and close, with the prompts.
    """

    name: str
    folder: Path
    config: BacktestConfig
    result: Mapping[str, Any]
    predictions: Mapping[tuple[str, datetime], PredictionRecord]

    def require_subject(self, fingerprint: str | None, strategy: str | None) -> None:
        """Raise UsageError where the student or the strategy is not that of the run.

        Args:
            fingerprint: Of the student that the configuration names.
            strategy: The name of the class of the user's strategy; None: there is none.
        """
        traded_by = self.result.get("strategy")
        if traded_by != strategy:
            remedy = f"name it: --strategy FILE.py:{traded_by}" if traded_by else "leave --strategy out"
            by = f"the strategy {traded_by}" if traded_by else "the built-in strategy"
            raise UsageError(f"run {self.name} was traded by {by}; {remedy}")
        if self.result.get("student_fingerprint") != fingerprint:
            raise UsageError(
                f"run {self.name}: its student {self.result.get('student')} has changed since, or is an "
                "object of Python that the run does not hold; run the backtest again, or use "
                "closecall.check_lookahead"
            )

    def compare(self, run: BaseRun) -> Iterator[Leak]:
        """Yield the first forecast, or else the orders, that the run made again does not have."""
        for key, record in self.predictions.items():
            call = run.stated.get(key)
            again = describe_prediction(call) if call else "nothing"
            if run.prompts.get(key) != record.prompt:
                what = "the recorded prompt is not the one that its data give now"
            elif call is None or call.text != record.call.text:
                what = (
                    f"the run has the forecast {describe_prediction(record.call)}; made again, it is {again}"
                )
            else:
                continue
            yield Leak(kind=LeakKind.RUN, at=key[1], symbol=key[0], what=what)
            return
        if run.trades.engine is None:
            return
        digests = output_digests(SimulationResult(calls=run.calls, engine=run.trades.engine))
        for name, digest in self.result["digests"].items():
            if digests.get(name) != digest:
                what = f"the recorded {name} are not those that its data give now"
                yield Leak(kind=LeakKind.RUN, at=run.market.start, symbol="", what=what)
                return


def load_recorded(data_dir: Path, name: str) -> RecordedRun:
    """Return a finished run of a data folder.

    Raises:
        UsageError: Where there is none of that name.
        DataError: For one whose data it does not name.
        RulesError: For one of rules that this version lacks.
    """
    summary = load_run(data_dir, name)
    folder = data_dir / "runs" / name
    predictions = {}
    with Journal.open(folder / JOURNAL, name) as journal:
        for row in journal.read(kinds=(Kind.RUN_STARTED, Kind.FORECAST)):
            event = decode(row)
            if isinstance(event, RunStarted):
                require_rules(event.rules, f"run {name}", "run the backtest again")
            elif isinstance(event, PredictionRecord):
                predictions[event.call.symbol, event.call.as_of] = event
    config = BacktestConfig.model_validate(summary.config)
    if not (config.bars or config.store or summary.result.get("simulated")):
        raise DataError(
            f"run {name} was made on frames of Python, which it does not hold; use closecall.check_lookahead"
        )
    return RecordedRun(
        name=name, folder=folder, config=config, result=summary.result, predictions=predictions
    )
