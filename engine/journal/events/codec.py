"""Converts payload classes to what a journal stores and back, by the types of their fields.

Independent of the kinds of events. A field annotated `Rest` takes all keys that no other field has; a field
with `stored_as(key)` is stored under another key than its name.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from engine.model import require_utc

Rest = Annotated[Mapping[str, Any], "rest"]
T = TypeVar("T")
Convert = Callable[[Any], Any]


def stored_as(key: str) -> Any:
    """Return a required dataclass field that is stored under `key`."""
    return field(metadata={"key": key})


def may_lack() -> Any:
    """Return a dataclass field that is None, and not stored, where there is nothing to state."""
    return field(default=None, metadata={"lacks": True})


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    key: str
    decode: Convert
    required: bool
    optional: bool
    plain: bool


def encode_fields(payload: Any) -> dict[str, Any]:
    """Return a payload as a mapping that `engine.journal.canonical` can write.

    A field made by `may_lack` is left out where it is None.
    """
    known, rest = _plan(type(payload))
    stored: dict[str, Any] = dict(getattr(payload, rest)) if rest else {}
    for item in known:
        value = getattr(payload, item.name)
        if value is not None or not item.optional:
            stored[item.key] = value if item.plain else _to_stored(value)
    return stored


def decode_fields(kind: type[T], stored: Mapping[str, Any]) -> T:
    """Return the payload that `encode_fields` stored; keys that it does not have are passed over.

    Raises KeyError, TypeError or ValueError where the mapping holds no such payload.
    """
    known, rest = _plan(kind)
    values: dict[str, Any] = {}
    for item in known:
        if item.key in stored:
            try:
                values[item.name] = item.decode(stored[item.key])
            except (TypeError, ValueError, KeyError) as error:
                raise ValueError(f"{item.key}: {error}") from error
        elif item.required:
            raise KeyError(item.key)
    if rest:
        keys = {item.key for item in known}
        values[rest] = {key: value for key, value in stored.items() if key not in keys}
    return kind(**values)


_Plan = tuple[tuple[_Field, ...], str]
_PLANS: dict[type, _Plan] = {}


def _plan(kind: type) -> _Plan:
    if kind not in _PLANS:
        _PLANS[kind] = _build_plan(kind)
    return _PLANS[kind]


def _build_plan(kind: Any) -> _Plan:
    """Return the fields of a payload class, and the name of the one that takes all other keys."""
    hints = get_type_hints(kind, include_extras=True)
    known, rest = [], ""
    for each in fields(kind):
        hint = hints[each.name]
        if hint == Rest:
            rest = each.name
            continue
        required = each.default is MISSING and each.default_factory is MISSING
        known.append(
            _Field(
                name=each.name,
                key=each.metadata.get("key", each.name),
                decode=_decoder(hint),
                required=required,
                optional=each.metadata.get("lacks", False),
                plain=_is_plain(hint),
            )
        )
    return tuple(known), rest


def _is_plain(hint: Any) -> bool:
    """Whether the journal's canonical JSON writes values of a type as they are."""
    if get_origin(hint) in (UnionType, Union):
        return all(map(_is_plain, get_args(hint)))
    if get_origin(hint) is not None or hint is Any:
        return hint is Any or all(_is_plain(inner) for inner in get_args(hint) if inner is not Ellipsis)
    return not (is_dataclass(hint) or hint in (timedelta, frozenset))


def _to_stored(value: Any) -> Any:
    if is_dataclass(value):
        return encode_fields(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, Mapping):
        return {key: _to_stored(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return [_to_stored(inner) for inner in value]
    return value


def _decoder(hint: Any) -> Convert:
    """Return the function that reads a value of a type from JSON types."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (UnionType, Union):
        (only,) = (_decoder(each) for each in inner if each is not NoneType)
        return lambda value: None if value is None else only(value)
    if origin is tuple and inner[-1] is not Ellipsis:
        each = tuple(map(_decoder, inner))
        return lambda value: _decode_pair(value, each)
    if origin in (tuple, frozenset):
        item, build = _decoder(inner[0]), origin
        return lambda value: build(map(item, require(value, list)))
    if hint is Mapping or origin in (Mapping, dict) or getattr(origin, "__name__", "") == "Mapping":
        item = _decoder(inner[1]) if inner else _decoder(Any)
        if inner and inner[1] is Any:
            return lambda value: require(value, dict)
        return lambda value: {key: item(each) for key, each in require(value, dict).items()}
    if is_dataclass(hint):
        return lambda value: decode_fields(cast("type[Any]", hint), require(value, dict))
    return _SIMPLE.get(hint) or _enum_decoder(hint)


def _enum_decoder(hint: Any) -> Convert:
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    raise TypeError(f"{hint} cannot be stored in a journal")


def _decode_pair(value: Any, each: tuple[Convert, ...]) -> tuple[Any, ...]:
    return tuple(decode(part) for decode, part in zip(each, require(value, list), strict=True))


def require(value: Any, kind: type[T]) -> T:
    """Return the value if it is of a type. Raises TypeError if it is not."""
    if not isinstance(value, kind):
        raise TypeError(f"{str(value)[:60]!r} is no {kind.__name__}")
    return value


def decode_number(value: Any) -> Any:
    """Return the number as it was stored: an integer stays one, since digests tell 1 from 1.0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"{str(value)[:60]!r} is no finite number")
    return value


def _decode_integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{str(value)[:60]!r} is no whole number")
    return value


def _decode_instant(value: Any) -> datetime:
    moment = datetime.fromisoformat(value)
    require_utc(moment, "an instant")
    return moment


_SIMPLE: Mapping[Any, Convert] = {
    Any: lambda value: value,
    str: lambda value: require(value, str),
    bool: lambda value: require(value, bool),
    int: _decode_integer,
    float: decode_number,
    datetime: _decode_instant,
    date: date.fromisoformat,
    timedelta: lambda value: timedelta(seconds=decode_number(value)),
}
