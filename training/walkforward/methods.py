"""Create the trainers that a walk-forward's settings select."""

from collections.abc import Mapping
from functools import partial

from training.grpo.config import GrpoConfig
from training.grpo.train import train_grpo
from training.sft.train import SftConfig, train_sft
from training.trained_adapter import Trainer
from training.walkforward.config import Method, WalkForwardConfig


def create_trainers(settings: WalkForwardConfig) -> Mapping[Method, Trainer]:
    """Create a trainer for each method, with the settings' seed, steps, weights and half-life."""
    return {
        Method.GRPO: partial(train_grpo, recipe=build_grpo_config(settings)),
        Method.SFT: partial(train_sft, recipe=build_sft_config(settings)),
    }


def build_grpo_config(settings: WalkForwardConfig) -> GrpoConfig:
    """Return the configuration of a GRPO training."""
    steps = GrpoConfig().steps if settings.steps is None else settings.steps
    return GrpoConfig(
        seed=settings.seed,
        steps=steps,
        recency_half_life_days=settings.recency_half_life,
        weights=settings.weights,
    )


def build_sft_config(settings: WalkForwardConfig) -> SftConfig:
    """Return the configuration of a supervised training."""
    steps = SftConfig().steps if settings.steps is None else settings.steps
    return SftConfig(seed=settings.seed, steps=steps, recency_half_life_days=settings.recency_half_life)


def select_config(settings: WalkForwardConfig) -> GrpoConfig | SftConfig:
    """Return the configuration of the settings' own method."""
    return build_sft_config(settings) if settings.method is Method.SFT else build_grpo_config(settings)
