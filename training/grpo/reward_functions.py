"""TRL reward functions, one for each choice of an answer, in the order of the choices.

The three add up to the reward of `training.rewards` plus the direction's own score (see
`training.grpo.advantages`).
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

from training.dataset.experience import TrainingSet
from training.rewards import (
    Choice,
    Reward,
    Weights,
    average_rewards,
    compute_reward,
    direction_score,
    get_completion_text,
)

RewardFunction = Callable[..., list[float]]


def create_reward_functions(
    training: TrainingSet, weights: Weights, direction: float
) -> tuple[RewardFunction, ...]:
    """Return TRL's reward functions: `direction_reward`, `confidence_reward` and `close_reward`.

    They need a data set whose column `index` is the index of each row's experience in `training.items`. The
    first returns the score of the direction, the second the parts of `training.rewards` that the confidence
    decides, the last those of the close and, for an invalid answer, the rest of its penalty. Means of all
    parts go to TRL's `log_metric` under "outcome/".

    Args:
        training: The experiences.
        weights: The weights of the parts.
        direction: The weight of the direction's own score.
    """

    @lru_cache(maxsize=8_192)
    def cached_reward(text: str, index: int) -> Reward:
        return compute_reward(text, training.items[index], weights)

    def confidence_total(reward: Reward) -> float:
        return weights.total(reward.parts, Choice.CONFIDENCE)

    # TRL passes its own arguments and the columns of the data set by name.
    def direction_reward(
        prompts: Sequence[object],  # noqa: ARG001  # TRL passes them
        completions: Sequence[object],
        *,
        index: Sequence[int],
        **_: object,
    ) -> list[float]:
        return [
            direction * direction_score(get_completion_text(completion), training.items[i])
            for completion, i in zip(completions, index, strict=True)
        ]

    def confidence_reward(
        prompts: Sequence[object],  # noqa: ARG001  # TRL passes them
        completions: Sequence[object],
        *,
        index: Sequence[int],
        log_metric: Callable[[str, float], None] | None = None,
        **_: object,
    ) -> list[float]:
        rewards = _compute_rewards(cached_reward, completions, index)
        for name, value in average_rewards(rewards).items():
            if log_metric is not None and value is not None:
                log_metric(f"outcome/{name}", value)
        return [confidence_total(reward) for reward in rewards]

    def close_reward(
        prompts: Sequence[object],  # noqa: ARG001  # TRL passes them
        completions: Sequence[object],
        *,
        index: Sequence[int],
        **_: object,
    ) -> list[float]:
        rewards = _compute_rewards(cached_reward, completions, index)
        return [reward.total - confidence_total(reward) for reward in rewards]

    return direction_reward, confidence_reward, close_reward


def _compute_rewards(
    reward: Callable[[str, int], Reward], completions: Sequence[object], index: Sequence[int]
) -> list[Reward]:
    return [reward(get_completion_text(text), i) for text, i in zip(completions, index, strict=True)]
