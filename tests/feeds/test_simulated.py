from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from scipy.stats import t as student_t

from feeds.simulated.headlines import STRENGTHS, HeadlineSet, list_templates
from feeds.simulated.market import MarketSettings, simulate, student_t_cdf


def facts(market):
    return market.bars, market.news, market.oracle


def outcomes(market):
    """(oracle's probability, whether the next close was higher) for every close that has a next one."""
    return [
        (market.oracle[symbol, bar.closes_at].probability_up, after.close > bar.close)
        for symbol, series in market.bars.items()
        for bar, after in pairwise(series)
    ]


@pytest.mark.slow
def test_equal_settings_make_equal_markets_and_another_seed_makes_another():
    assert facts(simulate(MarketSettings(seed=5, days=60))) == facts(
        simulate(MarketSettings(seed=5, days=60))
    )
    assert simulate(MarketSettings(seed=5, days=60)).bars != simulate(MarketSettings(seed=6, days=60)).bars


def test_a_longer_market_begins_with_the_shorter_one():
    short, long = (simulate(MarketSettings(seed=5, days=days)) for days in (60, 90))
    for symbol, series in short.bars.items():
        assert long.bars[symbol][: len(series)] == series
    end = datetime(2023, 1, 1, tzinfo=UTC) + timedelta(days=55)
    assert [i for i in long.news if i.available_at < end] == [i for i in short.news if i.available_at < end]
    assert short.oracle.items() <= long.oracle.items()


@pytest.mark.slow
def test_the_oracle_s_probabilities_come_true():
    seen = [one for seed in range(4) for one in outcomes(simulate(MarketSettings(seed=seed, days=900)))]
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        some = [(q, up) for q, up in seen if low <= q < low + 0.2]
        stated, happened = sum(q for q, _ in some) / len(some), sum(up for _, up in some) / len(some)
        assert happened == pytest.approx(stated, abs=4 * (0.25 / len(some)) ** 0.5)


def test_news_moves_the_next_return_and_without_edge_nothing_does():
    sure = [max(q, 1 - q) for q, _ in outcomes(simulate(MarketSettings(seed=3, days=400)))]
    assert sum(sure) / len(sure) > 0.68
    blind = simulate(MarketSettings(seed=3, days=400, edge=False))
    assert {view.probability_up for view in blind.oracle.values()} == {0.5}
    assert blind.news


def test_from_the_reversal_on_good_news_is_bad():
    turning = date(2023, 4, 1)
    usual, turned = (simulate(MarketSettings(seed=3, days=200, reversal=day)) for day in (None, turning))
    before = [k for k in usual.oracle if k[1].date() < turning]
    assert all(usual.oracle[k] == turned.oracle[k] for k in before)
    good = {item.available_at.date(): item for item in turned.news if "record quarter" in item.title}
    after = [
        view.probability_up
        for (symbol, as_of), view in turned.oracle.items()
        if as_of.date() >= turning
        and any(
            symbol in item.symbols and timedelta(0) <= as_of - item.available_at < timedelta(days=1)
            for item in good.values()
        )
    ]
    assert all(q < 0.7 for q in after)


def test_withheld_templates_are_a_fifth_and_never_occur_in_a_familiar_market():
    for topic in ("asset", "market"):
        for strength in STRENGTHS:
            both = list_templates(topic, strength, HeadlineSet.ALL)
            withheld = list_templates(topic, strength, HeadlineSet.WITHHELD)
            familiar = list_templates(topic, strength, HeadlineSet.FAMILIAR)
            assert len(withheld) == len(both) // 5
            assert not set(withheld) & set(familiar)
            assert len(set(both)) == len(both) == len(withheld) + len(familiar)


def test_there_are_hundreds_of_templates():
    assert (
        sum(len(list_templates(t, s, HeadlineSet.ALL)) for t in ("asset", "market") for s in STRENGTHS) > 250
    )


def test_coins_trade_every_day_and_stocks_by_their_exchange_s_sessions():
    market = simulate(MarketSettings(seed=1, days=31, start=date(2024, 1, 1)))
    lengths = {market.instruments[s].asset_class: len(series) for s, series in market.bars.items()}
    assert lengths == {"coin": 31, "stock": 21}


def test_returns_have_fat_tails_and_volatility_comes_in_regimes():
    market = simulate(MarketSettings(seed=2, coins=4, stocks=0, days=2000, edge=False))
    for series in market.bars.values():
        changes = [b.close / a.close - 1 for a, b in pairwise(series)]
        variance = sum(x**2 for x in changes) / len(changes)
        assert sum(x**4 for x in changes) / len(changes) / variance**2 > 4
        squares = [min(x**2, 9 * variance) - variance for x in changes]
        assert sum(a * b for a, b in pairwise(squares)) > 0


@pytest.mark.parametrize("x", [-4.0, -0.7, 0.0, 0.3, 2.5])
def test_the_closed_form_of_student_s_t_agrees_with_scipy(x):
    assert student_t_cdf(x) == pytest.approx(student_t.cdf(x, 5), abs=1e-12)


def test_settings_that_make_no_market_are_refused():
    for wrong in ({"days": 1}, {"coins": 0, "stocks": 0}, {"coins": 99}, {"seed": -1}):
        with pytest.raises(ValueError):
            MarketSettings(**wrong)
