"""The forecast bench: each mode against one `model.generate` call a prompt, in one process."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from engine.model import Observation
from engine.timeline import build_observations
from feeds.simulated.market import MarketSettings, simulate
from llm.memory import measure, weights_bytes
from llm.student import DecodingMode, StudentSettings
from llm.transformers_student import TransformersStudent, load_student
from training.benches.student import peak_memory_gb

Progress = Callable[[str, int, int], None]
_NAIVE_SHARE = 8
_NAIVE_SECONDS = 120.0
_HISTORY_DAYS = 95
_MATRIX = (512, 1024, 3072)
_MEASURED_SECONDS = 1.0
_READ_BYTES = 2**28


def measure_speed(
    wanted: StudentSettings, *, seed: int, prompts: int, on_progress: Progress
) -> dict[str, Any]:
    """Time the modes on consecutive days of a simulated market.

    Args:
        wanted: The student; its mode does not matter.
        seed: Of the market.
        prompts: How many prompts each mode answers.
        on_progress: Called with what is timed, the prompts done and the prompts in all.

    Returns:
        For each of the `modes` (`append` reads off the append-only prompt; None for a student with a prompt
        of its own) forecasts a second, mean tokens of a prompt, computed tokens a second, and `speedup`:
        seconds a forecast with `model.generate`, on `full-v1` or the student's own prompt, over the mode's.
        `prefill_utilisation` is the part of the measured rate of matrix products that prompts reach,
        `decode_utilisation` the part of the measured memory bandwidth that reading the weights takes.
    """
    first = load_student(wanted)
    compact = first.template.name == "compact"
    naive = first if compact else load_student(replace(wanted, prompt="full-v1"))
    naive.__dict__["model"] = first.model  # one copy of the weights serves all
    seconds = _time_naive(naive, _observe(naive, seed, prompts), on_progress)
    modes: dict[str, dict[str, Any] | None] = {}
    for name, mode, prompt in (
        ("json", DecodingMode.JSON, wanted.prompt),
        ("readout", DecodingMode.READOUT, wanted.prompt),
        ("append", DecodingMode.READOUT, "append"),
    ):
        if compact and prompt == "append":
            modes[name] = None
            continue
        student = load_student(replace(wanted, mode=mode, prompt=prompt))
        student.__dict__["model"] = first.model
        observed = _observe(student, seed, prompts)
        modes[name] = _time_mode(student, observed, seconds, partial(on_progress, name))
    json_mode = modes["json"] or {}
    return {
        "student": first.name,
        "prompts": prompts,
        "prompt_tokens": json_mode["prompt_tokens"],
        "naive_seconds": seconds,
        "modes": modes,
        "peak_memory_gb": peak_memory_gb(),
        "weights_gb": weights_bytes(first.model) / 1e9,
        "prefill_utilisation": json_mode["prefill_flops"] / _matrix_rate(first.model),
        "decode_utilisation": json_mode["weights_read"] / _read_rate(first.model),
    }


def _observe(student: TransformersStudent, seed: int, prompts: int) -> list[Observation]:
    """Return consecutive days, one symbol after the other."""
    days = _HISTORY_DAYS + -(-prompts // 2)
    market = simulate(MarketSettings(seed=seed, days=days, coins=2, stocks=0))
    start = datetime.min.replace(tzinfo=UTC)
    observed = build_observations(market.bars, market.news, window=student.window, start=start)
    by_symbol = sorted(observed, key=lambda seen: (seen.symbol, seen.as_of))
    full = min(student.window, _HISTORY_DAYS - 5)
    return [seen for seen in by_symbol if len(seen.bars) >= min(full, 30)][:prompts]


def _time_naive(student: TransformersStudent, observed: list[Observation], on_progress: Progress) -> float:
    """Return the seconds of a forecast by one call each, on a sample."""
    student.generate(["warm up"])
    sampled = [student.prompt(seen) for seen in observed[::_NAIVE_SHARE]]
    started = time.perf_counter()
    for number, text in enumerate(sampled):
        student.generate([text])
        on_progress("one by one", number + 1, len(sampled))
        if time.perf_counter() - started > _NAIVE_SECONDS:
            sampled = sampled[: number + 1]
            break
    return (time.perf_counter() - started) / len(sampled)


def _time_mode(
    student: TransformersStudent,
    observed: list[Observation],
    naive_seconds: float,
    on_progress: Callable[[int, int], None],
) -> dict[str, Any]:
    texts = [student.prompt(seen) for seen in observed]
    student.answer([texts[0]], lambda *_: None)  # loads what is loaded once
    meter = student.reset_meter()
    started = time.perf_counter()
    student.answer(texts, lambda done, total, *_: on_progress(done, total))
    seconds = time.perf_counter() - started
    size = measure(student.model)
    return {
        "speedup": naive_seconds / (seconds / len(texts)),
        "forecasts_per_s": len(texts) / seconds,
        "prompt_tokens": sum(map(student.count_tokens, texts)) / len(texts),
        "computed_tokens": meter.tokens / len(texts),
        "tokens_per_s": meter.tokens / seconds,
        "prefill_flops": 2 * size.linear * meter.prompt_tokens / meter.prompt_seconds,
        "weights_read": meter.rounds * weights_bytes(student.model) / max(meter.answer_seconds, 1e-9),
    }


def _matrix_rate(model: Any) -> float:
    """Return the operations a second of a product of two large matrices."""
    import torch

    rows, inner, columns = _MATRIX
    dtype = next(weight.dtype for weight in model.parameters() if weight.is_floating_point())
    left = torch.ones(rows, inner, dtype=dtype, device=model.device)
    right = torch.ones(columns, inner, dtype=dtype, device=model.device)
    return _repeat(lambda: torch.nn.functional.linear(left, right)) * 2 * rows * inner * columns


def _read_rate(model: Any) -> float:
    """Return the bytes a second at which a large vector is read."""
    import torch

    vector = torch.ones(_READ_BYTES // 4, device=model.device)
    return _repeat(vector.sum) * _READ_BYTES


def _repeat(call: Callable[[], Any]) -> float:
    """Return how often a second something is done."""
    call()
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < _MEASURED_SECONDS:
        float(call().flatten()[0])  # waits for a GPU
        count += 1
    return count / (time.perf_counter() - started)
