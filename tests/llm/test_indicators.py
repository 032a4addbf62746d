import random
from dataclasses import replace

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

from llm.indicators import (
    INDICATORS,
    atr,
    bollinger_position,
    describe_indicators,
    macd,
    mean_close,
    rsi,
    trend,
)
from tests.support.observations import make_bars


@pytest.fixture(scope="module")
def bars():
    dice = random.Random(3)
    closes = list(np.cumprod([100.0, *(1 + dice.gauss(0.001, 0.03) for _ in range(59))]))
    return tuple(
        replace(
            bar,
            open=bar.close,
            high=bar.close * (1 + dice.random() / 30),
            low=bar.close * (1 - dice.random() / 30),
        )
        for bar in make_bars(closes)
    )


@pytest.fixture(scope="module")
def independent(bars):
    """The last values of backtrader's own indicators on the same bars."""
    frame = pd.DataFrame(
        [(bar.opens_at.replace(tzinfo=None), bar.open, bar.high, bar.low, bar.close, 1.0) for bar in bars],
        columns=["date", "open", "high", "low", "close", "volume"],
    ).set_index("date")
    values = {}

    class Reader(bt.Strategy):
        def __init__(self):
            self.used = {
                "rsi": bt.indicators.RSI(period=14),
                "atr": bt.indicators.ATR(period=14),
                "macd": bt.indicators.MACD(),
                "bands": bt.indicators.BollingerBands(period=20),
                "ma5": bt.indicators.SMA(period=5),
                "ma10": bt.indicators.SMA(period=10),
            }

        def stop(self):
            values.update({name: [line[0] for line in used.lines] for name, used in self.used.items()})

    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(bt.feeds.PandasData(dataname=frame))
    cerebro.addstrategy(Reader)
    cerebro.run()
    return values


def test_indicators_equal_those_of_backtrader(bars, independent):
    assert mean_close(bars, 5) == pytest.approx(independent["ma5"][0], rel=1e-12)
    assert mean_close(bars, 10) == pytest.approx(independent["ma10"][0], rel=1e-12)
    assert macd(bars) == pytest.approx(independent["macd"][:2], rel=1e-9)
    assert rsi(bars) == pytest.approx(independent["rsi"][0], rel=1e-9)
    assert atr(bars) == pytest.approx(independent["atr"][0], rel=1e-9)
    _, top, bottom = independent["bands"]
    assert bollinger_position(bars) == pytest.approx((bars[-1].close - bottom) / (top - bottom), rel=1e-9)


def test_the_trend_is_the_slope_of_the_log_closes(bars):
    slope = np.polyfit(range(20), np.log([bar.close for bar in bars[-20:]]), 1)[0]
    assert trend(bars) == pytest.approx(slope, rel=1e-9)


def test_a_still_market_has_no_strength_and_lies_between_its_bands():
    still = make_bars([100.0] * 60)
    assert (rsi(still), atr(still), bollinger_position(still)) == (50.0, 0.0, 0.5)
    assert trend(still) == pytest.approx(0.0, abs=1e-12)


def test_indicators_without_enough_history_are_left_out(bars):
    def show(difference):
        return f"{difference:+.0f}"

    assert describe_indicators(list(INDICATORS), (), show) == ""
    assert describe_indicators(list(INDICATORS), bars[:4], show) == ""
    assert describe_indicators(list(INDICATORS), bars[:6], show).startswith("MA5 ")
    whole = describe_indicators(list(INDICATORS), bars, show)
    assert [part.split(" ")[0] for part in whole.split(", ")] == [
        "MA5",
        "MA10",
        "MACD",
        "RSI14",
        "ATR14",
        "Bollinger",
        "trend",
    ]
