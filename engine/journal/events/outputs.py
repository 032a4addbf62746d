"""What runs and sessions state: forecasts, and the engine's own records."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engine.journal.canonical import format_utc
from engine.journal.events.codec import decode_number, require
from engine.journal.events.kinds import Kind
from engine.model import Abstention, Direction, Forecast, Prediction
from engine.trading.records import (
    EquityPoint,
    Fill,
    HoldingPeriod,
    OrderRecord,
    Record,
    SessionSnapshot,
    Valuation,
)
from engine.trading.risk import RiskChange

SessionOutput = Record | RiskChange | Valuation | SessionSnapshot
"""What the engine and the strategy of a session do about an input."""

PREDICTION_KEYS = (
    "symbol",
    "direction",
    "confidence",
    "close",
    "last_close",
    "abstention",
    "prompt",
    "output",
    "token_probability_up",
    "calibrated",
)
"""What the payload of a forecast states, in runs as in sessions; the last two only where they apply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionRecord:
    """A prediction with the prompt that it answers, empty where none was made, and its raw output.

    `adapter` names the adapter that answered: its fingerprint in a run, its folder in a session. `calibrated`
    says that the confidence is not the one in the raw output.
    """

    call: Prediction
    prompt: str = ""
    adapter: str | None = None
    calibrated: bool = False


def encode_prediction(record: PredictionRecord, *, dated: bool) -> dict[str, Any]:
    """Return a prediction as stored; sessions state its instant beside that of the event (`dated`)."""
    call = record.call
    stated = isinstance(call, Forecast)
    stored = {
        "symbol": call.symbol,
        "direction": call.direction if isinstance(call, Forecast) else None,
        "confidence": call.confidence if isinstance(call, Forecast) else None,
        "close": call.close if isinstance(call, Forecast) else None,
        "last_close": call.last_close,
        "abstention": None if stated else getattr(call, "reason", None),
        "prompt": record.prompt,
        "output": call.text,
        "adapter": record.adapter,
    }
    # Journals of earlier versions lack it, and so do those of students whose tokens are not seen.
    if isinstance(call, Forecast) and call.token_probability_up is not None:
        stored["token_probability_up"] = call.token_probability_up
    if record.calibrated:
        stored["calibrated"] = True
    return stored | {"as_of": call.as_of} if dated else stored


def decode_prediction(as_of: datetime, stored: Mapping[str, Any]) -> PredictionRecord:
    """Return what `encode_prediction` wrote. Raises KeyError, TypeError or ValueError if it is none."""
    symbol, text = require(stored["symbol"], str), require(stored["output"], str)
    last = decode_number(stored["last_close"])
    token = stored.get("token_probability_up")
    call: Prediction
    if stored["abstention"] is not None:
        call = Abstention(
            symbol=symbol, as_of=as_of, reason=require(stored["abstention"], str), last_close=last, text=text
        )
    else:
        call = Forecast(
            symbol=symbol,
            as_of=as_of,
            direction=Direction(stored["direction"]),
            confidence=stored["confidence"],
            close=stored["close"],
            last_close=last,
            token_probability_up=None if token is None else decode_number(token),
            text=text,
        )
    adapter = stored.get("adapter")
    return PredictionRecord(
        call=call,
        prompt=require(stored["prompt"], str),
        adapter=None if adapter is None else require(adapter, str),
        calibrated=require(stored.get("calibrated", False), bool),
    )


def comparable_prediction(as_of: datetime, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's forecast as a session stores it: with its instant, without what only runs add."""
    return {"as_of": format_utc(as_of)} | {key: stored[key] for key in PREDICTION_KEYS if key in stored}


PAYLOADS: Mapping[str, type] = {
    Kind.FORECAST: PredictionRecord,
    Kind.ORDER: OrderRecord,
    Kind.FILL: Fill,
    Kind.MARK: EquityPoint,
    Kind.STEP: HoldingPeriod,
    Kind.RISK: RiskChange,
    Kind.VALUATION: Valuation,
    Kind.PROGRESS: SessionSnapshot,
}
"""The payload of each kind of outputs."""
