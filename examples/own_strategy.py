"""A strategy of your own, by indicators alone and with the student's forecasts.

The command line runs the same classes: closecall backtest --strategy examples/own_strategy.py:Trend
"""

import closecall as cc


class Trend(cc.Strategy):
    """Hold a symbol while it closes above its mean of twenty days and is not overbought."""

    def on_close(self, slice):
        for symbol, bar in slice.bars.items():
            mean, rsi = self.sma(symbol, 20), self.rsi(symbol)
            if mean is not None and rsi is not None:
                self.order_target_percent(symbol, 0.15 if bar.close > mean and rsi < 80 else 0.0)


class ConfidentOnly(cc.Strategy):
    """Hold a symbol while the student is at least 60% sure of a rise."""

    def on_close(self, slice):
        for symbol in slice.bars:
            forecast = self.forecast(symbol)
            if forecast is not None:
                self.order_target_percent(symbol, 0.15 if forecast.probability_up >= 0.6 else 0.0)


if __name__ == "__main__":
    data = cc.MarketData.simulated(seed=8, days=90)
    print(cc.backtest(data, strategy=Trend()))
    result = cc.backtest(data, student="tiny", strategy=ConfidentOnly())
    print(result)
    print(result.fills.tail(3))
