"""Reads values from payloads of unknown origin. A value of the wrong type is None or empty."""

import math
from collections.abc import Mapping
from typing import Any


def get_number(payload: Mapping[str, Any], name: str) -> float | None:
    """Return a finite number, None where there is none."""
    return as_finite(payload.get(name))


def as_finite(value: object) -> float | None:
    """Return the value if it is a finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def get_text(payload: Mapping[str, Any], name: str, most: int = 300) -> str:
    """Return a text of at most `most` characters; empty where there is none."""
    value = payload.get(name)
    return "" if value is None else str(value)[:most]


def get_mapping(payload: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a mapping, empty where there is none."""
    value = payload.get(name)
    return value if isinstance(value, dict) else {}


def get_list(payload: Mapping[str, Any], name: str) -> list[Any]:
    """Return a list, empty where there is none."""
    value = payload.get(name)
    return value if isinstance(value, list) else []


def summarize_payload(payload: Mapping[str, Any], most: int = 160) -> str:
    """Return a payload in one line of at most `most` characters; of lists and mappings their length."""
    parts: list[str] = []
    for name, value in payload.items():
        if name in ("input", "replay"):
            continue
        summary = _summarize_value(value)
        if summary:
            parts.append(f"{str(name)[:24]} {summary}")
        if sum(map(len, parts)) > most:
            break
    return ", ".join(parts)[:most]


def _summarize_value(value: object) -> str:
    if value is None or value in ("", [], {}):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, list | dict):
        return f"({len(value)})"
    text = str(value)[:80]
    return text if len(text) < 80 else text[:79] + "…"
