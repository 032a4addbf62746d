"""What the session and the student's process say to each other: one JSON object on a line. Asks nothing."""

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

from engine.journal.events.inputs import decode_bar, decode_news, encode_bar, encode_news
from engine.model import Observation
from llm.student import Quantization, StudentSettings


def encode_settings(wanted: StudentSettings) -> dict[str, Any]:
    """Settings as JSON types."""
    return {
        "student": wanted.student,
        "adapter": None if wanted.adapter is None else str(wanted.adapter),
        "quantization": str(wanted.quantization),
        "prompt": wanted.prompt,
        "batch": wanted.batch,
    }


def decode_settings(payload: Mapping[str, Any]) -> StudentSettings:
    """What `encode_settings` wrote."""
    adapter = payload["adapter"]
    return StudentSettings(
        student=payload["student"],
        adapter=None if adapter is None else Path(adapter),
        quantization=Quantization(payload["quantization"]),
        prompt=payload["prompt"],
        batch=payload["batch"],
    )


def encode_observation(one: Observation) -> dict[str, Any]:
    """An observation as `engine.journal.canonical.canonical_json` can write it."""
    return {
        "symbol": one.symbol,
        "as_of": one.as_of,
        "bars": [encode_bar(bar) for bar in one.bars],
        "news": [encode_news(item) for item in one.news],
    }


def decode_observation(payload: Mapping[str, Any]) -> Observation:
    """What `encode_observation` wrote, once it was JSON."""
    return Observation(
        symbol=payload["symbol"],
        as_of=datetime.fromisoformat(payload["as_of"]),
        bars=tuple(decode_bar(payload["symbol"], stored) for stored in payload["bars"]),
        news=tuple(decode_news(item) for item in payload["news"]),
    )


def decode_day(text: str | None) -> date | None:
    """A day, or none."""
    return None if text is None else date.fromisoformat(text)
