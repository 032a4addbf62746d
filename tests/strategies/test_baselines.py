import math
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise, starmap
from operator import mul
from statistics import NormalDist, mean, median, stdev

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UsageError
from engine.model import Direction
from engine.timeline import build_observations, build_slices
from engine.trading.runner import run as run_engine
from strategies.baselines import counting, timeseries
from strategies.baselines.catalog import baseline_predictions, require_available
from strategies.baselines.fitting import predict_walk_forward
from strategies.baselines.names import BASELINES
from strategies.baselines.news_models import score_words
from strategies.baselines.random_callers import compare_with_random_callers
from strategies.config_file import load_config
from strategies.llm_strategy import BetSizing, LLMStrategy, PredictionIndex
from strategies.market_data import load_market_data
from strategies.sizing import PositionSizing
from tests.support.markets import CALENDARS, FREE, MONDAY, coin, instrument

START = datetime.min.replace(tzinfo=UTC)


def calls(baseline, closes):
    pairs = [(before, after) for before, after in zip([closes[0], *closes], closes, strict=False)]
    bars = {"BTC": coin("BTC", *pairs)}
    seen = build_observations(bars, [], window=8, start=START, minimum=2)
    return baseline(seen, bars)


def test_persistence_calls_the_last_move_again_and_knows_how_often_that_was_right():
    made = calls(counting.persistence, [10, 11, 12, 11, 10])
    assert [one.direction for one in made] == [Direction.UP, Direction.UP, Direction.DOWN, Direction.DOWN]
    assert [round(one.confidence, 3) for one in made] == [0.5, 0.667, 0.5, 0.6]


def test_majority_calls_the_more_frequent_move():
    made = calls(counting.majority, [10, 11, 10, 9, 8])
    assert [one.direction for one in made] == [Direction.UP, Direction.UP, Direction.DOWN, Direction.DOWN]


def test_buy_and_hold_is_always_up_with_the_share_of_rising_days_as_confidence():
    made = calls(counting.buy_and_hold, [10, 11, 12, 13])
    assert {one.direction for one in made} == {Direction.UP}
    assert [one.confidence for one in made] == [2 / 3, 3 / 4, 4 / 5]


def test_a_day_without_a_move_keeps_the_last_direction():
    made = calls(counting.persistence, [10, 9, 9, 9])
    assert {one.direction for one in made} == {Direction.DOWN}


def test_the_random_caller_depends_on_seed_symbol_and_instant_alone():
    bars = {"BTC": coin("BTC", *[(10, 10)] * 200)}
    seen = build_observations(bars, [], window=8, start=START)
    first = counting.random_baseline(seen, 1)
    assert counting.random_baseline(seen[50:], 1) == first[50:]
    assert counting.random_baseline(seen, 2) != first
    ups = sum(one.direction is Direction.UP for one in first)
    assert 70 < ups < 125


@given(st.lists(st.integers(1, 50), min_size=8, max_size=30), st.integers(7, 29))
def test_no_baseline_sees_a_later_close(closes, cut):
    for baseline in (counting.buy_and_hold, counting.persistence, counting.majority):
        whole, part = calls(baseline, closes), calls(baseline, closes[: cut + 1])
        assert whole[: len(part)] == part


def test_every_baseline_states_the_last_close():
    made = calls(counting.majority, [10, 11, 12])
    assert [one.close for one in made] == [one.last_close for one in made]
    assert made[0].as_of > MONDAY


def test_the_index_finds_the_predictions_of_each_close_whatever_their_order():
    bars = {name: coin(name, *[(10, 10), (10, 11)] * 10) for name in ("BTC", "ETH")}
    table = counting.majority(build_observations(bars, [], window=1, start=START), bars)
    by_decision = {(call.symbol, call.as_of): call for call in table}
    assert len(by_decision) == 30
    for calls in (table, table[::-1], list(table)):
        index = PredictionIndex(calls)
        assert dict(index) == by_decision
        assert ("SOL", MONDAY) not in index
    assert table[3].text == ""


@pytest.mark.slow
def test_altering_later_days_changes_no_earlier_forecast_of_any_baseline(tmp_path):
    config = load_config(None, {"market": {"coins": 2, "stocks": 1, "days": 80}, "baselines": ["all"]})
    market = load_market_data(config, tmp_path)
    cut = market.start + timedelta(days=65)

    def forecasts(market):
        observed = build_observations(market.bars, market.news, window=16, start=market.start)
        stated = counting.persistence(observed, market.bars)
        found = baseline_predictions(config, market, observed, list(stated))
        return {name: [call for call in calls if call.as_of <= cut] for name, calls in found.items()}

    earlier = forecasts(market)
    assert earlier.keys() == {*BASELINES, "oracle"} - {"base", "timeseries"}
    for name in ("logistic", "boosted", "tfidf", "lexicon", "calibrated"):
        assert earlier[name] != earlier["buy_and_hold"], f"{name} was never fitted"
    assert forecasts(alter_after(market, cut)) == earlier


