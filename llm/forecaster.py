"""Answer all prompts of a run, from the answer cache or in large batches."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

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

    A prompt that the ledger knows, or that occurs twice, is asked once. Answers are kept as they come: an
    interrupted run loses at most one batch of a `BatchedStudent`, and the last thousand of another.

    Args:
        observed: What to forecast.
        student: Who is asked.
        ledger: The answers that are known.
        on_progress: Called with the number of answers made and to be made.
        task: What is forecast of each observation.
    """
    observed = [view(observation, task) for observation in observed]
    prompts = tuple(student.prompt(observation) for observation in observed)
    digests = [answer_digest(student.fingerprint, prompt) for prompt in prompts]
    answers = ledger.get_many(list(dict.fromkeys(digests)))
    num_unverified = ledger.count_unverified(list(answers))
    missing = {d: p for d, p in zip(digests, prompts, strict=True) if d not in answers}
    waiting = list(missing.items())
    for batch in _answer_batches(student, list(missing.values()), on_progress):
        rows = [
            {"digest": waiting[place][0], "prompt": waiting[place][1], "answer": text}
            for place, text in batch.items()
        ]
        ledger.put_many(student.fingerprint, rows)
        answers.update((row["digest"], row["answer"]) for row in rows)
    calls = tuple(
        read_answer(answers[digest], observation, task)
        for digest, observation in zip(digests, observed, strict=True)
    )
    return Forecasts(calls=calls, prompts=prompts, num_generated=len(waiting), num_unverified=num_unverified)


def _answer_batches(
    student: Student, prompts: Sequence[str], on_progress: Progress
) -> Iterator[Mapping[int, str]]:
    """Yield the answers by the place of their prompt, a part at a time."""
    if isinstance(student, BatchedStudent):
        yield from student.answer_batches(prompts, on_progress)
        return
    for first in range(0, len(prompts), _KEEP_EVERY):

        def report(done: int, _: int, _rate: float = 0.0, before: int = first) -> None:
            on_progress(before + done, len(prompts))

        some = prompts[first : first + _KEEP_EVERY]
        texts = student.answer(some, report)
        yield dict(zip(range(first, first + len(some)), texts, strict=True))


NO_FORECASTS = Forecasts(calls=(), prompts=(), num_generated=0)
"""What a run without a student has."""
