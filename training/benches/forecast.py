"""The forecast bench: a student's batched path against one `generate` call a prompt, in one process."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from engine.timeline import build_observations
from feeds.simulated.market import MarketSettings, simulate
from llm.student import TrainableStudent

Progress = Callable[[str, int, int], None]
_SINGLE_SHARE = 8


def measure_speed(
    student: TrainableStudent, *, seed: int, prompts: int, on_progress: Progress
) -> dict[str, Any]:
    """Time both paths on the prompts of a simulated market.

    Args:
        student: The student.
        seed: Of the market.
        prompts: How many prompts are answered; the single path is timed on every eighth.
        on_progress: Called with the path, the prompts done and the prompts in all.

    Returns:
        Forecasts a second, `speedup`, and whether both paths gave `equal` answers; `prompt_tokens` is a mean.
    """
    market = simulate(MarketSettings(seed=seed, days=2 + prompts // 4))
    start = datetime.min.replace(tzinfo=UTC)
    observed = build_observations(market.bars, market.news, window=student.window, start=start)[:prompts]
    texts = [student.prompt(seen) for seen in observed]
    student.generate(texts[:1])  # loads the weights, so that neither path pays for it
    started = time.perf_counter()
    batched = student.answer(texts, lambda done, total, *_: on_progress("batched", done, total))
    batched_seconds = time.perf_counter() - started
    sampled = range(0, len(texts), _SINGLE_SHARE)
    started = time.perf_counter()
    singles = []
    for number, index in enumerate(sampled):
        singles.append(student.generate([texts[index]])[0])
        on_progress("one by one", number + 1, len(sampled))
    single_seconds = time.perf_counter() - started
    return {
        "student": student.name,
        "prompts": len(texts),
        "prompt_tokens": sum(map(student.count_tokens, texts)) / len(texts),
        "forecasts_per_second": len(texts) / batched_seconds,
        "single_forecasts_per_second": len(sampled) / single_seconds,
        "speedup": (single_seconds / len(sampled)) / (batched_seconds / len(texts)),
        "equal": singles == [batched[index] for index in sampled],
    }
