"""The scored table of a session against the baselines, which trade the same days. Asks no student."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, cast

from engine.journal import Event, Journal
from engine.observations import observations
from engine.performance import deflated_sharpe, performance
from engine.trials import distinct, on_record, sharpe_variance
from llm.student import Student
from strategies.backtest import baseline_calls, play
from strategies.paper.parity import journaled, session_digests
from strategies.recorder import Recorder
from strategies.result import count_trial, result_of
from strategies.scorecard import STUDENT, Played
from tui.paper.lived import Lived, lived
from tui.paper.messages import day_from

SCORED = "session_scored"
TRIALS = "trials.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spoken:
    """What a table says of a student that need not be asked again."""

    name: str
    fingerprint: str
    window: int
    released: date | None


def score(journal: Journal, data_dir: Path, at: datetime, *, count: bool = False) -> dict[str, Any] | None:
    """The table as `closecall backtest --json` has it, None before the first call is made.

    With `count` the session goes on the record of trials, and the table into its journal, once. Raises
    JournalError or DataError for a journal that cannot be scored.
    """
    before = next(iter(reversed(list(journal.read(kinds=(SCORED,))))), None)
    if before is not None:
        return dict(before.payload)
    whole = lived(journal, data_dir)
    if not whole.calls:
        return None
    result, student = _result(journal, whole)
    result["digests"] = session_digests(journaled(journal))
    trials = data_dir / TRIALS
    if count:
        result |= count_trial(journal.session, whole.facts, result, student, trials, at)
        journal.append([Event(kind=SCORED, as_of=at, payload=result)], at)
    else:
        result |= _among_trials(whole, result, student, trials)
    return result


def _result(journal: Journal, whole: Lived) -> tuple[dict[str, Any], Played]:
    facts, settings = whole.facts, whole.settings
    called = {(call.symbol, call.as_of) for call in whole.calls}
    seen = observations(facts.bars, facts.news, window=settings.window, start=facts.start)
    observed = [one for one in seen if (one.symbol, one.as_of) in called]
    callers = baseline_calls(whole.config, facts, observed, whole.calls)
    unused = Recorder(journal, facts.start)
    student = Played(calls=whole.calls, engine=whole.engine)
    played = {STUDENT: student} | play(
        whole.config, facts, observed, callers, unused, lambda _stage, _done, _total: None
    )
    spoken = _Spoken(
        name=settings.student,
        fingerprint=settings.fingerprint,
        window=settings.window,
        released=day_from(whole.about.get("released")),
    )
    spoken_for = cast(Student, spoken)  # all that a table asks of it is there
    made = result_of(journal.session, whole.config, facts, observed, spoken_for, len(called), played)
    return made, student


def _among_trials(whole: Lived, result: Mapping[str, Any], student: Played, path: Path) -> dict[str, Any]:
    """Its place among the trials on the same data, itself not counted yet."""
    facts, engine = whole.facts, student.engine
    start, end = (date.fromisoformat(result[name]) for name in ("start", "end"))
    known = on_record(path, facts.source, tuple(result["symbols"]), start, end)
    different = distinct(known)
    earned = performance([(m.at, m.value) for m in engine.marks], engine.starting_cash, facts.days_per_year)
    return {
        "trials": len(known),
        "distinct_trials": len(different),
        "deflated_sharpe": deflated_sharpe(
            earned.returns, max(1, len(different)), sharpe_variance(different)
        ),
    }
