"""Which tokens of an answer its reward is credited to. Pure arithmetic; knows no model and no trainer.

An answer decides three things in turn: direction, confidence, close. Plain GRPO gives one advantage, reward
less the group's mean, to every token, so that the luck of the direction drowns what little the confidence
and the close decide. Here a token gets the part of the reward that was still open when it was drawn (the
reward to go, Sutton and Barto 2018, 13.3), less the mean of the answers that had begun alike (the baseline of
a state reached by several samples: VinePPO, Kazemnejad et al. 2024, arXiv:2410.01679). The tokens that
decide the direction get what the answers of that direction came to on average. Both take variance
away. The means hold the answer itself, which shortens the gradient by (n - 1)/n without turning it; an answer
that began like no other teaches nothing about its later choices.
"""

from collections.abc import Sequence

from engine.model import Direction, Forecast, Prediction

_LATER = ('"confidence"', '"close"')


def segment_answer(pieces: Sequence[str]) -> tuple[list[int], str | None]:
    """For each token of an answer which choice it belongs to, and how the answer began.

    0 is the direction, 1 the confidence, 2 the close. The beginning is the text up to the key of the
    confidence; None where there is no such key: then every token belongs to the first choice.
    """
    text, made, begun = "", [], None
    for piece in pieces:
        stage = 0 if _LATER[0] not in text else 2 if _LATER[1] in text else 1
        if stage and begun is None:
            begun = text
        made.append(stage)
        text += piece
    return made, begun


def advantages(
    rewards: Sequence[Sequence[float]], beginnings: Sequence[str | None]
) -> list[tuple[float, float, float]]:
    """The advantage of each choice of each answer to one prompt, in the units of the rewards.

    `rewards` holds three parts for each answer, in the order in which they are decided. An answer without a
    beginning has the whole of its reward credited to all of its tokens.
    """
    to_go = [(sum(parts), sum(parts[1:]), parts[2]) for parts in rewards]
    mean = sum(one[0] for one in to_go) / len(to_go)
    made = []
    for own, beginning in zip(to_go, beginnings, strict=True):
        if beginning is None:
            made.append((own[0] - mean,) * 3)
            continue
        alike = [one for one, other in zip(to_go, beginnings, strict=True) if other == beginning]
        whole, stated, close = (sum(column) / len(alike) for column in zip(*alike, strict=True))
        made.append((whole - mean, own[1] - stated, own[2] - close))
    return made


def direction_anchor(
    calls: Sequence[Prediction], directions: Sequence[Direction], strength: float
) -> list[list[float]]:
    """For each call of the student before, what an answer begun with each of the `directions` gains.

    In standard deviations of a batch's rewards, from 0 to `strength`; nothing for an abstention.
    """
    return [[strength * _anchor_term(call, way) for way in directions] for call in calls]


def _anchor_term(call: Prediction, direction: Direction) -> float:
    if not isinstance(call, Forecast) or call.direction is not direction:
        return 0.0
    return 4 * call.probability_up * (1 - call.probability_up)
