"""The points of a grid over keys of the configuration: all combinations of the values of some keys."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import NoneType
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from engine.errors import UsageError
from engine.journal.canonical import canonical_json
from strategies.config import OLD_KEYS, BacktestConfig, Flag
from strategies.config_file import load_config

Grid = Mapping[str, Sequence[Any]]
"""Keys of the configuration, those of a table with its name such as "market.days", and the values of each."""

_NO_DIFFERENCE = {
    "champion": "give --champion to the whole sweep, or sweep over adapter",
    "out": "each run is kept in the data folder",
    "overwrite": "each run is kept in the data folder",
    "batch": "it changes how fast answers are made, and no answer",
    "paper": "it is for paper sessions",
    "risk": "it is for paper sessions",
    "walkforward": "it is for walk-forwards",
    "sources": "it says where bars are fetched from",
    "feeds": "it says where news is fetched from",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GridPoint:
    """One combination: the value of each key as it was written, and the configuration that it makes."""

    settings: Mapping[str, Any]
    config: BacktestConfig


def parse_grid(words: Sequence[str]) -> dict[str, list[str]]:
    """Return the grid in words such as "max_gross_exposure=0.5,0.95".

    Raises:
        UsageError: For a word that is not written so, and for a key that comes twice.
    """
    grid: dict[str, list[str]] = {}
    for word in words:
        key, equals, text = word.partition("=")
        key, values = key.strip(), [value.strip() for value in text.split(",")]
        if not equals or not key or not all(values):
            raise UsageError(f"--set {word}: write a key and its values, such as --set fee_bps=0,10,25")
        if key in grid:
            raise UsageError(f"--set {key}: it is given twice; write all its values in one, with commas")
        grid[key] = values
    return grid


def build_points(base: BacktestConfig, grid: Grid) -> list[GridPoint]:
    """Return a point for each distinct combination, in the order of the keys and values.

    Args:
        base: The configuration of everything that is not in the grid.
        grid: The keys and their values; the text "none" leaves a key without a value open.

    Raises:
        UsageError: For an unknown key, a value that does not fit, a key that changes no backtest, and an
            empty grid.
    """
    if not grid:
        raise UsageError("nothing to sweep over; give a key with its values, such as fee_bps: 0, 10, 25")
    for key, values in grid.items():
        if not values or isinstance(values, str):
            raise UsageError(f"{key}: give a list of values")
    if len({tuple(_split_key(key)) for key in grid}) < len(grid):
        raise UsageError(f"{', '.join(grid)}: two of these are one key; give all its values in one")
    read = {key: [_read_value(key, value) for value in values] for key, values in grid.items()}
    points: dict[str, GridPoint] = {}
    for places in product(*(range(len(values)) for values in grid.values())):
        config = base
        for key, place in zip(grid, places, strict=True):
            config = _overlay(config, read[key][place], _split_key(key))
        if config.start and config.end and config.end < config.start:
            raise UsageError(f"the end {config.end} is before the start {config.start}; swap them")
        settings = {key: values[place] for (key, values), place in zip(grid.items(), places, strict=True)}
        point = GridPoint(settings=settings, config=config)
        points.setdefault(canonical_json(config.stored()), point)
    return list(points.values())


def _split_key(key: str) -> list[str]:
    """Return the parts of a dotted key, with quotes around a part that has a dot, as in TOML."""
    try:
        table: Any = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{key}: not a key; quote names with a dot, as in TOML") from error
    parts: list[str] = []
    while isinstance(table, dict):
        if len(table) != 1:
            raise UsageError(f"{key}: not a key")
        ((part, table),) = table.items()
        parts.append(part)
    return [OLD_KEYS.get(parts[0], parts[0]), *parts[1:]]


def _read_value(key: str, value: Any) -> BacktestConfig:
    """Return a configuration with one value of a key, validated."""
    parts = _split_key(key)
    if reason := _NO_DIFFERENCE.get(parts[0]):
        raise UsageError(f"{key}: it makes no difference to a backtest; {reason}")
    field = _find_field(parts)
    kind = field.annotation if field else None
    if get_origin(kind) is Mapping or (isinstance(kind, type) and issubclass(kind, BaseModel)):
        raise UsageError(f"{key}: it is a table; name a key of it, such as market.days")
    if isinstance(value, str) and field is not None:
        if value == "none" and NoneType in get_args(field.annotation):
            value = None
        elif get_origin(field.annotation) is tuple:
            commas = any(isinstance(extra, Flag) and extra.commas for extra in field.metadata)
            value = value.split() if commas else [value]
    nested: Any = value
    for part in reversed(parts):
        nested = {part: nested}
    return load_config(None, nested)


def _find_field(parts: Sequence[str]) -> FieldInfo | None:
    """Return the field of a key of a table with fixed keys; None for another, which is refused or plain."""
    model: Any = BacktestConfig
    field = None
    for part in parts:
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return None
        field = model.model_fields.get(part)
        model = field.annotation if field else None
    return field


def _overlay(base: Any, given: Any, parts: Sequence[str]) -> Any:
    """Return a configuration, or a table of it, with the one value of another one that a key names."""
    if not parts or base is None:
        return given
    part, *rest = parts
    if isinstance(base, BaseModel):
        return base.model_copy(update={part: _overlay(getattr(base, part), getattr(given, part), rest)})
    return {**base, **{name: _overlay(base.get(name), value, rest) for name, value in given.items()}}
