"""The configuration of a GRPO training."""

from dataclasses import asdict, dataclass, field
from typing import Any

from engine.errors import UsageError
from training.lora import LoraShape
from training.monitoring.guards import GuardLimits
from training.rewards import Weights

_STORED_NAMES = {
    "num_generations": "completions",
    "max_tokens_per_batch": "tokens_at_once",
    "share_prompt_prefix": "share",
    "forced_prefixes": "explore",
    "direction_anchor": "hold",
    "eval_every": "look_every",
}
"""Fields that recorded recipes keep under their names of the first version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpoConfig:
    """The settings of a GRPO training, apart from the student and the data.

    Attributes:
        seed: Of the sampled prompts, the sampled answers and a new adapter.
        steps: How many updates are made, each on `prompts_per_step` prompts.
        num_generations: How many answers to each prompt are sampled, at `temperature`.
        learning_rate: The rate at the first step; with `decay` it falls linearly to zero.
        beta: The weight of the KL divergence from the adapter that the training starts from.
        rank: The rank of a new adapter, with its `alpha`, on the blocks between two fractions of the model's
            `depth` (see docs/decisions/0011).
        max_new_tokens: The most tokens of an answer; None: those of the longest canonical answer.
        recency_half_life_days: Days after which an outcome counts half; None: all count alike.
        weights: The weights of the parts of `training.rewards`.
        direction: The weight of the direction's own score.
        forced_prefixes: How many answers to each prompt are begun with a given direction, half of them with
            either (see `training.grpo.rollouts`); 0: none.
        direction_anchor: How strongly those answers keep the student at its own direction (see
            `training.grpo.advantages`).
        limits: The limits of the guards, which evaluate the student after every `eval_every` steps.
        max_tokens_per_batch: The most tokens in one pass; None: a default for the device. It changes speed
            and memory only.
        share_prompt_prefix: Whether answers to one prompt share its forward pass; False: TRL's own sampling.
    """

    seed: int = 1
    steps: int = 60
    prompts_per_step: int = 16
    num_generations: int = 8
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
    forced_prefixes: int = 4
    direction_anchor: float = 1.0
    limits: GuardLimits = field(default_factory=lambda: GuardLimits(grace=40))
    eval_every: int = 20
    max_tokens_per_batch: int | None = None
    share_prompt_prefix: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.forced_prefixes < self.num_generations:
            raise UsageError(
                f"forced_prefixes {self.forced_prefixes} of {self.num_generations} answers: "
                "leave at least one to the student"
            )

    @property
    def lora(self) -> LoraShape:
        """Return the shape of a new adapter."""
        return LoraShape(rank=self.rank, alpha=self.alpha, depth=self.depth)

    def stored(self) -> dict[str, Any]:
        """Return the recipe as the registry keeps it: under the names of the first version."""
        return {_STORED_NAMES.get(name, name): value for name, value in asdict(self).items()}
