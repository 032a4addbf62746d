"""How strongly a round of GRPO holds the student to its own directions, prompt by prompt. Knows no model.

A wrong direction that is certain has no gradient left (see `training.grpo.rollouts`), so TRL's estimate of
the KL to the student before cannot bring it back where the outcomes never spoke against it. Answers that are
begun for the student can: each one begun with the direction that the student took before gains a little. That
is the gradient of the cross-entropy to its former choice, which does not vanish.

It is weighed by 4 p (1 - p), the variance of the outcome that the student stated: where it was unsure,
outcomes take long to tell it right from wrong, and its choice stands meanwhile; where it was sure, they tell
soon.
"""

from collections.abc import Sequence

from engine.values import Call, Direction, Forecast


def holds(calls: Sequence[Call], directions: Sequence[Direction], strength: float) -> list[list[float]]:
    """For each call of the student before, what an answer begun with each of the `directions` gains.

    In standard deviations of a batch's rewards, from 0 to `strength`; nothing for an abstention.
    """
    return [[strength * _held(call, way) for way in directions] for call in calls]


def _held(call: Call, way: Direction) -> float:
    if not isinstance(call, Forecast) or call.direction is not way:
        return 0.0
    return 4 * call.probability_up * (1 - call.probability_up)
