"""The reward of GRPO in the form that TRL takes: one function for each choice of an answer.

The three add up to the reward of `training.rewards` and the direction's own, and stand in the order in which
an answer decides them (see `training.grpo.advantages`).
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

from training.dataset.experience import TrainingSet
from training.rewards import (
    Choice,
    Reward,
    Weights,
    completion_text,
    compute_reward,
    direction_score,
    mean_rewards,
)

RewardFunction = Callable[..., list[float]]


def trl_rewards(training: TrainingSet, weights: Weights, direction: float) -> tuple[RewardFunction, ...]:
    """Return TRL's reward functions: `direction_reward`, `confidence_reward` and `close_reward`.

    They need a data set whose column `place` is the index of each row's experience in `training.items`. The
    first has the direction's part at the weight `direction`, the second the parts of `training.rewards` that
    the confidence settles, the last those of the close and, where an answer is invalid, the rest of what
    that costs. Means of all parts go to TRL's `log_metric` under "outcome/", which its logs carry on.

    Args:
        training: The experiences.
        weights: The weights of the parts.
        direction: The weight of the direction's own score.
    """

    @lru_cache(maxsize=8_192)
    def worth(text: str, place: int) -> Reward:
        return compute_reward(text, training.items[place], weights)

    def settled_by_confidence(reward: Reward) -> float:
        return weights.total(reward.parts, Choice.CONFIDENCE)

    # The names of the arguments are TRL's, which hands everything over by name.
    def direction_reward(
        prompts: Sequence[object],  # noqa: ARG001  # TRL passes them
        completions: Sequence[object],
        *,
        place: Sequence[int],
        **_: object,
    ) -> list[float]:
        return [
            direction * direction_score(completion_text(completion), training.items[where])
            for completion, where in zip(completions, place, strict=True)
        ]

    def confidence_reward(
        prompts: Sequence[object],  # noqa: ARG001  # TRL passes them
        completions: Sequence[object],
        *,
        place: Sequence[int],
        log_metric: Callable[[str, float], None] | None = None,
        **_: object,
    ) -> list[float]:
        rewards = _compute_rewards(worth, completions, place)
        for name, value in mean_rewards(rewards).items():
            if log_metric is not None and value is not None:
                log_metric(f"outcome/{name}", value)
        return [settled_by_confidence(reward) for reward in rewards]

    def close_reward(
        prompts: Sequence[object],  # noqa: ARG001  # TRL passes them
        completions: Sequence[object],
        *,
        place: Sequence[int],
        **_: object,
    ) -> list[float]:
        rewards = _compute_rewards(worth, completions, place)
        return [reward.total - settled_by_confidence(reward) for reward in rewards]

    return direction_reward, confidence_reward, close_reward


def _compute_rewards(
    worth: Callable[[str, int], Reward], completions: Sequence[object], place: Sequence[int]
) -> list[Reward]:
    return [worth(completion_text(text), where) for text, where in zip(completions, place, strict=True)]
