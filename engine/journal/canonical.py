"""Canonical JSON and digests: equal values have equal text and equal SHA-256 on every machine.

Independent of what the rows or mappings mean.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from enum import Enum
from functools import lru_cache
from typing import Any, Literal

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode


def format_utc(moment: datetime, precision: Literal["auto", "microseconds"] = "auto") -> str:
    """Return ISO 8601 in UTC with a closing Z; "auto" leaves out microseconds that are zero.

    Raises ValueError for a time without a zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone; give it one")
    return moment.astimezone(UTC).isoformat(timespec=precision).removesuffix("+00:00") + "Z"


def canonical_json(mapping: Mapping[str, object]) -> str:
    """Return JSON with sorted keys, no spaces and no escapes beyond those that JSON demands.

    Floats are written by `repr` (shortest text that reads back to the same float), enums as their value,
    datetimes by `format_utc`, dates in ISO 8601, tuples as lists. Raises ValueError for a number that is
    not finite, a time without a zone and text that UTF-8 cannot hold; TypeError for any other type,
    sets among them (they have no order), and for a key that is not a string.
    """
    return _format_cell(mapping)


def row_digest(rows: Iterable[Sequence[object]]) -> str:
    """Return the SHA-256, in hex, of rows as UTF-8 lines: each a JSON list of its cells and a newline.

    Cells are written as in `canonical_json`. A time and its text are equal, so rows read back
    from a CSV file give the same digest once numbers are numbers again and empty cells None. Same errors
    as `canonical_json`.
    """
    sha = hashlib.sha256()
    for row in rows:
        sha.update(_format_cell(list(row)).encode())
        sha.update(b"\n")
    return sha.hexdigest()


def _format_cell(value: object) -> str:
    text = _encode(_to_jsonable(value))
    if not text.isascii():
        text.encode()  # news may carry half a surrogate pair, which neither SQLite nor SHA-256 can take
    return text


_PLAIN = frozenset({str, int, float, bool, type(None)})

# All records of a slice have its instant.
_format_instant = lru_cache(maxsize=64)(format_utc)


def _to_jsonable(value: object) -> object:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Enum):
        return _to_jsonable(value.value)
    if isinstance(value, str | int | float):
        return value
    if isinstance(value, datetime):
        return _format_instant(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return _to_jsonable_mapping(value)
    if isinstance(value, list | tuple):
        return [_to_jsonable(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no canonical text: {value!r}")


def _to_jsonable_mapping(mapping: Mapping[object, object]) -> dict[str, object]:
    plain: dict[str, object] = {}
    for key, value in mapping.items():
        if not isinstance(key, str):
            raise TypeError(f"key {key!r} is not a string")
        plain[key] = _to_jsonable(value)
    return plain


def to_jsonable(value: object) -> Any:
    """Return a value as JSON types: what `--json` prints and the journal keeps."""
    return json.loads(canonical_json({"value": value}))["value"]
