"""Assign the reward of an answer to its tokens: one advantage for each choice that the answer makes.

An answer makes three choices in turn: direction, confidence, close. Plain GRPO gives one advantage, reward
minus the group's mean, to every token, so that the noise of the direction hides the small effect of the
confidence and the close. Here a token gets the reward to go (Sutton and Barto 2018, 13.3): the part of the
reward that was still undecided when it was drawn, minus the mean over the answers with the same beginning
(the baseline of a state reached by several samples: VinePPO, Kazemnejad et al. 2024, arXiv:2410.01679). The
tokens of the direction get the mean reward of the answers of that direction. Both reduce variance. The means
include the answer itself, which scales the gradient by (n - 1)/n; an answer whose beginning no other shares
has an advantage of zero for its later choices.
"""

from collections.abc import Sequence

from engine.model import Direction, Forecast, Prediction

_LATER = ('"confidence"', '"close"')


def segment_answer(pieces: Sequence[str]) -> tuple[list[int], str | None]:
    """Return the choice of each token of an answer, and the beginning of the answer.

    Choice 0 is the direction, 1 the confidence, 2 the close. The beginning is the text up to the key of the
    confidence; None where there is no such key, and then every token belongs to the first choice.
    """
    text, choices, beginning = "", [], None
    for piece in pieces:
        choice = 0 if _LATER[0] not in text else 2 if _LATER[1] in text else 1
        if choice and beginning is None:
            beginning = text
        choices.append(choice)
        text += piece
    return choices, beginning


def compute_advantages(
    rewards: Sequence[Sequence[float]], beginnings: Sequence[str | None]
) -> list[tuple[float, float, float]]:
    """Compute the advantage of each choice of each answer to one prompt, in the units of the rewards.

    `rewards` is (answers, 3), in the order of the choices. An answer without a beginning has the same
    advantage, that of its whole reward, for all of its tokens.
    """
    to_go = [(sum(parts), sum(parts[1:]), parts[2]) for parts in rewards]
    mean = sum(total for total, _, _ in to_go) / len(to_go)
    result = []
    for own, beginning in zip(to_go, beginnings, strict=True):
        if beginning is None:
            result.append((own[0] - mean,) * 3)
            continue
        alike = [other for other, begun in zip(to_go, beginnings, strict=True) if begun == beginning]
        whole, confidence, close = (sum(column) / len(alike) for column in zip(*alike, strict=True))
        result.append((whole - mean, own[1] - confidence, own[2] - close))
    return result


def compute_direction_anchors(
    calls: Sequence[Prediction], directions: Sequence[Direction], strength: float
) -> list[list[float]]:
    """Compute what answers with a forced direction gain for agreeing with the student's own forecast.

    Args:
        calls: The student's own answers before the training.
        directions: The forced directions.
        strength: The largest gain, in standard deviations of a batch's rewards.

    Returns:
        (calls, directions): from 0 to `strength`; 0 for an abstention.
    """
    return [[strength * _anchor_term(call, direction) for direction in directions] for call in calls]


def _anchor_term(call: Prediction, direction: Direction) -> float:
    if not isinstance(call, Forecast) or call.direction is not direction:
        return 0.0
    return 4 * call.probability_up * (1 - call.probability_up)
