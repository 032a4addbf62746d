"""Answer all prompts of a run, from the answer cache or in large batches."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from engine.model import Observation, Prediction
from engine.timeline import hide_last_close
from llm.answer_cache import AnswerCache, answer_digest
from llm.answers import parse_answer, parse_answer_text
from llm.student import BatchedStudent, Progress, Student, Task

_KEEP_EVERY = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecasts:
    """The calls of a run in the order of its observations, with their prompts, and how many were asked.

    `num_unverified` answers come from the ledger and have no valid seal (`llm.answer_cache.Seal`).
    """

    calls: tuple[Prediction, ...]
    prompts: tuple[str, ...]
    num_generated: int
    num_unverified: int = 0


def view(observation: Observation, task: Task) -> Observation:
    """Return what the student may see of an observation for a task."""
    return hide_last_close(observation) if task is Task.SAME_DAY else observation


def read_answer(text: str, observation: Observation, task: Task) -> Prediction:
    """Return the prediction in an answer about what `view` returned.

    One of the task same-day is dated at the close before the day, from which its direction counts: so it is
    scored like a forecast of that day that was made in time, which it is not. It is never traded.

    Args:
        text: The raw answer.
        observation: The observation, as `view` returned it.
        task: The task.
    """
    if task is not Task.SAME_DAY:
        return parse_answer(text, observation)
    before = observation.bars[-2]
    return parse_answer_text(text, observation.symbol, before.closes_at, before.close)


def forecast(
    observed: Sequence[Observation],
    student: Student,
    ledger: AnswerCache,
    on_progress: Progress,
    task: Task = Task.NEXT,
) -> Forecasts:
    """Make one prediction for each observation, in order.

    A prompt that the ledger knows, or that occurs twice, is asked once. A `BatchedStudent` answers all
    prompts in batches, which are kept as they come. Any other student is asked as in a live session: close by
    close in the order of time, those of one instant together and shuffled, so that it cannot look at later
    prompts.

    Args:
        observed: What to forecast.
        student: Who is asked.
        ledger: The answers that are known.
        on_progress: Called with the number of answers made and to be made.
        task: What is forecast of each observation.
    """
    observed = [view(observation, task) for observation in observed]
    ask = _ask_in_batches if isinstance(student, BatchedStudent) else _ask_close_by_close
    prompts, answers, num_generated = ask(observed, student, ledger, on_progress)
    calls = tuple(
        read_answer(answer, observation, task) for answer, observation in zip(answers, observed, strict=True)
    )
    digests = dict.fromkeys(answer_digest(student.fingerprint, prompt) for prompt in prompts)
    return Forecasts(
        calls=calls,
        prompts=tuple(prompts),
        num_generated=num_generated,
        num_unverified=ledger.count_unverified(list(digests)),
    )


_Asked = tuple[Sequence[str], Sequence[str], int]
"""The prompts of some observations, the answers to them, and how many of these were generated."""


def _ask_in_batches(
    observed: Sequence[Observation], student: Student, ledger: AnswerCache, on_progress: Progress
) -> _Asked:
    prompts = [student.prompt(observation) for observation in observed]
    digests = [answer_digest(student.fingerprint, prompt) for prompt in prompts]
    answers = ledger.get_many(list(dict.fromkeys(digests)))
    missing = {d: p for d, p in zip(digests, prompts, strict=True) if d not in answers}
    waiting = list(missing.items())
    batched = cast(BatchedStudent, student)
    for batch in batched.answer_batches(list(missing.values()), on_progress) if waiting else ():
        rows = [_answer_row(*waiting[place], text) for place, text in batch.items()]
        ledger.put_many(student.fingerprint, rows)
        answers.update((row["digest"], row["answer"]) for row in rows)
    return prompts, [answers[digest] for digest in digests], len(waiting)


def _ask_close_by_close(
    observed: Sequence[Observation], student: Student, ledger: AnswerCache, on_progress: Progress
) -> _Asked:
    by_close: dict[datetime, list[int]] = {}
    for place, observation in enumerate(observed):
        by_close.setdefault(observation.as_of, []).append(place)
    prompts, digests = [""] * len(observed), [""] * len(observed)
    answers: dict[str, str] = {}
    unsaved: list[dict[str, str]] = []
    done = num_generated = 0
    with ledger.open_reader() as get_many:
        try:
            for _, places in sorted(by_close.items()):
                # A student of the user's must not know which prompt comes next; nothing else depends on it.
                secrets.SystemRandom().shuffle(places)
                for place in places:
                    prompts[place] = student.prompt(observed[place])
                    digests[place] = answer_digest(student.fingerprint, prompts[place])
                wanted = {digests[place]: prompts[place] for place in places if digests[place] not in answers}
                answers |= get_many(list(wanted))
                missing = {digest: prompt for digest, prompt in wanted.items() if digest not in answers}
                if missing:
                    texts = student.answer(list(missing.values()), _ignore_progress)
                    answers |= zip(missing, texts, strict=True)
                    unsaved += map(_answer_row, missing, missing.values(), texts)
                    num_generated += len(missing)
                done += len(places)
                if len(unsaved) >= _KEEP_EVERY or done == len(observed):
                    ledger.put_many(student.fingerprint, unsaved)
                    unsaved = []
                if num_generated:
                    on_progress(done, len(observed))
        finally:  # what an interrupted student has answered is kept
            ledger.put_many(student.fingerprint, unsaved)
    return prompts, [answers[digest] for digest in digests], num_generated


def _answer_row(digest: str, prompt: str, answer: str) -> dict[str, str]:
    return {"digest": digest, "prompt": prompt, "answer": answer}


def _ignore_progress(_done: int, _total: int, _rate: float = 0.0, /) -> None:
    """Show nothing: the closes are counted, not the prompts of one."""


NO_FORECASTS = Forecasts(calls=(), prompts=(), num_generated=0)
"""What a run without a student has."""
