"""Begins a session's journal: what decides it, and the bars from before its start. Runs nothing."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from engine.digests import digest
from engine.errors import DataError, JournalError
from engine.journal import Event, Journal
from llm.student import Student
from strategies.config import BacktestConfig
from strategies.facts import Facts
from strategies.paper.opening import start_session
from strategies.paper.settings import STARTED, history_events, rate_events, settings_of
from strategies.paper_config import PaperTable
from strategies.runs import plain
from tui.paper.places import journal_path
from tui.paper.plan import Plan

RESTORED = "restore them, or begin another session with --name"


def begun(data_dir: Path, name: str) -> Mapping[str, Any] | None:
    """What a session's first event says, or None where nothing was begun."""
    path = journal_path(data_dir, name)
    if not path.is_file():
        return None
    with Journal.open(path, name) as journal:
        first = next(journal.read(0), None)
    if first is None:
        return None
    if first.kind != STARTED:
        raise JournalError(f"{path}: begins with {first.kind}, so it is no session's; restore it from a copy")
    return first.payload


def config_of(said: Mapping[str, Any]) -> BacktestConfig:
    """The configuration that a session began with."""
    try:
        return BacktestConfig.model_validate(said["about"]["config"])
    except (KeyError, TypeError, ValueError) as error:
        raise JournalError(
            "the session's configuration cannot be read; another version wrote it, use that one"
        ) from error


def begin(plan: Plan, facts: Facts, student: Student, at: datetime, about: Mapping[str, Any]) -> None:
    """Begin the session of a plan over `facts`. Raises UsageError where there is one of that name."""
    paper = plan.config.paper
    settings = settings_of(plan.config, facts, student, plan.config.risk.limits, **_times(paper))
    settings = replace(settings, simulated=plan.replay)
    told: list[Event] = [*history_events(facts), *(e for e in rate_events(facts) if e.as_of <= facts.start)]
    stated = {
        "config": plain(plan.config.model_dump(mode="json")),
        "released": student.released,
        "tied": dict(plan.tied),
        **about,
    }
    start_session(plan.data_dir, plan.name, settings, told, at=at, about=stated)


def about_replay(facts: Facts) -> dict[str, Any]:
    """What tells the facts of a replay from others."""
    return {"replay": facts.source, "facts": _digest(facts)}


def require_same(facts: Facts, said: Mapping[str, Any]) -> None:
    """Raise DataError unless these are the facts that the session began with."""
    if _digest(facts) != said["about"].get("facts"):
        raise DataError(f"the recorded days are not those that this session began with; {RESTORED}")


def _digest(facts: Facts) -> str:
    bars = ((b.symbol, b.closes_at, b.open, b.high, b.low, b.close, b.volume) for b in facts.traded_bars)
    news = ((item.id, item.available_at, item.title) for item in facts.news)
    return digest([*bars, *news])


def _times(paper: PaperTable) -> dict[str, Any]:
    return {
        "deadline": timedelta(seconds=paper.deadline_seconds),
        "late_after": timedelta(seconds=paper.late_seconds),
    }
