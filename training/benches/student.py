"""Examine a student on this machine: ten prompts in every mode, and whether it can be trained here."""

import gc
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from engine.errors import ClosecallError, DataError
from engine.model import Forecast, Observation
from engine.timeline import MIN_BARS, build_observations
from llm.backends import load_student, load_trainable_student, require_trainable
from llm.forecaster import read_answer, view
from llm.student import DecodingMode, Quantization, Student, StudentSettings
from strategies.market_data import MarketData
from training.lora import has_stable_gradient

Progress = Callable[[str, int, int], None]
_DAYS = 365
_THOUGHTS = 2  # reasoning takes some hundred times as long as an answer
_LONG = 1_000
_SLOW_HOURS = 8.0


def check_student(
    wanted: StudentSettings, observed: Sequence[Observation], *, symbols: int, on_progress: Progress
) -> dict[str, Any]:
    """Ask a student about some closes in every mode, time it, and try a training step.

    Args:
        wanted: The student; its mode does not matter.
        observed: What it is asked about.
        symbols: How many symbols a year is estimated for.
        on_progress: Called with a mode, the answers made and those to be made.

    Returns:
        What `closecall student check --json` prints: `prompt_tokens` with minimum, median and maximum,
        `peak_memory_gb`, for each of the `modes` `forecasts_per_second`, `parse_rate` and `hours_per_year` or
        why it cannot be used, `trainable` with a reason, `notes`, and what to change as `advice`.

    Raises:
        StudentError: For a student that cannot be used at all.
    """
    modes: dict[str, dict[str, Any]] = {}
    tokens: list[int] = []
    name = wanted.student
    notes: tuple[str, ...] = ()
    for mode in DecodingMode:
        asked = observed[:_THOUGHTS] if mode is DecodingMode.THINK else observed
        try:
            student: Student = load_student(replace(wanted, mode=mode))
            name, notes = student.name, student.notes
            tokens = tokens or _count_tokens(student, wanted, observed)
            modes[mode] = _measure_mode(student, wanted, asked, symbols, partial(on_progress, mode))
        except ClosecallError as error:
            if mode is DecodingMode.JSON:
                raise
            modes[mode] = {"unusable": str(error)}
        student = None  # type: ignore[assignment]  # the weights of two modes need not fit at once
        gc.collect()
    trainable, reason = _try_training(replace(wanted, mode=DecodingMode.JSON))
    figures = {
        "student": name,
        "prompts": len(observed),
        "prompt_tokens": _spread(tokens),
        "peak_memory_gb": peak_memory_gb(),
        "symbols": symbols,
        "modes": modes,
        "trainable": trainable,
        "trainable_reason": reason,
        "notes": list(notes),
    }
    return figures | {"advice": _advise(figures, wanted)}


def pick_closes(market: MarketData, window: int, count: int) -> list[Observation]:
    """Return closes of a market, evenly spread, with what a student may see of them.

    Args:
        market: The market.
        window: How many closed bars the student looks at.
        count: How many closes.

    Raises:
        DataError: Where the market has no close to be asked about.
    """
    seen = build_observations(market.bars, market.news, window=window, start=market.start)
    if not seen:
        raise DataError(
            f"fewer than {MIN_BARS} closed bars, and a forecast needs so many; name more with --bars"
        )
    return seen[:: max(1, len(seen) // count)][:count]


def _measure_mode(
    student: Student,
    wanted: StudentSettings,
    observed: Sequence[Observation],
    symbols: int,
    on_progress: Callable[[int, int], None],
) -> dict[str, Any]:
    seen = [view(observation, wanted.task) for observation in observed]
    prompts = [student.prompt(observation) for observation in seen]
    getattr(student, "model", None)  # reads the weights of a student that has them here, untimed

    def report(done: int, total: int, _tokens_per_second: float = 0.0) -> None:
        on_progress(done, total)

    began = time.perf_counter()
    answers = student.answer(prompts, report)
    seconds = time.perf_counter() - began
    calls = [read_answer(text, each, wanted.task) for text, each in zip(answers, seen, strict=True)]
    rate = len(prompts) / seconds
    return {
        "forecasts_per_second": rate,
        "parse_rate": sum(isinstance(call, Forecast) for call in calls) / len(calls),
        "hours_per_year": symbols * _DAYS / rate / 3600,
    }


def _count_tokens(student: Student, wanted: StudentSettings, observed: Sequence[Observation]) -> list[int]:
    count = getattr(student, "count_tokens", None)
    if count is None:
        return []  # a server's tokens are not seen here
    return [count(student.prompt(view(each, wanted.task))) for each in observed]


def _spread(tokens: Sequence[int]) -> dict[str, float] | None:
    if not tokens:
        return None
    return {"min": min(tokens), "median": statistics.median(tokens), "max": max(tokens)}


def peak_memory_gb() -> float:
    """Return the most memory used, in 10^9 bytes: of the GPU where one is used, else of this process."""
    torch = sys.modules.get("torch")  # a student without weights here does not load it
    if torch is not None and torch.cuda.is_available() and (used := torch.cuda.max_memory_allocated()):
        return float(used) / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9


def _try_training(wanted: StudentSettings) -> tuple[bool, str | None]:
    """Return whether an adapter can be trained on the student here, and if not, why."""
    try:
        require_trainable(wanted)
        stable = has_stable_gradient(load_trainable_student(wanted), wanted)
    except ClosecallError as error:
        return False, str(error)
    except (RuntimeError, MemoryError) as error:  # torch's own, such as too little memory
        return False, f"a training step failed: {str(error).splitlines()[0][:200]}"
    if stable:
        return True, None
    return False, f"its {wanted.quantization} weights have no stable gradient on this machine"


def _advise(figures: dict[str, Any], wanted: StudentSettings) -> list[str]:
    """Return what to change, a sentence each; none where all is well."""
    usable = {mode: each for mode, each in figures["modes"].items() if "unusable" not in each}
    hours = {mode: each["hours_per_year"] for mode, each in usable.items()}
    advice = [
        f"{1 - each['parse_rate']:.0%} of the answers cannot be read with --mode {mode}; use another mode"
        for mode, each in usable.items()
        if each["parse_rate"] < 1
    ]
    fastest = min(hours, key=lambda mode: hours[mode])
    if hours[DecodingMode.JSON] > _SLOW_HOURS:
        faster = f"use --mode {fastest}" if fastest != DecodingMode.JSON else "use a smaller model or a GPU"
        advice.append(f"a year of {figures['symbols']} symbols takes {hours['json']:,.0f} hours; {faster}")
    tokens = figures["prompt_tokens"]
    if tokens and tokens["median"] > _LONG:
        advice.append(
            f"prompts have {tokens['median']:,.0f} tokens, which cost most of the time; shorten them"
        )
    if not figures["trainable"] and wanted.quantization is not Quantization.NONE:
        advice.append("train with --quantization none")
    return advice
