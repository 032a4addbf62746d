"""Load a configuration from a TOML file and flags, and name what is wrong in one line."""

import re
import tomllib
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from engine.errors import UsageError, suggest, toml_table
from feeds.sources.registry import SOURCES
from llm.backends import find_void_settings
from llm.template_files import is_template_file
from strategies.config import (
    OLD_KEYS,
    BacktestConfig,
    ColumnsTable,
    CostsTable,
    InstrumentTable,
    MarketTable,
    PaperTable,
    RiskTable,
    SourceTable,
    WalkForwardTable,
    student_settings,
)


def load_config(
    path: Path | None,
    flags: Mapping[str, Any],
    on_message: Callable[[str], None] = lambda _: None,
    *,
    every_mode: bool = False,
) -> BacktestConfig:
    """Load the configuration of a file (or the defaults), with `flags` over it.

    Paths in the file are taken from the file's own folder; a student is a path where that folder has it,
    or where it begins with a dot.

    Args:
        path: The file; None for none.
        flags: Keys that were given elsewhere.
        on_message: Receives a line for each key of an earlier version.
        every_mode: Whether the student is asked in every mode, so that none of its settings is idle.

    Raises:
        UsageError: For an unknown key, with the nearest right one, for a value that does not fit, and for a
            setting of the student that changes nothing.
    """
    values = _read_table(path) if path is not None else {}
    for old in OLD_KEYS.keys() & values.keys():
        on_message(f"{path}: {old} is now called {OLD_KEYS[old]}; the old name still works")
    flags = _split_rates(flags)
    merged = ("market", "sources", "paper", "walkforward", "rates", "columns")
    tables = {name: _merge_flags(values.get(name, {}), flags.get(name, {})) for name in merged}
    try:
        config = BacktestConfig.model_validate({**values, **flags, **tables})
    except ValidationError as error:
        raise UsageError(_describe_error(error, path, flags)) from error
    if config.start and config.end and config.end < config.start:
        raise UsageError(f"the end {config.end} is before the start {config.start}; swap them")
    _check_sources(config)
    if not every_mode:
        _check_student(config, flags)
    return config


