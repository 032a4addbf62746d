"""Which trainer a walk-forward's settings stand for. Knows no run."""

from collections.abc import Callable, Mapping
from pathlib import Path

from llm.student import StudentSettings
from training.dataset.experience import TrainingSet
from training.grpo.config import GrpoRecipe
from training.grpo.train import OnProgress, Trained, train_grpo
from training.monitoring.monitor import OnEvent
from training.sft.train import SftRecipe, train_sft
from training.walkforward.arms import Trainer
from training.walkforward.config import Method, WalkForward


def trainers_for(settings: WalkForward) -> Mapping[Method, Trainer]:
    """A trainer for each method, with the settings' seed, steps, weights and half-life."""
    return {
        Method.GRPO: _trainer(train_grpo, grpo_recipe(settings)),
        Method.SFT: _trainer(train_sft, sft_recipe(settings)),
    }


def _trainer(train: Callable[..., Trained], recipe: GrpoRecipe | SftRecipe) -> Trainer:
    def trainer(
        start: StudentSettings,
        training: TrainingSet,
        held_out: TrainingSet,
        folder: Path,
        on_event: OnEvent,
        on_progress: OnProgress,
    ) -> Trained:
        return train(start, training, held_out, folder, recipe, on_event, on_progress)

    return trainer


def grpo_recipe(settings: WalkForward) -> GrpoRecipe:
    """The recipe of one round of GRPO."""
    steps = GrpoRecipe().steps if settings.steps is None else settings.steps
    return GrpoRecipe(
        seed=settings.seed,
        steps=steps,
        recency_half_life_days=settings.recency_half_life,
        weights=settings.weights,
    )


def sft_recipe(settings: WalkForward) -> SftRecipe:
    """The recipe of one round of supervised training."""
    steps = SftRecipe().steps if settings.steps is None else settings.steps
    return SftRecipe(seed=settings.seed, steps=steps, recency_half_life_days=settings.recency_half_life)


def recipe_of(settings: WalkForward) -> GrpoRecipe | SftRecipe:
    """The recipe of the settings' own method."""
    return sft_recipe(settings) if settings.method is Method.SFT else grpo_recipe(settings)
