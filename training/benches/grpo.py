"""The GRPO bench: the time of a step with shared prompts and with stock TRL, and what each learns.

Both trainers get the same student, prompts, sizes and seeds, and take their steps in turn in one process, so
that other load on the machine affects both.
"""

import math
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Semaphore
from typing import Any

from llm.backends import load_trainable_student
from llm.loading import quiet_deprecations
from llm.student import StudentSettings
from training.dataset.experience import TrainingSet
from training.grpo.config import GrpoConfig
from training.grpo.train import create_reporter, create_trainer
from training.lora import add_adapter
from training.monitoring.evaluation import compute_answer_accuracy, compute_metrics, parse_answers

Progress = Callable[[str, int, int], None]
Steps = list[Mapping[str, Any]]
_WARM_UP = 1
_STOCK, _SHARED = "stock", "shared"


@quiet_deprecations()
def measure_step_time(
    start: StudentSettings,
    training: TrainingSet,
    held_out: TrainingSet,
    recipe: GrpoConfig,
    on_progress: Progress,
) -> dict[str, Any]:
    """Measure stock TRL ("stock") and shared prompts ("shared") side by side.

    Args:
        start: The student and its adapter.
        training: The experiences to learn from.
        held_out: The experiences to evaluate at the end.
        recipe: The settings of both trainings.
        on_progress: Called after each step of either.

    Returns:
        Figures by trainer, as JSON types. `seconds` are medians by part of a step; "update" is the forward
        and backward pass and the optimizer: all that is no other part. `reward` and `accuracy` of sampled
        answers are means over the last quarter of the steps, each with its standard error; `held_out` is of
        greedy answers at the end. `ratio` is the median over pairs of steps of shared over stock, without
        the first pair.
    """
    recipes = {
        _STOCK: replace(recipe, share_prompt_prefix=False),
        _SHARED: replace(recipe, share_prompt_prefix=True),
    }
    turns = {_STOCK: Semaphore(1), _SHARED: Semaphore(0)}
    with ThreadPoolExecutor(max_workers=2) as pool, tempfile.TemporaryDirectory() as scratch:
        arms = {
            name: _BenchTrainer(
                start, training, variant, Path(scratch) / name, turns[name], turns[_other_name(name)]
            )
            for name, variant in recipes.items()
        }
        futures = [pool.submit(arm.train, on_progress, name) for name, arm in arms.items()]
        for future in futures:
            future.result()
    pairs = zip(arms[_SHARED].totals(), arms[_STOCK].totals(), strict=True)
    return {
        **{name: arm.figures(held_out) for name, arm in arms.items()},
        "ratio": statistics.median(ours / theirs for ours, theirs in pairs),
        "steps": recipe.steps,
        "completions": recipe.prompts_per_step * recipe.num_generations,
        "prompt_tokens": _mean_tokens(start, training),
    }


class _BenchTrainer:
    """A trainer that waits for its turn before each step."""

    def __init__(
        self,
        start: StudentSettings,
        training: TrainingSet,
        recipe: GrpoConfig,
        scratch: Path,
        mine: Semaphore,
        theirs: Semaphore,
    ) -> None:
        import torch

        self._training, self._mine, self._theirs, self._steps = training, mine, theirs, recipe.steps
        self._student = load_trainable_student(start)
        torch.manual_seed(recipe.seed)
        model = add_adapter(self._student, start, recipe.lora)
        self._trainer = create_trainer(self._student, model, training, recipe, scratch)
        self._step_figures: Steps = []

    def train(self, on_progress: Progress, name: str) -> None:
        """Take all steps; the other trainer is released even if this one fails."""

        def on_step(number: int, figures: Mapping[str, Any], _last: bool) -> bool:  # noqa: FBT001  # called back
            self._step_figures.append(figures)
            on_progress(name, number, self._steps)
            self._theirs.release()
            return True

        self._trainer.add_callback(_turn_callback(self._mine))
        self._trainer.add_callback(create_reporter(self._trainer, self._training, on_step))
        try:
            self._trainer.train()
        finally:
            self._theirs.release(self._steps)

    def totals(self) -> list[float]:
        """Return the seconds of every step after the warm-up."""
        return [figures["seconds"]["total"] for figures in self._step_figures[_WARM_UP:]]

    def figures(self, held_out: TrainingSet) -> dict[str, Any]:
        """Return the seconds by part, and what was learned."""
        late = self._step_figures[-max(2, self._steps // 4) :]
        prompts = [self._student.prompt(item.observation) for item in held_out.items]
        answers = parse_answers(self._student.answer(prompts, lambda *_: None), held_out.items)
        metrics = compute_metrics(answers, answers, held_out.items, step=self._steps)
        return {
            "seconds": _median_by_part([figures["seconds"] for figures in self._step_figures[_WARM_UP:]]),
            "reward": _mean_and_error([figures["reward"] for figures in late]),
            "accuracy": _mean_and_error([figures["accuracy"] for figures in late]),
            "held_out": {
                "accuracy": compute_answer_accuracy(answers, held_out.items),
                "brier": metrics.brier,
            },
        }


def _turn_callback(turn: Semaphore) -> Any:
    from accelerate.state import GradientState  # type: ignore[import-untyped]  # publishes no types
    from transformers import TrainerCallback

    class Waiter(TrainerCallback):
        # The signatures are transformers'.
        # The arguments are those of a callback of transformers.
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
            turn.acquire()

        # The arguments are those of a callback of transformers.
        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
            # The flag that skips an optimizer's step is shared by the process, and the other trainer, which
            # waits in the middle of its own step, has left it set.
            GradientState()._set_sync_gradients(sync_gradients=True)

    return Waiter()


def _other_name(name: str) -> str:
    return _SHARED if name == _STOCK else _STOCK


def _median_by_part(steps: Sequence[Mapping[str, float]]) -> dict[str, float]:
    parts = {
        name: statistics.median(step.get(name, 0.0) for step in steps)
        for name in ("total", "generation", "reward", "reference")
    }
    others = [
        step["total"] - sum(step.get(name, 0.0) for name in ("generation", "reward", "reference"))
        for step in steps
    ]
    return {**parts, "update": statistics.median(others)}


def _mean_and_error(values: Sequence[float | None]) -> tuple[float, float]:
    known = [value for value in values if value is not None]
    error = statistics.stdev(known) / math.sqrt(len(known)) if len(known) > 1 else math.inf
    return statistics.fmean(known), error


def _mean_tokens(start: StudentSettings, training: TrainingSet) -> float:
    student = load_trainable_student(start)
    return statistics.fmean(student.count_tokens(student.prompt(item.observation)) for item in training.items)
