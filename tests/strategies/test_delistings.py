"""Symbols whose bars end early or begin late: what becomes of a position, and what the result says."""

from datetime import date, timedelta

import pandas as pd
import pytest

import closecall as cc
from tests.support.places import ROOT
from tui.cli.main import run as run_command

CASE = ROOT.parent / "shared" / "cases" / "08-delisted" / "bars"
needs_case = pytest.mark.skipif(not CASE.is_dir(), reason="needs the cases of ../shared/cases")


def frame(first, days, price=100.0, drift=0.0):
    closes = [price * (1 + drift) ** number * (1.01 if number % 2 else 1) for number in range(days)]
    return pd.DataFrame(
        {
            "date": [first + timedelta(days=number) for number in range(days)],
            "open": closes,
            "high": [close * 1.01 for close in closes],
            "low": [close * 0.99 for close in closes],
            "close": closes,
            "volume": range(1, days + 1),
        }
    )


class Hold(cc.Strategy):
    """Buys each symbol at its first close."""

    def on_close(self, slice):
        for symbol in slice.bars:
            if not self.position(symbol):
                self.order_target_percent(symbol, 0.2)


JANUARY = date(2024, 1, 1)


@pytest.fixture(scope="module")
def listed():
    """One coin all along, one that ends after 40 days and one that begins after 60."""
    bars = {
        "ALLUSDT": frame(JANUARY, 100),
        "ENDUSDT": frame(JANUARY, 40),
        "NEWUSDT": frame(JANUARY + timedelta(days=60), 40),
    }
    return cc.MarketData.from_frames(bars)


@pytest.mark.parametrize(("value", "words"), [(1.0, "its last price"), (0.0, "zero"), (0.3, "30% of it")])
def test_the_result_says_what_became_of_a_position_and_the_books_agree(listed, value, words):
    result = cc.backtest(listed, strategy=Hold(), delisting_value=value, fee_bps=0, slippage_bps=0)
    notes = " ".join(result.conclusions)
    assert "ENDUSDT on 2024-02-09 (60 days before others)" in notes
    assert "NEWUSDT on 2024-03-01 (60 days after others)" in notes
    assert f"A position was closed at {words}" in notes
    (closed,) = result.fills[result.fills["at"] == "2024-02-10T00:00:00Z"].itertuples()
    assert (closed.symbol, closed.price, closed.cost) == ("ENDUSDT", 101 * value, 0)
    fills = result.fills.assign(paid=lambda table: table["size"] * table["price"] + table["cost"])
    assert result.equity["cash"].iloc[-1] == pytest.approx(100_000 - fills["paid"].sum(), abs=20)


def test_buy_and_hold_finds_the_share_of_a_coin_that_is_listed_after_a_rise():
    bars = {f"UP{number}USDT": frame(JANUARY, 100, drift=0.03) for number in range(4)}
    late = {f"NEW{number}USDT": frame(JANUARY + timedelta(days=60), 40) for number in range(2)}
    data = cc.MarketData.from_frames(bars | late)
    scores = cc.backtest(data, strategy=Hold()).scores.buy_and_hold
    assert (scores.trades, scores.rejected, scores.resized) == (6, 0, 0)


def test_series_of_one_span_are_said_nothing_of():
    data = cc.MarketData.from_frames({"AAUSDT": frame(JANUARY, 60), "BBUSDT": frame(JANUARY, 50)})
    notes = " ".join(cc.backtest(data, strategy=Hold()).conclusions)
    assert "Delisted" not in notes
    assert "Listed late" not in notes


@needs_case
def test_the_run_of_a_share_that_was_delisted_is_replayed_to_the_digit(tmp_path, capsys):
    words = ["backtest", "--bars", CASE, "--delisting-value", "0.5", "--data-dir", tmp_path]
    assert run_command([str(word) for word in words]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "GONE on 2023-04-28 (245 days before others)" in shown
    assert "closed at 50% of its last price" in shown
    (run,) = (tmp_path / "runs").iterdir()
    assert run_command(["check", "parity", run.name, "--data-dir", str(tmp_path)]) == 0
