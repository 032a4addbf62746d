"""A student of your own: any code that turns a prompt into a direction, a confidence and a close.

The command line runs the same class: closecall backtest --student examples/own_student.py:Momentum
"""

import closecall as cc


class Momentum(cc.Student):
    """Expect the last five days to continue. Prices of an answer are relative to the last close = 100."""

    def prompt(self, observation):
        closes = [bar.close for bar in observation.bars[-6:]]
        return f"{closes[-1] / closes[0]:.6f}"

    def answer(self, prompts, on_progress):
        changes = [float(prompt) - 1 for prompt in prompts]
        return [
            cc.format_answer(
                "up" if change >= 0 else "down",
                confidence=min(0.5 + abs(change), 0.6),
                close=100.2 if change >= 0 else 99.8,
            )
            for change in changes
        ]


if __name__ == "__main__":
    result = cc.backtest(cc.MarketData.simulated(seed=8, days=90), student=Momentum())
    print(result)
