"""Answer all prompts of a run, from the answer cache or in large batches."""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.model import Observation, Prediction
from llm.answer_cache import AnswerCache, answer_digest
from llm.answers import parse_answer
from llm.student import Progress, Student

_KEEP_EVERY = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecasts:
    """The calls of a run in the order of its observations, with their prompts, and how many were asked."""

    calls: tuple[Prediction, ...]
    prompts: tuple[str, ...]
    num_generated: int


def forecast(
    observed: Sequence[Observation], student: Student, ledger: AnswerCache, on_progress: Progress
) -> Forecasts:
    """Make one prediction for each observation, in order.

    A prompt that the ledger knows, or that occurs twice, is asked once. Answers are kept as they come, so
    that an interrupted run loses at most the last thousand.
    """
    prompts = tuple(student.prompt(observation) for observation in observed)
    digests = [answer_digest(student.fingerprint, prompt) for prompt in prompts]
    answers = ledger.get_many(list(dict.fromkeys(digests)))
    missing = {d: p for d, p in zip(digests, prompts, strict=True) if d not in answers}
    waiting = list(missing.items())
    for first in range(0, len(waiting), _KEEP_EVERY):
        some = waiting[first : first + _KEEP_EVERY]

        def report(done: int, _: int, before: int = first) -> None:
            on_progress(before + done, len(waiting))

        texts = student.answer([prompt for _, prompt in some], report)
        rows = [{"digest": d, "prompt": p, "answer": a} for (d, p), a in zip(some, texts, strict=True)]
        ledger.put_many(student.fingerprint, rows)
        answers.update((row["digest"], row["answer"]) for row in rows)
    calls = tuple(
        parse_answer(answers[digest], observation)
        for digest, observation in zip(digests, observed, strict=True)
    )
    return Forecasts(calls=calls, prompts=prompts, num_generated=len(waiting))


NO_FORECASTS = Forecasts(calls=(), prompts=(), num_generated=0)
"""What a run without a student has."""
