"""How to repeat a run: the command with the flags that differ from the defaults, and a file for the rest."""

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from strategies.config import BacktestConfig, Flag, MarketTable
from strategies.recorded_run import RecordedRun, RunKind

FILE = "run.toml"
_COMMANDS = {
    RunKind.BACKTEST: "closecall backtest",
    RunKind.WALK_FORWARD: "closecall walkforward",
    RunKind.REPLAY: "closecall paper start --replay",
    RunKind.PAPER: "closecall paper start",
}
_OMITTED = {"out", "overwrite", "champion"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """The command that repeats a run, the text of the file that it reads, if any, and what else it needs."""

    command: str
    toml: str
    notes: tuple[str, ...]


def describe_repetition(run: RecordedRun) -> Repetition:
    """Return the command that repeats a run, from the configuration in its journal."""
    try:
        config = BacktestConfig.model_validate(run.config)
    except ValidationError:
        return Repetition(command="", toml="", notes=("Another version wrote its configuration.",))
    changed = {
        key: value
        for key, value in config.model_dump(mode="json", exclude_defaults=True).items()
        if key not in _OMITTED
    }
    notes = _list_needs(run, changed)
    if run.kind in (RunKind.REPLAY, RunKind.PAPER):
        words = ["closecall", "paper", "start", "--like", run.name]
        return Repetition(command=shlex.join(words), toml="", notes=notes)
    command = _COMMANDS[run.kind]
    windows = _walkforward_words(run.result)
    flags = list(_list_words(BacktestConfig, changed))
    if None in flags:
        text = "\n".join(_toml_lines(changed)) + "\n"
        return Repetition(command=f"{command} --config {FILE}{windows}", toml=text, notes=notes)
    return Repetition(
        command=shlex.join([*command.split(), *filter(None, flags)]) + windows, toml="", notes=notes
    )


def _list_needs(run: RecordedRun, changed: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what the command does not say by itself."""
    result = run.result
    notes = []
    if not result["simulated"] and not (changed.get("bars") or changed.get("store")):
        notes.append("Its bars were given by a Python program; run that program again.")
    if result.get("strategy"):
        notes.append(f"Add --strategy FILE.py:{result['strategy']}, the file of its strategy.")
    return tuple(notes)


def _walkforward_words(result: Mapping[str, Any]) -> str:
    stated = result.get("walkforward") or {}
    keys = ("method", "train_days", "test_days", "step_days")
    words = [f"--{key.replace('_', '-')} {stated[key]}" for key in keys if stated.get(key) is not None]
    return "".join(f" {word}" for word in words)


def _list_words(model: type[BaseModel], changed: Mapping[str, Any]) -> Iterator[str | None]:
    """Yield the words of the flags, and None for a key without one."""
    for key, value in changed.items():
        field = model.model_fields[key]
        if key == "market" and model is BacktestConfig:
            yield from _list_words(MarketTable, value)
            continue
        if not field.description or isinstance(value, dict):
            yield None
            continue
        flag = next((extra for extra in field.metadata if isinstance(extra, Flag)), Flag())
        name = flag.name or "--" + key.replace("_", "-")
        if isinstance(value, bool):
            on, _, off = name.partition("/")
            yield on if value or not off else off
        elif isinstance(value, list):
            yield name
            yield from [",".join(map(str, value))] if flag.commas else map(str, value)
        else:
            yield from (name, str(value))


def _toml_lines(table: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the lines of a table: its values first, then its tables."""
    for key, value in table.items():
        if not isinstance(value, dict) and value is not None:
            yield f"{_toml_key(key)} = {_toml_value(value)}"
    for key, value in table.items():
        if isinstance(value, dict) and value:
            inner = (*path, key)
            yield ""
            yield f"[{'.'.join(map(_toml_key, inner))}]"
            yield from _toml_lines(value, inner)


def _toml_key(key: str) -> str:
    return key if key.isascii() and key.replace("_", "").replace("-", "").isalnum() else _toml_value(key)


def _toml_value(value: object) -> str:
    """Return a value as TOML writes it; its strings are JSON's, but for a delete character."""
    if isinstance(value, list):
        return f"[{', '.join(map(_toml_value, value))}]"
    if isinstance(value, dict):
        inner = (f"{_toml_key(key)} = {_toml_value(each)}" for key, each in value.items() if each is not None)
        return f"{{ {', '.join(inner)} }}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