def alter_after(market, cut):
    def alter(place, bar):
        if bar.closes_at <= cut:
            return bar
        factor = 1.5 if place % 2 else 0.5
        return replace(
            bar, **{name: getattr(bar, name) * factor for name in ("open", "high", "low", "close")}
        )

    return replace(
        market,
        bars={symbol: list(starmap(alter, enumerate(series))) for symbol, series in market.bars.items()},
        news=[
            item if item.available_at <= cut else replace(item, title="bankruptcy fraud crash")
            for item in market.news
        ],
    )


def test_a_fit_gets_only_outcomes_that_were_known():
    day = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=n) for n in range(200)]
    # An outcome is known ten days late, and the label says which row it is of.
    labels = [(at + timedelta(days=10), n % 2 == 0) for n, at in enumerate(day)]
    seen = []

    def fit(rows, outcomes):
        seen.append(max(rows))
        return lambda found: [0.5] * len(found)

    fitted = predict_walk_forward(np.arange(200), day, labels, fit)
    # 50 outcomes are known on day 59, then one more each day; there is a fit every 20 days.
    assert seen == [49, 69, 89, 109, 129, 149, 169, 189]
    assert [p is None for p in fitted.probabilities] == [True] * 59 + [False] * 141


def test_a_random_walk_drifts_by_the_mean_past_return_and_momentum_follows_sixty_bars():
    rising = calls(counting.random_walk, [100, 110, 121, 130])
    assert rising[0].close == pytest.approx(121)  # one return of 10%, no variance yet
    returns = [math.log(1.1), math.log(1.1), math.log(130 / 121)]
    assert rising[2].close == pytest.approx(130 * math.exp(mean(returns)))
    assert rising[2].confidence == pytest.approx(NormalDist().cdf(mean(returns) / stdev(returns)))
    turned = calls(counting.momentum, [*range(100, 140), *range(139, 60, -1)])
    ups = [call.direction is Direction.UP for call in turned]
    assert ups == [True] * 69 + [False] * 49


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("Shares surge to record after profit beats", 4),
        ("SEC lawsuit: exchange hacked, bitcoin PLUNGES", -3),
        ("Fed does not cut, no losses", 2),
        ("贵州茅台股价创新高,净利润增长", 2),
        ("公司因违规被立案调查,股价跌停", -4),
        ("比特币", 0),
        ("", 0),
    ],
)
def test_the_lexicon_counts_good_and_bad_words_in_english_and_chinese(text, score):
    assert score_words(text) == score


def test_coin_flippers_in_a_rising_market_are_no_better_than_random_callers():
    noise = random.Random(3)
    moves = [noise.gauss(0.003, 0.008) for _ in range(160)]
    bars = {}
    for name in ("BTC", "ETH"):
        closes = list(accumulate([1 + move + noise.gauss(0, 0.008) for move in moves], mul, initial=100.0))
        bars[name] = coin(name, *pairwise(closes))
    observed = build_observations(bars, [], window=8, start=START)
    ranks = [
        compare_with_random_callers(
            flips, trade(flips, bars), bars, {name: instrument(name) for name in bars}
        )
        for flips in (counting.random_baseline(observed, seed) for seed in range(12))
    ]
    places = [rank["return_percentile"] for rank in ranks]
    assert sum(rank["total_return"] > 0 for rank in ranks) >= 11
    assert 0.3 < median(places) < 0.7
    assert sum(place > 0.95 for place in places) <= 2
    held = counting.buy_and_hold(observed, bars)
    always = compare_with_random_callers(held, trade(held, bars), bars, {n: instrument(n) for n in bars})
    assert always["return_percentile"] == pytest.approx(0.5, abs=0.2)


def trade(calls, bars):
    return run_engine(
        build_slices([bar for series in bars.values() for bar in series], []),
        strategy=LLMStrategy,
        settings={
            "calls": PredictionIndex(calls),
            "volatilities": {},
            "sizing": PositionSizing(risk_aversion=25, cap=0.475),
            "bet_sizing": BetSizing.FULL,
        },
        instruments={name: instrument(name) for name in bars},
        costs=dict.fromkeys(bars, FREE),
        calendars=CALENDARS,
        cash=100_000,
    )


def test_the_time_series_model_is_asked_only_where_it_is_installed(tmp_path):
    config = load_config(None, {"market": {"coins": 1, "stocks": 0, "days": 10}, "baselines": ["timeseries"]})
    market = load_market_data(config, tmp_path)
    if not timeseries.is_installed():
        with pytest.raises(
            UsageError, match=r"--baselines timeseries: it needs the package fracast; run pip"
        ):
            require_available(config, market, student=True)
        return
    observed = build_observations(market.bars, [], window=8, start=market.start)
    found = baseline_predictions(config, market, observed, observed)["timeseries"]
    assert found[0].confidence == 0.5  # of fewer than eight closes it knows nothing
    assert len({call.confidence for call in found}) > 1
    assert timeseries.timeseries(observed[:3], market.bars) == found[:3]
