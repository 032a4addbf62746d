"""The settings with which a session is started, passed from one process to the next."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel

from engine.errors import DataError, UsageError, suggest
from engine.journal.canonical import row_digest, to_jsonable
from engine.journal.events.rules import require_rules
from engine.journal.events.sessions import SessionStarted
from engine.journal.journal import Event
from llm.backends import require_trainable
from llm.student import Student
from strategies.config import BacktestConfig, Retraining, student_settings
from strategies.config_file import load_config, resolve_paths
from strategies.console import print_stderr
from strategies.market_data import MarketData
from strategies.paper.files import create_session, decode_config, read_start, session_folder, session_names
from strategies.paper_runtime.notifications import VARIABLE, require_webhook
from strategies.run_spec import build_run_spec, encode_history, encode_rates, new_session_remedy
from strategies.students import refuse_backtest_keys, require_next_close

_SLOWEST, _FASTEST = 1.0, 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchSpec:
    """One start of a session.

    `speed` is how many times faster than real time a replay runs, None as fast as possible.
    `symbol_overrides` maps symbols to their source. `webhook` is the
    address to which changes are posted; it is never stored.
    """

    data_dir: Path
    name: str
    config: BacktestConfig
    replay: bool
    speed: float | None = None
    symbol_overrides: Mapping[str, str] = field(default_factory=dict)
    webhook: str | None = None

    def to_json(self) -> str:
        """Return the settings as one line of JSON."""
        return json.dumps(
            {
                "data_dir": str(self.data_dir),
                "name": self.name,
                "config": self.config.stored(),
                "replay": self.replay,
                "speed": self.speed,
                "tied": dict(self.symbol_overrides),
                "webhook": self.webhook,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return what `to_json` wrote."""
        stated: dict[str, Any] = json.loads(text)
        return cls(
            data_dir=Path(stated["data_dir"]),
            name=stated["name"],
            config=BacktestConfig.model_validate(stated["config"]),
            replay=stated["replay"],
            speed=stated["speed"],
            symbol_overrides=stated["tied"],
            webhook=stated["webhook"],
        )


def parse_speed(word: str) -> float | None:
    """Return how many times faster than real time a replay runs, None for "max". Raises UsageError."""
    if word == "max":
        return None
    try:
        speed = float(word)
    except ValueError:
        speed = 0.0
    if not _SLOWEST <= speed <= _FASTEST:
        raise UsageError(f"--speed {word[:20]}: give max or a number from 1 on (86400 is a day per second)")
    return speed


RESTORED = "restore them, or start another session with --name"


def create_session_from_plan(
    plan: LaunchSpec, facts: MarketData, student: Student, at: datetime, about: Mapping[str, Any]
) -> None:
    """Create the session of a plan over `facts`. Raises UsageError where there is one of that name."""
    paper = plan.config.paper
    settings = build_run_spec(
        plan.config,
        facts,
        student,
        plan.config.risk.limits,
        deadline=timedelta(seconds=paper.deadline_seconds),
        late_after=timedelta(seconds=paper.late_seconds),
        simulated=plan.replay,
    )
    inputs: list[Event] = [
        *encode_history(facts),
        *(e for e in encode_rates(facts) if e.as_of <= facts.start),
    ]
    stated = {
        "config": to_jsonable(plan.config.stored()),
        "released": student.released,
        "tied": dict(plan.symbol_overrides),
        **about,
    }
    create_session(plan.data_dir, plan.name, settings, inputs, at=at, about=stated)


def about_replay(facts: MarketData) -> dict[str, Any]:
    """Return what identifies the data of a replay."""
    return {"replay": facts.source, "facts": _data_digest(facts)}


def require_same_data(facts: MarketData, start: SessionStarted) -> None:
    """Raise DataError unless this is the data that the session began with."""
    if _data_digest(facts) != start.about.get("facts"):
        raise DataError(f"the recorded days are not those that this session began with; {RESTORED}")


def _data_digest(facts: MarketData) -> str:
    bars = ((b.symbol, b.closes_at, b.open, b.high, b.low, b.close, b.volume) for b in facts.traded_bars)
    news = ((item.id, item.available_at, item.title) for item in facts.news)
    return row_digest([*bars, *news])


SHORT_DAYS = 180
"""Days of the simulated market that is replayed by default."""


