"""One round of GRPO: a student, its outcomes and a recipe become an adapter.

Group relative policy optimisation (Shao et al. 2024, arXiv:2402.03300) through TRL, LoRA through peft.
Knows no fold, no gate and no registry; it writes one adapter folder and says whether it can be trusted.
"""

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import UsageError
from llm.model_files import fingerprint
from llm.transformers_student import StudentSettings, load_student
from training.grpo.setup import reporter, trainer_for
from training.lora.adapters import Lora, adaptable, write_adapter
from training.lora.quantized import trainable_student
from training.outcomes.experience import TrainingSet
from training.rewards import Weights
from training.soundness.guards import Limits
from training.soundness.watch import OnEvent, Settled, Watch

OnProgress = Callable[[str, int, int], None]
"""Called with what is being done, steps done and steps in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpoRecipe:
    """Everything but the student and the data that decides what a round of GRPO does.

    Each step samples `completions` answers to each of `prompts_per_step` prompts at `temperature` and makes
    one update at a `learning_rate` that falls to zero (`decay` False: stays). `beta` weighs the KL to the
    adapter that the round starts from. A new adapter is of `rank` on the blocks between two shares of the
    model's `depth` (see docs/decisions/0011). `weights` are those of the parts of `training.rewards`,
    `direction` that of `training.grpo.direction_reward`. `explore` of the answers to each prompt are begun
    for the student, half of them with either direction (see `training.grpo.rollouts`), and `hold` is how
    strongly they hold it to its own (see `training.grpo.holding`); `explore` 0 leaves every answer to it.
    `max_new_tokens` None: as many as the longest canonical answer has. `tokens_at_once` None: what suits the
    device; it changes speed and memory only. `share` False: everything as TRL does it. The guards look after
    every `look_every` steps.
    """

    seed: int = 1
    steps: int = 60
    prompts_per_step: int = 16
    completions: int = 8
    learning_rate: float = 6e-3
    decay: bool = True
    beta: float = 0.05
    rank: int = 16
    alpha: int = 32
    depth: tuple[float, float] = (0.25, 0.5)
    max_new_tokens: int | None = None
    temperature: float = 0.7
    recency_half_life_days: float | None = None
    weights: Weights = field(default_factory=Weights)
    direction: float = 1.0
    explore: int = 4
    hold: float = 1.0
    limits: Limits = field(default_factory=lambda: Limits(grace=40))
    look_every: int = 20
    tokens_at_once: int | None = None
    share: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.explore < self.completions:
            raise UsageError(
                f"explore {self.explore} of {self.completions} answers: leave at least one to the student"
            )

    @property
    def lora(self) -> Lora:
        """The shape of a new adapter."""
        return Lora(rank=self.rank, alpha=self.alpha, depth=self.depth)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """An adapter that was written. `clean`: its weights passed all guards.

    `reason` says which guard stopped the training or had its weights rolled back, None where none did.
    """

    folder: Path
    fingerprint: str
    clean: bool
    reason: str | None
    figures: Mapping[str, Any]


def train_grpo(
    start: StudentSettings,
    training: TrainingSet,
    held_out: TrainingSet,
    folder: Path,
    recipe: GrpoRecipe,
    on_event: OnEvent,
    on_progress: OnProgress,
) -> Trained:
    """Train from the student's adapter, or a new one on its base, and write the adapter as a whole.

    `on_event` gets "training_step" (the step, `of` how many, and `training.grpo.setup.step_figures`),
    "training_look" (the vitals on `held_out`), "training_guard" and "training_done". Equal arguments give
    equal weights on one machine.
    """
    import torch

    clock = time.perf_counter()
    start, student = trainable_student(start, load_student, on_event)
    with tempfile.TemporaryDirectory() as scratch:
        torch.manual_seed(recipe.seed)
        model = adaptable(student, start, recipe.lora)
        trainer = trainer_for(student, model, training, recipe, Path(scratch))
        weights = {name: one for name, one in trainer.model.named_parameters() if one.requires_grad}
        watch = Watch(
            student=student,
            held_out=held_out,
            weights=weights,
            limits=recipe.limits,
            every=recipe.look_every,
            on_event=on_event,
        )

        def on_step(number: int, figures: Mapping[str, Any], last: bool) -> bool:  # noqa: FBT001  # called back
            on_event("training_step", {"step": number, "of": recipe.steps, **figures})
            on_progress("training", number, recipe.steps)
            return watch.step(number, figures, last=last)

        watch.begin()
        trainer.add_callback(reporter(trainer, training, on_step))
        trainer.train()
        settled = watch.settle()
        settings = {"prompt": student.template.name, "released": _last_day(training, held_out)}
        write_adapter(trainer.model, folder, start.student, settings)
    figures = _figures(settled, watch, time.perf_counter() - clock)
    on_event("training_done", {**figures, "clean": settled.clean, "reason": settled.reason})
    return Trained(
        folder=folder,
        fingerprint=fingerprint([folder]),
        clean=settled.clean,
        reason=settled.reason,
        figures=figures,
    )


def _last_day(training: TrainingSet, held_out: TrainingSet) -> str:
    return max(training.cutoff, held_out.cutoff).date().isoformat()


def _figures(settled: Settled, watch: Watch, seconds: float) -> dict[str, Any]:
    return {
        "steps": watch.history[-1].step,
        "held_out": settled.vitals.as_json(),
        "held_out_start": watch.history[0].as_json(),
        "held_out_accuracy": settled.accuracy,
        "seconds": seconds,
    }
