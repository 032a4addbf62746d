"""News of your own beside bars of your own: both come as pandas frames."""

import numpy as np
import pandas as pd

import closecall as cc

days = pd.date_range("2024-01-01", periods=120, tz="UTC")
rng = np.random.default_rng(1)
returns = rng.normal(0, 0.02, len(days))
close = pd.Series(40_000 * np.exp(np.cumsum(returns)), index=days)
opening = close.shift(1, fill_value=40_000.0)
bars = pd.DataFrame(
    {
        "open": opening,
        "high": np.maximum(opening, close) * 1.005,
        "low": np.minimum(opening, close) * 0.995,
        "close": close,
        "volume": 1_000.0,
    }
)


def read_my_source() -> pd.DataFrame:
    """Stand for a database, an API or a mailbox: one headline each day at noon UTC."""
    words = np.where(np.roll(returns, -1) > 0, "beats forecasts", "misses forecasts")
    return pd.DataFrame(
        {
            "published_at": days + pd.Timedelta(hours=12),
            "source": "my source",
            "symbols": "BTCUSDT",
            "title": [f"Bitcoin {word}" for word in words],
            "text": "",
        }
    )


data = cc.MarketData.from_frames({"BTCUSDT": bars}, news=read_my_source(), start="2024-02-01")
result = cc.backtest(data, student="tiny")
print(result)
print(f"{result.result['forecasts_with_news']} forecasts had fresh news")