def build_launch_spec(
    data_dir: Path,
    name: str | None,
    config_file: Path | None,
    flags: Mapping[str, Any],
    *,
    replay: bool,
    speed: str,
    symbol_overrides: Mapping[str, str],
    like: str | None = None,
    environment: Mapping[str, str] = os.environ,
) -> LaunchSpec:
    """Return the start that the flags ask for. An existing session resumes with its own configuration.

    Args:
        data_dir: The data folder.
        name: The session's name, None for "replay" or "live".
        config_file: The configuration file, if any.
        flags: What the command line says of the configuration.
        replay: Whether recorded or simulated days are replayed.
        speed: "max", or how many times faster than real time a replay runs.
        symbol_overrides: The source of single symbols.
        like: The session whose settings a new one takes.
        environment: Environment variables, which may hold the webhook's address.

    Raises:
        UsageError: The flags do not go together, or would change an existing session.
        StudentError: It would retrain a student that has no weights here.
        RulesError: The session was traded by rules that this version does not have.
    """
    if like is not None:
        return _build_like(
            data_dir, name, like, speed, environment, changed=bool(config_file or flags or replay)
        )
    asked = resolve_paths(load_config(config_file, flags, print_stderr))
    require_next_close(asked, "a session")
    if asked.paper.retrain is not Retraining.NEVER:
        require_trainable(student_settings(asked))
    refuse_backtest_keys(asked, "a session")
    chosen = name or ("replay" if replay else "live")
    started = read_start(data_dir, chosen)
    secret = asked.paper.webhook.get_secret_value() if asked.paper.webhook else environment.get(VARIABLE)
    common: dict[str, Any] = {
        "data_dir": data_dir,
        "name": chosen,
        "webhook": require_webhook(secret) if secret else None,
    }
    pace = parse_speed(speed)
    if started is None:
        if name and not (replay or config_file or flags):
            raise UsageError(
                f"there is no session {name!r} to resume; start one with --replay, or --source and --symbols"
            )
        settled = _replay_defaults(asked) if replay else _live_defaults(asked)
        return LaunchSpec(
            **common, config=settled, replay=replay, speed=pace, symbol_overrides=symbol_overrides
        )
    require_rules(started.rules, f"session {chosen}", new_session_remedy(chosen))
    before = decode_config(started)
    if config_file is not None or flags:
        _require_same(chosen, resolve_paths(before), asked)
    simulated = started.simulated
    if replay and not simulated:
        raise UsageError(
            f"session {chosen} is live, not a replay; leave --replay out, or choose another --name"
        )
    return LaunchSpec(
        **common, config=before, replay=simulated, speed=pace, symbol_overrides=started.about["tied"]
    )


def _build_like(
    data_dir: Path, name: str | None, like: str, speed: str, environment: Mapping[str, str], *, changed: bool
) -> LaunchSpec:
    """Return the start of a new session with the settings of another, whatever the rules of its journal."""
    if changed:
        raise UsageError("--like takes all settings from that session; leave the other flags out")
    started = read_start(data_dir, like)
    if started is None:
        hint = suggest(like, session_names(data_dir), "list all with: closecall paper list")
        raise UsageError(f"there is no session {like!r} in {data_dir}; {hint}")
    free = (f"{like}-{number}" for number in count(2))
    unused = next(each for each in free if not session_folder(data_dir, each).exists())
    if name is not None and session_folder(data_dir, name).exists():
        raise UsageError(
            f"there is a session {name} already and --like starts a new one; leave --name out for {unused}, "
            "or choose another name"
        )
    secret = environment.get(VARIABLE)
    return LaunchSpec(
        data_dir=data_dir,
        name=name or unused,
        config=decode_config(started),
        replay=started.simulated,
        speed=parse_speed(speed),
        symbol_overrides=started.about["tied"],
        webhook=require_webhook(secret) if secret else None,
    )


def _replay_defaults(asked: BacktestConfig) -> BacktestConfig:
    """Return the configuration with a short market where no length is given."""
    simulated = not (asked.bars or asked.store)
    if simulated and "days" not in asked.market.model_fields_set and asked.end is None:
        return asked.model_copy(update={"market": asked.market.model_copy(update={"days": SHORT_DAYS})})
    return asked


def _live_defaults(asked: BacktestConfig) -> BacktestConfig:
    if asked.bars or asked.start or asked.end:
        raise UsageError("--bars, --start and --end are for recorded days; add --replay")
    if asked.paper.script:
        raise UsageError("[[paper.script]] is for recorded or simulated days; add --replay, or take it out")
    if not asked.store:
        raise UsageError(
            "name a live source with its symbols, such as --source ccxt:binance=BTC/USDT, or try --replay"
        )
    return asked


def _require_same(name: str, before: BacktestConfig, asked: BacktestConfig) -> None:
    """Raise UsageError where flags or file would change the settings of an existing session."""
    was, now = (to_jsonable(config.model_dump(mode="json")) for config in (before, asked))
    for key in sorted((asked.model_fields_set & now.keys()) - {"paper"}):
        if not _is_unchanged(now[key], was[key], getattr(asked, key)):
            raise UsageError(
                f"session {name} was started with {key} = {was[key]}, not {now[key]}, and never changes it; "
                "leave that out to resume it, or choose another --name"
            )


def _is_unchanged(now: Any, was: Any, stated: Any) -> bool:
    """Return whether a value is unchanged; of a table only stated keys count."""
    if isinstance(stated, BaseModel) and isinstance(was, dict):
        return all(now[key] == was[key] for key in stated.model_fields_set)
    return bool(now == was)
