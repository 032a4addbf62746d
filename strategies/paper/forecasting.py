"""Predictions on the closes of one slice: as journaled, from the answer cache, or from the student.

Fails closed: every fault becomes an abstention with its reason.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from engine.errors import JournalError, StudentError
from engine.journal.events import decode_as
from engine.journal.events.outputs import PredictionRecord
from engine.journal.journal import Row
from engine.model import Abstention, Forecast, Observation
from llm.answer_cache import answer_digest
from llm.answers import parse_answer, remove_probability
from llm.student import StudentClient, StudentInterrupted, StudentTimeout

ARRIVED_LATE = "late: the close was learned after its time"
TIMED_OUT = "late: the student did not answer in time"
INTERRUPTED = "halted: a command came before the answer"
UNAVAILABLE = "the student cannot be asked"


class Answers(Protocol):
    """Raw answers by digest, such as `llm.answer_cache.AnswerCache`."""

    def get_many(self, digests: Sequence[str]) -> Mapping[str, str]:
        """Return the stored answers, by digest."""
        ...

    def put_many(self, fingerprint: str, answers: Sequence[Mapping[str, str]]) -> None:
        """Store rows of digest, prompt and answer."""
        ...


def abstain(
    observed: Sequence[Observation], reason: str, prompts: Sequence[str] = ()
) -> list[PredictionRecord]:
    """Return an abstention on each observation, all for one reason."""
    return [
        PredictionRecord(
            call=Abstention(
                symbol=observation.symbol,
                as_of=observation.as_of,
                reason=reason,
                last_close=observation.last_close,
            ),
            prompt=prompts[place] if place < len(prompts) else "",
        )
        for place, observation in enumerate(observed)
    ]


def replay_predictions(observed: Sequence[Observation], rows: Sequence[Row]) -> list[PredictionRecord]:
    """Return the predictions that the journal holds, parsed again from their raw outputs.

    Raises JournalError if they are not those of the observations.
    """
    records = [decode_as(PredictionRecord, row) for row in rows]
    if [each.symbol for each in observed] != [record.call.symbol for record in records]:
        where = f"event {rows[0].seq}" if rows else f"the slice of {observed[0].as_of}"
        raise JournalError(
            f"{where}: the forecasts from here on are not those of their slice; "
            "restore the journal from a copy"
        )
    return [_replay_prediction(each, record) for each, record in zip(observed, records, strict=True)]


def predict(
    observed: Sequence[Observation],
    student: Callable[[], StudentClient],
    answers: Answers,
    *,
    seconds: float,
    interrupted: Callable[[], bool],
    fault: Callable[[str, str | None], None],
    token_probabilities: bool = True,
) -> list[PredictionRecord]:
    """Return predictions from the answer cache, else from the student, else abstentions.

    Args:
        observed: What to predict on, of one slice.
        student: Loads the student.
        answers: The answer cache.
        seconds: How long the student may take.
        interrupted: Whether a person stopped all orders meanwhile.
        fault: Called with a part ("student" or "ledger") and what is wrong with it, None once it works.
        token_probabilities: Whether answers keep the probability of the token "up", if it is known.
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
    if not token_probabilities:
        texts = [remove_probability(text) for text in texts]
    return [
        PredictionRecord(call=parse_answer(text, observation), prompt=prompt)
        for text, observation, prompt in zip(texts, observed, prompts, strict=True)
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


def _replay_prediction(observation: Observation, record: PredictionRecord) -> PredictionRecord:
    call = record.call
    if call.text:
        parsed = parse_answer(call.text, observation)
        if record.calibrated and isinstance(parsed, Forecast) and isinstance(call, Forecast):
            parsed = replace(parsed, confidence=call.confidence)
        return PredictionRecord(call=parsed, prompt=record.prompt, calibrated=record.calibrated)
    return abstain([observation], getattr(call, "reason", ""), [record.prompt])[0]
