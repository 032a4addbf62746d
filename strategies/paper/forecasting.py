"""How the closes of one slice come to their calls: as journaled, from the ledger, from the student, or not.

Fails closed: whatever goes wrong is an abstention with its reason. Knows no engine and no order.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from engine.errors import JournalError, StudentError
from engine.journal.journal import Row
from engine.model import Abstention, Observation, Prediction
from llm.answer_cache import answer_digest
from llm.answers import parse_answer
from llm.student import StudentClient, StudentInterrupted, StudentTimeout
from strategies.runs import encode_prediction

ARRIVED_LATE = "late: the close was learned after its time"

TIMED_OUT = "late: the student did not answer in time"

INTERRUPTED = "halted: a command came before the answer"

UNAVAILABLE = "the student cannot be asked"

FORECAST_KEYS = (
    "symbol",
    "direction",
    "confidence",
    "close",
    "last_close",
    "abstention",
    "prompt",
    "output",
)
"""What the payload of every forecast states, in runs as in sessions."""


class Answers(Protocol):
    """Raw answers by digest, such as `llm.answer_cache.AnswerCache`."""

    def get_many(self, digests: Sequence[str]) -> Mapping[str, str]:
        """The answers on record, by digest."""
        ...

    def put_many(self, fingerprint: str, answers: Sequence[Mapping[str, str]]) -> None:
        """Put rows of digest, prompt and answer on record."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionRecord:
    """A call with the prompt it answers; the prompt is empty where none could be made."""

    call: Prediction
    prompt: str = ""

    def encode(self) -> dict[str, Any]:
        """The call as the journal keeps it."""
        beside = {"as_of": self.call.as_of, "prompt": self.prompt, "output": self.call.text}
        return encode_prediction(self.call) | beside


def abstain(
    observed: Sequence[Observation], reason: str, prompts: Sequence[str] = ()
) -> list[PredictionRecord]:
    """No call for any of the observations, for one reason."""
    return [
        PredictionRecord(
            call=Abstention(symbol=one.symbol, as_of=one.as_of, reason=reason, last_close=one.last_close),
            prompt=prompts[place] if place < len(prompts) else "",
        )
        for place, one in enumerate(observed)
    ]


def replay_predictions(observed: Sequence[Observation], rows: Sequence[Row]) -> list[PredictionRecord]:
    """The calls that the journal holds: read anew from their raw outputs, or abstained as they were.

    Raises JournalError if they are not those of the observations.
    """
    if [one.symbol for one in observed] != [row.payload["symbol"] for row in rows]:
        raise JournalError(
            f"event {rows[0].seq}: the forecasts from here on are not those of their slice; "
            "restore the journal from a copy"
        )
    return [_replay_prediction(one, row.payload) for one, row in zip(observed, rows, strict=True)]


def predict(
    observed: Sequence[Observation],
    student: Callable[[], StudentClient],
    answers: Answers,
    *,
    seconds: float,
    interrupted: Callable[[], bool],
    fault: Callable[[str, str | None], None],
) -> list[PredictionRecord]:
    """Calls from the ledger, else from the student within `seconds`, else abstentions.

    `fault` is told of a part ("student" or "ledger") what is wrong with it, or None once it is right.
    """
    prompts: Sequence[str] = ()
    try:
        asked = student()
        prompts = asked.prompts(observed, seconds)
        texts = _get_answers(prompts, asked, answers, seconds, interrupted, fault)
    except StudentInterrupted:
        return abstain(observed, INTERRUPTED, prompts)
    except StudentTimeout as error:
        fault("student", str(error))
        return abstain(observed, TIMED_OUT, prompts)
    except StudentError as error:
        fault("student", str(error))
        return abstain(observed, UNAVAILABLE, prompts)
    fault("student", None)
    return [
        PredictionRecord(call=parse_answer(text, one), prompt=prompt)
        for text, one, prompt in zip(texts, observed, prompts, strict=True)
    ]


def _get_answers(
    prompts: Sequence[str],
    student: StudentClient,
    answers: Answers,
    seconds: float,
    interrupted: Callable[[], bool],
    fault: Callable[[str, str | None], None],
) -> list[str]:
    digests = [answer_digest(student.fingerprint, prompt) for prompt in prompts]
    try:
        known = dict(answers.get_many(digests))
    except JournalError as error:
        fault("ledger", str(error))
        known = {}
    missing = {d: p for d, p in zip(digests, prompts, strict=True) if d not in known}
    if missing:
        texts = student.answers(list(missing.values()), seconds, interrupted)
        known |= zip(missing, texts, strict=True)
        rows = [{"digest": d, "prompt": p, "answer": known[d]} for d, p in missing.items()]
        try:
            answers.put_many(student.fingerprint, rows)
            fault("ledger", None)
        except JournalError as error:
            fault("ledger", str(error))
    return [known[digest] for digest in digests]


def _replay_prediction(one: Observation, payload: Mapping[str, Any]) -> PredictionRecord:
    if payload["output"]:
        return PredictionRecord(call=parse_answer(payload["output"], one), prompt=payload["prompt"])
    return abstain([one], payload["abstention"], [payload["prompt"]])[0]
