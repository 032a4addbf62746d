"""How a round of GRPO is configured."""

from dataclasses import dataclass, field

from engine.errors import UsageError
from training.lora import LoraShape
from training.monitoring.guards import GuardLimits
from training.rewards import Weights


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpoConfig:
    """Everything but the student and the data that decides what a round of GRPO does.

    Each step samples `completions` answers to each of `prompts_per_step` prompts at `temperature` and makes
    one update at a `learning_rate` that falls to zero (`decay` False: stays). `beta` weighs the KL to the
    adapter that the round starts from. A new adapter is of `rank` on the blocks between two shares of the
    model's `depth` (see docs/decisions/0011). `weights` are those of the parts of `training.rewards`,
    `direction` that of `training.rewards`. `explore` of the answers to each prompt are begun
    for the student, half of them with either direction (see `training.grpo.rollouts`), and `hold` is how
    strongly they hold it to its own (see `training.grpo.advantages`); `explore` 0 leaves every answer to it.
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
    limits: GuardLimits = field(default_factory=lambda: GuardLimits(grace=40))
    look_every: int = 20
    tokens_at_once: int | None = None
    share: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.explore < self.completions:
            raise UsageError(
                f"explore {self.explore} of {self.completions} answers: leave at least one to the student"
            )

    @property
    def lora(self) -> LoraShape:
        """The shape of a new adapter."""
        return LoraShape(rank=self.rank, alpha=self.alpha, depth=self.depth)
