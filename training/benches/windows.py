"""The market and the walk-forward that the drift bench and the no-edge bench share."""

from dataclasses import dataclass
from datetime import timedelta

from strategies.config import BacktestConfig, MarketTable
from strategies.market_simulation import SIMULATED_START
from training.walkforward.config import Method, WalkForwardConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchWindows:
    """The size of a simulated market, and the windows and the training of a walk-forward on it."""

    coins: int = 7
    stocks: int = 7
    train_days: int = 60
    test_days: int = 60
    recency_half_life: float | None = None
    steps: int | None = None
    method: Method = Method.GRPO

    def build_config(
        self, seed: int, *, windows: int, reversed_at: int | None, edge: bool = True
    ) -> BacktestConfig:
        """Return the backtest on a market of so many test windows.

        Args:
            seed: Of the market.
            windows: How many test windows follow the first training window.
            reversed_at: The window from which on the news means the opposite; None: none.
            edge: Whether the news means anything.
        """
        market = MarketTable(
            coins=self.coins,
            stocks=self.stocks,
            days=self.train_days + windows * self.test_days,
            edge=edge,
            reversal=None if reversed_at is None else (SIMULATED_START + self.window_start(reversed_at)),
        )
        return BacktestConfig(seed=seed, market=market)

    def window_start(self, number: int) -> timedelta:
        """Return the time from the start of the market to that of a test window, from 0."""
        return timedelta(days=self.train_days + number * self.test_days)

    def build_settings(self, *, compare: bool = True) -> WalkForwardConfig:
        """Return the settings of the walk-forward, with an arm of supervised training or without."""
        return WalkForwardConfig(
            method=self.method,
            train_days=self.train_days,
            test_days=self.test_days,
            recency_half_life=self.recency_half_life,
            steps=self.steps,
            compare=compare,
        )
