"""Values out of payloads that anyone may have written. What is not what it should be is None or empty."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any


def get_number(payload: Mapping[str, Any], name: str) -> float | None:
    """A finite number."""
    return as_finite(payload.get(name))


def as_finite(value: object) -> float | None:
    """A value that is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def get_text(payload: Mapping[str, Any], name: str, most: int = 300) -> str:
    """A text of at most so many characters; empty where there is none."""
    value = payload.get(name)
    return "" if value is None else str(value)[:most]


def get_mapping(payload: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A mapping, empty where there is none."""
    value = payload.get(name)
    return value if isinstance(value, dict) else {}


def get_list(payload: Mapping[str, Any], name: str) -> list[Any]:
    """A list, empty where there is none."""
    value = payload.get(name)
    return value if isinstance(value, list) else []


def get_instant(payload: Mapping[str, Any], name: str) -> datetime | None:
    """An instant."""
    try:
        found = datetime.fromisoformat(str(payload.get(name)))
    except ValueError:
        return None
    return found if found.tzinfo else None


def summarize_payload(payload: Mapping[str, Any], most: int = 160) -> str:
    """A payload in one line, its short values first."""
    parts: list[str] = []
    for name, value in payload.items():
        if name in ("input", "replay"):
            continue
        said = _summarize_value(value)
        if said:
            parts.append(f"{str(name)[:24]} {said}")
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
    said = str(value)[:80]
    return said if len(said) < 80 else said[:79] + "…"
