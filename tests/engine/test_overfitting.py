from datetime import date, timedelta
from itertools import combinations
from math import log
from statistics import mean, stdev

import numpy as np
import pytest
from scipy.stats import rankdata

from engine.metrics.overfitting import estimate_overfitting

DAYS = [date(2023, 1, 1) + timedelta(days=count) for count in range(400)]


def by_day(matrix):
    """Return the columns of a matrix of days and trials as daily returns."""
    return [dict(zip(DAYS, column, strict=False)) for column in np.asarray(matrix).T.tolist()]


def noise(trials, days=400, seed=1):
    return np.random.default_rng(seed).normal(0, 0.01, (days, trials))


def recompute(matrix, blocks):
    """The steps of section 2 of the paper, one by one, with logits."""
    parts = np.array_split(matrix, blocks)
    logits, losses = [], []
    for chosen in combinations(range(blocks), blocks // 2):
        training = np.concatenate([parts[c] for c in chosen])
        testing = np.concatenate([parts[c] for c in range(blocks) if c not in chosen])
        inside = [mean(column) / stdev(column) for column in training.T]
        outside = [mean(column) / stdev(column) for column in testing.T]
        best = int(np.argmax(inside))
        relative = rankdata(outside)[best] / (len(outside) + 1)
        logits.append(log(relative / (1 - relative)))
        losses.append(outside[best] < 0)
    return np.mean(np.array(logits) <= 1e-12), np.mean(losses)


@pytest.mark.parametrize(("trials", "days", "blocks"), [(5, 61, 6), (4, 47, 6), (2, 40, 4)])
def test_the_probability_is_that_of_the_paper_s_steps(trials, days, blocks):
    matrix = noise(trials, days, seed=trials)
    estimate = estimate_overfitting(by_day(matrix), blocks)
    assert (estimate.probability, estimate.loss_probability) == pytest.approx(
        recompute(matrix, blocks), abs=1e-12
    )
    assert (estimate.trials, estimate.days) == (trials, days)


def test_a_trial_that_is_better_on_all_days_is_not_overfitted_and_noise_is_a_toss_up():
    better = noise(8)
    better[:, 3] += 0.005
    assert estimate_overfitting(by_day(better)).probability == 0
    draws = [estimate_overfitting(by_day(noise(8, 160, seed)), 8).probability for seed in range(100)]
    assert np.mean(draws) == pytest.approx(0.5, abs=0.1)


def test_trials_that_only_fit_one_half_are_overfitted():
    matrix = noise(8)
    for column in range(8):  # each earns on its own eighth of the days and loses as much on the others
        matrix[:, column] -= 0.01
        matrix[column * 50 : (column + 1) * 50, column] += 0.08
    assert estimate_overfitting(by_day(matrix)).probability > 0.9


@pytest.mark.parametrize(
    ("returns", "why"),
    [
        ([], "no trial"),
        (by_day(noise(1)), "one trial"),
        (by_day(noise(3, 31)), "too few days"),
        (by_day(np.hstack([noise(1), np.full((400, 2), 0.01)])), "constant returns"),
        ([dict.fromkeys(DAYS[:200], 0.1), dict.fromkeys(DAYS[200:], 0.1)], "no common day"),
    ],
)
def test_it_is_undefined_for(returns, why):
    assert estimate_overfitting(returns) is None, why


def test_a_half_without_a_trade_has_a_ratio_of_zero_and_units_do_not_matter():
    matrix = noise(3)
    matrix[:200, 0] = 0
    estimate = estimate_overfitting(by_day(matrix))
    assert 0 <= estimate.probability <= 1
    assert estimate_overfitting(by_day(matrix * 1e-6)) == estimate


def test_only_common_days_are_compared():
    first, second = by_day(noise(2))
    late = {day: value for day, value in second.items() if day >= DAYS[100]}
    assert estimate_overfitting([first, late]).days == 300


def test_an_odd_number_of_blocks_is_refused():
    with pytest.raises(ValueError, match="even"):
        estimate_overfitting(by_day(noise(2)), 5)
