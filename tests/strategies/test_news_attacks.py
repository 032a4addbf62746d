"""A student with nothing but the day's own headlines, on archives whose times stand for a day."""

import numpy as np
import pandas as pd
import pytest

import closecall as cc


class Headlines(cc.Student):
    """Says what the newest headline says."""

    def prompt(self, observation):
        return observation.news[-1].title if observation.news else "it rose"

    def answer(self, prompts, on_progress):
        return [
            cc.format_answer("up", 0.9, 101) if prompt == "it rose" else cc.format_answer("down", 0.9, 99)
            for prompt in prompts
        ]


def make_bars(days):
    rng = np.random.default_rng(3)
    close = pd.Series(100 * np.exp(np.cumsum(rng.normal(0, 0.02, len(days)))), index=days)
    opening = close.shift(1, fill_value=100.0)
    high, low = np.maximum(opening, close), np.minimum(opening, close)
    return pd.DataFrame({"open": opening, "high": high, "low": low, "close": close, "volume": 1.0})


def score(symbol, bars, published, precision):
    """The accuracy of a student that reads each day how the next bar ends, at the times that are written."""
    rises = (bars.close.shift(-1) > bars.close).to_numpy()[:-1]
    news = pd.DataFrame(
        {
            "published_at": published[:-1],
            "precision": precision,
            "source": "archive",
            "symbols": symbol,
            "title": np.where(rises, "it rose", "it fell"),
            "text": "",
        }
    )
    data = cc.MarketData.from_frames({symbol: bars}, news=news)
    return cc.backtest(data, student=Headlines()).scores.student.accuracy


SESSIONS = pd.bdate_range("2023-01-03", "2023-04-06").difference(
    pd.DatetimeIndex(["2023-01-16", "2023-02-20"])
)
ALL_DAYS = pd.date_range("2023-01-01", periods=70)


def at(days, clock):
    return [f"{day:%Y-%m-%d}{clock}" for day in days]


def google_times(days):
    """The midnight of California in UTC, as Google News writes a day."""
    return [f"{(d + pd.Timedelta('8h')).tz_localize('UTC'):%Y-%m-%dT%H:%M:%SZ}" for d in days]


@pytest.mark.parametrize(
    ("symbol", "days", "published", "precision"),
    [
        ("BTCUSDT", ALL_DAYS, google_times(ALL_DAYS), "day"),
        ("BTCUSDT", ALL_DAYS, google_times(ALL_DAYS), "second"),
        ("AAPL", SESSIONS, at(SESSIONS, " 00:00:00"), "second"),
        ("AAPL", SESSIONS, at(SESSIONS, "T00:00:00Z"), "second"),
        ("AAPL", SESSIONS, at(SESSIONS, "T00:00:00Z"), "day"),
    ],
    ids=["Google's days", "Google's days as seconds", "midnight", "midnight in UTC", "days"],
)
def test_headlines_of_a_day_are_not_known_at_its_close(symbol, days, published, precision):
    assert score(symbol, make_bars(days), published, precision) < 0.65


def test_headlines_with_a_time_before_the_close_are_known_at_it():
    assert score("AAPL", make_bars(SESSIONS), at(SESSIONS, "T19:37:12Z"), "second") == 1.0
