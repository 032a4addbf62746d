"""The part of GRPO's reward that is for the direction alone. Knows no model and no trainer.

The Brier score hardly tells up from down where the stated probability is near one half, and that is where a
student goes first when its world turns over: there it would stay. One for the right direction, a half for a
tie and nothing for the wrong one keeps the difference. It is highest in expectation for the likelier
direction and the same for every confidence, so the best answer is the best one still. What cannot be read
gets the least that a readable answer could have had, so that form earns nothing here either.
"""

from engine.accuracy import hit
from llm.answers import read
from training.outcomes.experience import Experience


def direction_score(text: str, experience: Experience) -> float:
    """1 for an answer with the direction that came, 0 for another or an invalid one, 0.5 for any at a tie."""
    if experience.outcome.tie:
        return 0.5
    return float(hit(read(text, experience.observation), experience.outcome) is True)
