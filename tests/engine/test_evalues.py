"""E-processes keep their level on the worst day, agree with closed forms, and find what is there."""

import math

import numpy as np
import pytest
from scipy.special import betaln

from engine.metrics.evalues import (
    Bets,
    close_tests,
    confidence_bound,
    default_bets,
    effective_sample_size,
    log_e_process,
    log_wealth,
)

LEVEL = math.log(20.0)


def tosses(seed: int, paths: int, days: int, share: float = 0.5) -> np.ndarray:
    """A half for each head, minus a half for each tail."""
    return np.where(np.random.default_rng(seed).random((paths, days)) < share, 0.5, -0.5)


def test_one_bet_is_the_product_of_its_gains_and_losses():
    bets = Bets(sizes=np.array([0.2]), weights=np.array([1.0]))
    differences = np.array([0.5, 0.5, -0.5, 0.5])
    (wealth,) = log_wealth(differences, -0.5, bets=bets)
    assert np.exp(wealth) == pytest.approx([1.2, 1.44, 1.152, 1.3824], rel=1e-12)


def test_a_uniform_mixture_over_all_bets_is_the_bayes_factor_of_a_uniform_prior_on_the_chance():
    # Ville 1939: the mixture of likelihood ratios over p uniform in [1/2, 1] against a fair coin. Beta
    # functions give it in closed form where the bets are negative as well, so both halves are averaged.
    middles = (np.arange(4000) + 0.5) / 4000 * 0.7499
    bets = Bets(sizes=middles, weights=np.full(4000, 1 / 4000))
    tossed = tosses(1, 1, 60)[0]
    up, down = (log_e_process(side, -0.5, bets=bets)[-1] for side in (tossed, -tossed))
    heads = int((tossed > 0).sum())
    from scipy.special import betainc

    edge = (1 - 0.7499) / 2
    exact = betaln(heads + 1, 61 - heads) + 60 * math.log(2) - math.log(0.7499)
    exact += math.log(betainc(heads + 1, 61 - heads, 1 - edge) - betainc(heads + 1, 61 - heads, edge))
    assert np.logaddexp(up, down) - math.log(2) == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "draw"),
    [
        ("coins", lambda random: random.choice([-0.5, 0.5], (2000, 500))),
        ("losses are rare and large", lambda random: np.where(random.random((2000, 500)) < 0.1, -0.9, 0.1)),
        ("wins are rare and large", lambda random: np.where(random.random((2000, 500)) < 0.1, 0.9, -0.1)),
        ("symbols alike", lambda random: np.repeat(random.choice([-0.5, 0.5], (2000, 500, 1)), 9, 2).mean(2)),
        ("growing", lambda random: random.choice([-1, 1], (2000, 500)) * np.linspace(0.01, 1, 500)),
    ],
)
def test_stopped_at_the_worst_day_of_2000_paths_it_keeps_its_level(name, draw):
    highest = log_e_process(draw(np.random.default_rng(5)), -1.0 if name != "coins" else -0.5).max(axis=-1)
    assert (highest >= LEVEL).mean() <= 0.05 + 0.005  # one standard error of the share


def test_an_edge_of_five_points_is_found_within_1000_days_in_three_quarters_of_paths():
    found = (log_e_process(tosses(3, 1000, 1000, 0.55), -0.5).max(axis=-1) >= LEVEL).mean()
    assert found >= 0.75


def test_the_next_difference_does_not_decide_what_is_bet_on_it():
    differences = tosses(4, 1, 50)[0]
    changed = np.concatenate([differences[:-1], [0.123]])
    before, after = (log_wealth(each, -0.5) for each in (differences, changed))
    assert np.array_equal(before[:, :-1], after[:, :-1])
    sizes = np.minimum(default_bets().sizes / 0.5, 1.5)
    assert np.diff(after[:, -2:], axis=1)[:, 0] == pytest.approx(np.log1p(sizes * 0.123), rel=1e-9)


def test_closed_testing_wants_of_one_among_four_what_all_intersections_want():
    alone = np.log(np.array([[1.0, 90.0, 5.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]) + 1e-300)
    adjusted = np.exp(close_tests(alone))
    assert adjusted[0] == pytest.approx([1.0, 22.5, 22.5])  # (90 + 0 + 0 + 0) / 4, and it lasts
    assert adjusted[1] == pytest.approx([1.0, 1.0, 1.0])
    assert np.exp(close_tests(alone[:1])[0]) == pytest.approx([1.0, 90.0, 90.0])


def test_a_lower_confidence_bound_is_above_the_mean_on_any_day_in_at_most_one_path_in_twenty():
    above = sum(confidence_bound(path, -0.5) > 0.05 for path in tosses(6, 100, 200, 0.55))
    assert above <= 5
    wide, narrow = (confidence_bound(tosses(7, 1, days, 0.55)[0], -0.5) for days in (100, 4000))
    assert wide < 0.02 < narrow < 0.05


def test_bounds_enclose_a_mean_that_moves_and_one_wide_day_does_not_open_them():
    path = np.concatenate([np.full(300, -0.1), np.full(700, 0.3)]) + tosses(8, 1, 1000, 0.5)[0]
    low, high = confidence_bound(path, -0.6), -confidence_bound(-path, -0.8)
    assert low < path.mean() < high
    lows = np.full(1000, -0.1)
    lows[3] = -0.9
    narrow = np.random.default_rng(9).uniform(-0.1, 0.1, 1000)
    assert -0.02 < confidence_bound(narrow, lows) < 0.01


def test_effective_sample_sizes_are_those_of_autoregression_and_leave_out_zeros():
    noise = np.random.default_rng(8).standard_normal(20_000)
    series = np.empty_like(noise)
    series[0] = noise[0]
    for place in range(1, len(noise)):
        series[place] = 0.5 * series[place - 1] + noise[place]
    assert effective_sample_size(series) == pytest.approx(20_000 / 3, rel=0.1)  # (1 - 0.5) / (1 + 0.5)
    assert effective_sample_size(noise) == pytest.approx(20_000, rel=0.1)
    assert effective_sample_size(np.array([0, 1, 0, -1, 0, 1.0])) == 3
    assert [effective_sample_size(np.full(5, value)) for value in (0.0, 1.0)] == [0, 5]
    assert effective_sample_size(np.array([])) == 0


def test_nothing_is_bet_where_nothing_can_differ_and_a_loss_beyond_the_bound_ends_a_bet():
    assert np.exp(log_e_process(np.zeros(5), 0.0)) == pytest.approx(np.ones(5))
    ruined = np.exp(log_e_process(np.array([-3.0, 0.5, 0.5]), -0.5))
    assert np.all(ruined < 1)
    assert np.all(np.isfinite(ruined))
