"""What the session and the student's process say to each other: one JSON object on a line. Asks nothing."""

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

from engine.journal.events import bar_from_dated, dated_bar, news_from_payload, news_payload
from engine.model import Observation
from llm.student import Quantization, StudentSettings


def settings_payload(wanted: StudentSettings) -> dict[str, Any]:
    """Settings as JSON types."""
    return {
        "student": wanted.student,
        "adapter": None if wanted.adapter is None else str(wanted.adapter),
        "quantization": str(wanted.quantization),
        "prompt": wanted.prompt,
        "batch": wanted.batch,
    }


def settings_from(payload: Mapping[str, Any]) -> StudentSettings:
    """What `settings_payload` wrote."""
    adapter = payload["adapter"]
    return StudentSettings(
        student=payload["student"],
        adapter=None if adapter is None else Path(adapter),
        quantization=Quantization(payload["quantization"]),
        prompt=payload["prompt"],
        batch=payload["batch"],
    )


def observation_payload(one: Observation) -> dict[str, Any]:
    """An observation as `engine.journal.canonical.canonical_json` can write it."""
    return {
        "symbol": one.symbol,
        "as_of": one.as_of,
        "bars": [dated_bar(bar) for bar in one.bars],
        "news": [news_payload(item) for item in one.news],
    }


def observation_from(payload: Mapping[str, Any]) -> Observation:
    """What `observation_payload` wrote, once it was JSON."""
    return Observation(
        symbol=payload["symbol"],
        as_of=datetime.fromisoformat(payload["as_of"]),
        bars=tuple(bar_from_dated(payload["symbol"], stored) for stored in payload["bars"]),
        news=tuple(news_from_payload(item) for item in payload["news"]),
    )


def day_from(text: str | None) -> date | None:
    """A day, or none."""
    return None if text is None else date.fromisoformat(text)
