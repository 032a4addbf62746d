"""The settings in which runs differ."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from strategies.config import OLD_KEYS, BacktestConfig

_LEFT_OUT = {"out", "student"}
"""Keys that decide nothing, or that stand in a column of their own."""


def find_differences(configs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return each run's values of the settings that are not the same in all, by key such as "market.days".

    Args:
        configs: The configurations as journals keep them; what one does not state has its default.
    """
    defaults = _flatten_defaults()
    stated = [dict(_flatten(config)) for config in configs]
    keys = dict.fromkeys(key for config in stated for key in config)
    rows: list[dict[str, Any]] = [{} for _ in stated]
    for key in keys:
        values = [config.get(key, defaults.get(key)) for config in stated]
        if key.partition(".")[0] not in _LEFT_OUT and any(value != values[0] for value in values):
            for row, value in zip(rows, values, strict=True):
                row[key] = value
    return rows


def list_changed(settings: Mapping[str, Any]) -> list[str]:
    """Return the settings that are not at their default as "key=value", for a line of text."""
    defaults = _flatten_defaults()
    return [f"{key}={format_value(value)}" for key, value in settings.items() if value != defaults.get(key)]


def format_value(value: object) -> str:
    """Return a setting's value as a person writes it."""
    if isinstance(value, list):
        return ",".join(map(format_value, value))
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _flatten_defaults() -> dict[str, Any]:
    return dict(_flatten(BacktestConfig().stored()))


def _flatten(config: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        name = path + key if path else OLD_KEYS.get(key, key)
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{name}.")
        else:
            yield name, value
