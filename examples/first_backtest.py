"""A first backtest: the shipped student on a simulated market, scored against baselines."""

import closecall as cc

data = cc.MarketData.simulated(seed=8, days=90)
result = cc.backtest(data, student="tiny")

print(result)
print(f"accuracy {result.scores.student.accuracy:.1%}, verdict {result.verdict}")
print(result.equity.tail(3))
print(result.forecasts[["as_of", "symbol", "direction", "confidence", "outcome_close"]].tail(3))
