from datetime import date, datetime, timedelta

import pytest

from engine.model import Bar
from feeds.live.clock_sync import ClockCheck
from feeds.live.confirmation import ConfirmationBuffer, UnconfirmedBar
from tests.support.collector_trial import file_market, simulated_market, try_collector
from tests.support.places import SHARED_DATA

DATA = SHARED_DATA

FILES = (
    "coins_binance_daily/BTCUSDT.csv",
    "coins_binance_daily/ETHUSDT.csv",
    "us_stocks_unadjusted/AAPL.csv",
    "us_stocks_unadjusted/SPY.csv",
    "cn_stocks_raw/600000.csv",
    "cn_stocks_raw/600519.csv",
)

pytestmark = pytest.mark.slow
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the shared market data is not on this machine")


@needs_data
def test_three_months_of_coins_and_stocks_are_journaled_in_full_or_named_as_gaps():
    # Three years of the same: make bench-collector.
    market = file_market([DATA / name for name in FILES], date(2019, 1, 1), date(2019, 4, 5), seed=0)
    report = try_collector(market, seed=0)
    assert report.problems == ()
    assert report.bars > 400
    assert report.kills >= 5
    assert min(report.planted.values()) > 0
    assert {"clock", "correction", "gap", "late", "news", "quote", "source"} <= report.kinds.keys()


def test_a_simulated_market_is_journaled_in_full_too():
    report = try_collector(simulated_market(date(2023, 3, 1), date(2023, 4, 10), seed=3), seed=3)
    assert report.problems == ()
    assert report.bars > 100


def test_the_trial_catches_a_collector_that_takes_the_first_value_shown(monkeypatch):
    monkeypatch.setattr(ConfirmationBuffer, "_confirm", lambda self, bar, market: _settled(bar, market))
    assert _problems("corrected, though it never stood wrong") > 0


def test_the_trial_catches_a_collector_that_believes_its_own_clock(monkeypatch):
    monkeypatch.setattr(ClockCheck, "_offset", lambda self: timedelta(0))
    assert _problems("is from the future") > 0


def _settled(bar: Bar, market: datetime) -> UnconfirmedBar:
    return UnconfirmedBar(bar=bar, shown_at=market, confirmed=True)


def _problems(part: str) -> int:
    market = simulated_market(date(2023, 3, 1), date(2023, 4, 5), seed=5)
    return sum(part in problem for problem in try_collector(market, seed=5).problems)
