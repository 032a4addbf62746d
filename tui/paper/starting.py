"""From the flags of `closecall paper start` to a plan: a new session's, or that of one that goes on."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from engine.errors import UsageError
from strategies.config import BacktestConfig, load_config
from strategies.runs import plain
from tui.paper.beginning import begun, config_of
from tui.paper.plan import Plan, speed_of
from tui.paper.webhook import VARIABLE, require_webhook

SHORT_DAYS = 180
"""Days of the simulated market that a replay has where nobody says otherwise."""
_MAY_DIFFER = ("paper",)


def plan_of(
    data_dir: Path,
    name: str | None,
    config_file: Path | None,
    flags: Mapping[str, Any],
    *,
    replay: bool,
    speed: str,
    tied: Mapping[str, str],
    environment: Mapping[str, str] = os.environ,
) -> Plan:
    """The plan that the flags make. A session that was begun goes on with the configuration it began with.

    Raises UsageError for flags that do not go together, or that would change a session that was begun.
    """
    asked = load_config(config_file, flags)
    chosen = name or ("replay" if replay else "live")
    said = begun(data_dir, chosen)
    secret = asked.paper.webhook.get_secret_value() if asked.paper.webhook else environment.get(VARIABLE)
    common: dict[str, Any] = {
        "data_dir": data_dir,
        "name": chosen,
        "webhook": require_webhook(secret) if secret else None,
    }
    pace = speed_of(speed)
    if said is None:
        if name and not (replay or config_file or flags):
            raise UsageError(
                f"there is no session {name!r} to go on with; begin one with --replay, or with --source and "
                "--symbols"
            )
        settled = _for_replay(asked) if replay else _for_live(asked)
        return Plan(**common, config=settled, replay=replay, speed=pace, tied=tied)
    before = config_of(said)
    if config_file is not None or flags:
        _require_same(chosen, before, asked)
    simulated = bool(said["simulated"])
    if replay and not simulated:
        raise UsageError(
            f"session {chosen} is live and no replay; leave --replay out, or choose another --name"
        )
    return Plan(**common, config=before, replay=simulated, speed=pace, tied=said["about"]["tied"])


def _for_replay(asked: BacktestConfig) -> BacktestConfig:
    """A short market where nobody says how long: a first try is to end within a minute."""
    simulated = not (asked.bars or asked.store)
    if simulated and "days" not in asked.market.model_fields_set and asked.end is None:
        return asked.model_copy(update={"market": asked.market.model_copy(update={"days": SHORT_DAYS})})
    return asked


def _for_live(asked: BacktestConfig) -> BacktestConfig:
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
    """Raise UsageError where what flags or file state would have a session go on as another one."""
    was, now = (plain(one.model_dump(mode="json")) for one in (before, asked))
    for key in sorted(asked.model_fields_set - {*_MAY_DIFFER}):
        if not _within(now[key], was[key], getattr(asked, key)):
            raise UsageError(
                f"session {name} was begun with {key} = {was[key]}, not {now[key]}, and never changes it; "
                "leave that out to go on with it, or choose another --name"
            )


def _within(now: Any, was: Any, stated: Any) -> bool:
    """Whether a value is what it was; of a table only what was stated counts."""
    if isinstance(stated, BaseModel) and isinstance(was, dict):
        return all(now[key] == was[key] for key in stated.model_fields_set)
    return bool(now == was)