def _split_rates(flags: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the flags with constants among the files of rates, such as USDT=1, as keys of [rates]."""
    given = [str(entry).partition("=") for entry in flags.get("rates_files", ())]
    constants = {name: value for name, equals, value in given if equals and name.isalpha()}
    if not constants:
        return flags
    files = [entry for entry in flags["rates_files"] if str(entry).partition("=")[0] not in constants]
    rest = {key: value for key, value in flags.items() if key != "rates_files"}
    return (
        rest | {"rates": {**flags.get("rates", {}), **constants}} | ({"rates_files": files} if files else {})
    )


def _check_sources(config: BacktestConfig) -> None:
    """Refuse a name under [sources] that is no source, or nearly the one that is asked."""
    for name in config.sources:
        if not any(kind.matches(name) for kind in SOURCES):
            hint = suggest(name, [*config.store, *(kind.name for kind in SOURCES)])
            raise UsageError(f'[sources."{name}"]: unknown source; {hint}')
        if name not in config.store and (near := get_close_matches(name, config.store, n=1, cutoff=0.8)):
            raise UsageError(f'[sources."{name}"]: not a source of this run; did you mean "{near[0]}"?')


def _check_student(config: BacktestConfig, flags: Mapping[str, Any]) -> None:
    """Refuse a stated setting that changes nothing, unless a flag replaces what the file states it for."""
    for key, fault in find_void_settings(student_settings(config)).items():
        is_for_another = key not in flags and flags.keys() & {"student", "mode"}
        if key in config.model_fields_set and not is_for_another:
            flag = f"--{key.replace('_', '-')}"
            raise UsageError(f"{flag}: {fault}, or leave {flag} out")


def _merge_flags(table: object, flags: Mapping[str, Any]) -> object:
    """A table of the file with the flags for its keys over it; what is no table stays, to be refused."""
    return {**table, **flags} if isinstance(table, dict) else table


def _read_table(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); check --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not valid TOML ({error}); {_toml_hint(path)}") from error
    for key in ("bars", "news", "rates_files"):
        if isinstance(values.get(key), list):
            values[key] = [_resolve_path(path, entry) for entry in values[key]]
    for key in ("adapter", "out"):
        if key in values:
            values[key] = _resolve_path(path, values[key])
    prompt = values.get("prompt")
    if isinstance(prompt, str) and is_template_file(prompt) and (path.parent / prompt).is_file():
        values["prompt"] = str(_resolve_path(path, prompt))
    student = values.get("student")
    if isinstance(student, str) and (student.startswith((".", "~")) or (path.parent / student).is_dir()):
        values["student"] = str(_resolve_path(path, student))
    return values


def resolve_paths(config: BacktestConfig) -> BacktestConfig:
    """Return the configuration with absolute paths of data, adapter and prompt, for use from any folder.

    A student's name stays as it is, since its adapters are registered under it.
    """
    listed = {key: tuple(map(_absolute, getattr(config, key))) for key in ("bars", "news", "rates_files")}
    files: dict[str, Any] = dict(listed)
    if config.adapter is not None:
        files["adapter"] = _absolute(config.adapter)
    if config.prompt is not None and is_template_file(config.prompt):
        files["prompt"] = str(_absolute(Path(config.prompt)))
    stated = {key: value for key, value in files.items() if key in config.model_fields_set}
    return config.model_copy(update=stated)


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _toml_hint(path: Path) -> str:
    text = path.read_text(encoding="utf-8", errors="replace")
    for table, name in re.findall(r"""^ *\[ *(instruments|sources)\.([^"'\]\n]+)\]""", text, re.MULTILINE):
        if (heading := toml_table(table, name.strip())).endswith('"]'):
            return f"write {heading}, with quotes"
    return "correct that line"


def _resolve_path(config: Path, entry: object) -> object:
    return config.parent / Path(entry).expanduser() if isinstance(entry, str) else entry


def _describe_error(error: ValidationError, path: Path | None, flags: Mapping[str, Any]) -> str:
    """One line on the first problem; pydantic's own text names neither the file nor the remedy."""
    faults = error.errors()
    first = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
    where = ".".join(str(part) for part in first["loc"])
    place = "the command line" if path is None or _is_from_flag(first["loc"], flags) else str(path)
    names = [str(part) for part in first["loc"]]
    if names[:1] in (["instruments"], ["sources"]) and isinstance(first["input"], dict) and len(names) > 2:
        heading = toml_table(names[0], ".".join(names[1:]))
        return f"{place}: {where} is a table within a table; write {heading}, with quotes"
    if first["type"] == "extra_forbidden":
        known = _known_keys(first["loc"])
        listed = f"known keys: {', '.join(known)}"
        hint = suggest(str(first["loc"][-1]), known, listed, cutoff=0.4, show=repr)
        return f"{place}: unknown key {where!r}; {hint}"
    message = first["msg"].removeprefix("Value error, ").replace("valid tuple", "list")
    given = repr(first["input"])
    given = given if len(given) <= 80 else given[:80] + "…"
    return f"{place}: {where} = {given} does not fit: {message[:1].lower()}{message[1:]}"


def _is_from_flag(location: tuple[int | str, ...], flags: Mapping[str, Any]) -> bool:
    """Whether a value was given by a flag, which may be one key of a table."""
    given: Any = flags
    for part in location[:2]:
        if isinstance(given, Mapping):
            if part not in given:
                return False
            given = given[part]
    return True


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    tables: dict[object, type[BaseModel]] = {
        "market": MarketTable,
        "columns": ColumnsTable,
        "costs": CostsTable,
        "instruments": InstrumentTable,
        "sources": SourceTable,
        "paper": PaperTable,
        "risk": RiskTable,
        "walkforward": WalkForwardTable,
    }
    table = tables.get(location[0], BacktestConfig) if len(location) > 1 else BacktestConfig
    return list(table.model_fields)
