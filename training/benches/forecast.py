"""How fast a student forecasts: the batched path against one `generate` call a bar, in one process."""

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
    """Seconds on the same prompts of a simulated market, as `speedup` and forecasts a second.

    The single path is timed on every eighth prompt; `equal` says whether it gave the batched answers.
    `prompt_tokens` is the mean.
    """
    market = simulate(MarketSettings(seed=seed, days=2 + prompts // 4))
    start = datetime.min.replace(tzinfo=UTC)
    observed = build_observations(market.bars, market.news, window=student.window, start=start)[:prompts]
    texts = [student.prompt(one) for one in observed]
    student.generate(texts[:1])  # loads the weights, so that neither path pays for it
    clock = time.perf_counter()
    batched = student.answer(texts, lambda done, total: on_progress("batched", done, total))
    batched_seconds = time.perf_counter() - clock
    some = range(0, len(texts), _SINGLE_SHARE)
    clock = time.perf_counter()
    singles = []
    for number, place in enumerate(some):
        singles.append(student.generate([texts[place]])[0])
        on_progress("one by one", number + 1, len(some))
    single_seconds = time.perf_counter() - clock
    return {
        "student": student.name,
        "prompts": len(texts),
        "prompt_tokens": sum(map(student.count_tokens, texts)) / len(texts),
        "forecasts_per_second": len(texts) / batched_seconds,
        "single_forecasts_per_second": len(some) / single_seconds,
        "speedup": (single_seconds / len(some)) / (batched_seconds / len(texts)),
        "equal": singles == [batched[place] for place in some],
    }
