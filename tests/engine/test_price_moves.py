from datetime import date

import numpy as np
import pandas as pd
import pytest

from engine.metrics.price_moves import build_price_moves, decode_price_moves, have_same_prices
from tests.support.places import SHARED_DATA

needs_real = pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the real data are not here")


def series(seed: int, days: int = 300, start: date = date(2021, 1, 1)) -> dict[int, float]:
    prices = 50 * np.cumprod(1 + np.random.default_rng(seed).normal(0, 0.02, days))
    return dict(enumerate(prices.tolist(), start.toordinal()))


PRICES = series(1)
MOVES = build_price_moves({"BTC": PRICES, "ETH": series(2)})


@pytest.mark.parametrize(
    ("attack", "closes"),
    [
        ("renamed", {"XBT": PRICES}),
        ("among others", {"A": series(3), "B": PRICES, "C": series(4)}),
        ("first days left out", {"BTC": dict(list(PRICES.items())[250:])}),
        ("rounded to cents", {"BTC": {day: round(price, 2) for day, price in PRICES.items()}}),
        ("in another currency", {"BTC": {day: price * 7.1 for day, price in PRICES.items()}}),
        ("inverse", {"USD": {day: 1e4 / price for day, price in PRICES.items()}}),
        ("dated a day later", {"BTC": {day + 1: price for day, price in PRICES.items()}}),
        ("dated a day earlier", {"BTC": {day - 1: price for day, price in PRICES.items()}}),
        ("every tenth day missing", {"BTC": {d: p for d, p in PRICES.items() if d % 10}}),
    ],
)
def test_data_are_recognised_though_they_were_changed(attack, closes):
    assert have_same_prices(MOVES, build_price_moves(closes)) is True, attack


@pytest.mark.parametrize(
    ("closes", "answer"),
    [
        ({"BTC": series(5)}, False),
        ({"BTC": dict.fromkeys(PRICES, 10.0)}, False),
        ({"BTC": series(1, start=date(2024, 1, 1))}, None),
        ({"BTC": dict(list(PRICES.items())[:10])}, None),
        ({}, None),
    ],
)
def test_other_prices_are_other_data_and_few_days_prove_nothing(closes, answer):
    assert have_same_prices(MOVES, build_price_moves(closes)) is answer


def test_one_symbol_is_recognised_among_hundreds_of_which_some_days_are_kept():
    many = build_price_moves({str(seed): series(seed, 1000) for seed in range(300)})
    assert many.moves.size <= 32_768
    read = decode_price_moves(many.encode())
    assert read.digest == many.digest
    assert have_same_prices(read, build_price_moves({"X": series(77, 1000)})) is True
    assert have_same_prices(read, build_price_moves({"X": series(777, 1000)})) is False


@needs_real
def test_real_prices_are_recognised_across_sources_and_told_apart_from_their_likes():
    def closes(place):
        frame = pd.read_csv(SHARED_DATA / place, usecols=["date", "close"], parse_dates=["date"])
        return build_price_moves({"X": dict(zip(frame.date.map(date.toordinal), frame.close, strict=True))})

    bitcoin, spy = closes("coins_binance_daily/BTCUSDT.csv"), closes("us_stocks_daily/SPY.csv")
    assert have_same_prices(bitcoin, closes("coins_yahoo_daily/BTC-USD.csv")) is True
    assert have_same_prices(spy, closes("us_stocks_unadjusted/SPY.csv")) is True
    assert have_same_prices(bitcoin, closes("coins_binance_daily/ETHUSDT.csv")) is False
    assert have_same_prices(spy, closes("us_stocks_daily/QQQ.csv")) is False
