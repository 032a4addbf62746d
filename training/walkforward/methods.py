"""Which trainer a walk-forward's settings stand for. Knows no run."""

from collections.abc import Callable, Mapping
from pathlib import Path

from llm.student import StudentSettings
from training.dataset.experience import TrainingSet
from training.grpo.config import GrpoConfig
from training.grpo.train import OnProgress, TrainedAdapter, train_grpo
from training.monitoring.monitor import OnEvent
from training.sft.train import SftConfig, train_sft
from training.walkforward.arms import Trainer
from training.walkforward.config import Method, WalkForwardConfig


def create_trainers(settings: WalkForwardConfig) -> Mapping[Method, Trainer]:
    """A trainer for each method, with the settings' seed, steps, weights and half-life."""
    return {
        Method.GRPO: _create_trainer(train_grpo, build_grpo_config(settings)),
        Method.SFT: _create_trainer(train_sft, build_sft_config(settings)),
    }


def _create_trainer(train: Callable[..., TrainedAdapter], recipe: GrpoConfig | SftConfig) -> Trainer:
    def trainer(
        start: StudentSettings,
        training: TrainingSet,
        held_out: TrainingSet,
        folder: Path,
        on_event: OnEvent,
        on_progress: OnProgress,
    ) -> TrainedAdapter:
        return train(start, training, held_out, folder, recipe, on_event, on_progress)

    return trainer


def build_grpo_config(settings: WalkForwardConfig) -> GrpoConfig:
    """The recipe of one round of GRPO."""
    steps = GrpoConfig().steps if settings.steps is None else settings.steps
    return GrpoConfig(
        seed=settings.seed,
        steps=steps,
        recency_half_life_days=settings.recency_half_life,
        weights=settings.weights,
    )


def build_sft_config(settings: WalkForwardConfig) -> SftConfig:
    """The recipe of one round of supervised training."""
    steps = SftConfig().steps if settings.steps is None else settings.steps
    return SftConfig(seed=settings.seed, steps=steps, recency_half_life_days=settings.recency_half_life)


def select_config(settings: WalkForwardConfig) -> GrpoConfig | SftConfig:
    """The recipe of the settings' own method."""
    return build_sft_config(settings) if settings.method is Method.SFT else build_grpo_config(settings)
