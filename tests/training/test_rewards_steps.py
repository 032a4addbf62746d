"""The return in a reward is the return of backtrader's own step."""

from training.benches.reward import measure_step_agreement


def test_the_net_return_of_a_traded_forecast_is_that_of_the_engines_step():
    report = measure_step_agreement(2_000, seed=3)
    assert report.n >= 2_000
    assert report.worst <= 1e-9
    assert report.refused <= report.n // 100
    for kind in ("long", "short", "flat", "lots", "fractions", "held", "foreign"):
        assert report.kinds[kind] >= 100, kind


def test_the_same_seed_draws_the_same_markets():
    assert measure_step_agreement(200, seed=5) == measure_step_agreement(200, seed=5)
    assert measure_step_agreement(200, seed=5).kinds != measure_step_agreement(200, seed=6).kinds
