"""A part of the reward of your own, and a round of GRPO that counts it."""

import closecall as cc
from training.rewards import Choice

MODEST = cc.RewardPart(
    weight=0.0,
    low=-0.5,
    high=0.0,
    choice=Choice.CONFIDENCE,
    score=lambda forecast, experience, step: 0.5 - forecast.confidence,
    worst=lambda experience: -0.5,
    help="0.5 - c: the less confidence is stated, the better",
)

cc.add_reward_part("modest", MODEST)

if __name__ == "__main__":
    data = cc.MarketData.simulated(seed=8, coins=2, stocks=0, days=80)
    result = cc.walkforward(
        data,
        method="grpo",
        weights={"brier": 1.0, "modest": 0.2},
        train_days=30,
        test_days=20,
        steps=1,
        compare=False,
    )
    for fold in result.result["folds"]:
        print(f"fold {fold['number']}: {fold['arms']['grpo']['trained_on']} outcomes")
