"""A walk-forward: train a challenger for each fold, gate it, and trade the champion of the day."""

import closecall as cc

data = cc.MarketData.simulated(seed=8, coins=2, stocks=0, days=80)
result = cc.walkforward(data, method="sft", train_days=30, test_days=20, steps=1)

for fold in result.result["folds"]:
    sft = fold["arms"]["sft"]
    print(f"fold {fold['number']} to {fold['cutoff'][:10]}: {sft['trained_on']} outcomes, ", end="")
    print("promoted" if sft["promoted"] else "not promoted")
print(result)
print(result.equity.tail(3))
