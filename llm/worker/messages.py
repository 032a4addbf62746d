"""The messages between the session and the student's process: one JSON object on a line."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import Any

from engine.journal.events.inputs import decode_bar, decode_news, encode_bar, encode_news
from engine.model import Observation
from llm.student import DecodingMode, Quantization, StudentSettings, Task

_DECODERS: Mapping[str, Callable[[Any], object]] = {
    "adapter": lambda path: None if path is None else Path(path),
    "quantization": Quantization,
    "mode": DecodingMode,
    "task": Task,
    "names": lambda names: tuple((symbol, tuple(of_symbol)) for symbol, of_symbol in names),
}


def encode_settings(wanted: StudentSettings) -> dict[str, Any]:
    """Return settings as JSON types."""
    return asdict(wanted) | {"adapter": None if wanted.adapter is None else str(wanted.adapter)}


def decode_settings(payload: Mapping[str, Any]) -> StudentSettings:
    """Return what `encode_settings` wrote; what is left out has its default."""
    changes = {key: _DECODERS[key](value) for key, value in payload.items() if key in _DECODERS}
    return StudentSettings(**{**payload, **changes})


def encode_observation(seen: Observation) -> dict[str, Any]:
    """Return an observation as `engine.journal.canonical.canonical_json` can write it."""
    return {
        "symbol": seen.symbol,
        "as_of": seen.as_of,
        "bars": [encode_bar(bar) for bar in seen.bars],
        "news": [encode_news(item) for item in seen.news],
    }


def decode_observation(payload: Mapping[str, Any]) -> Observation:
    """Return what `encode_observation` wrote, once it was JSON."""
    return Observation(
        symbol=payload["symbol"],
        as_of=datetime.fromisoformat(payload["as_of"]),
        bars=tuple(decode_bar(payload["symbol"], stored) for stored in payload["bars"]),
        news=tuple(decode_news(item) for item in payload["news"]),
    )


def decode_day(text: str | None) -> date | None:
    """Return a day, or None."""
    return None if text is None else date.fromisoformat(text)
