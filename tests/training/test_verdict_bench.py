"""The figures that verdicts promise, on few drawn markets; `make bench-verdicts` has them on a thousand."""

import math

import numpy as np

from engine.metrics.verdicts import Claim
from training.benches.verdicts import STUDENTS, measure_false, measure_power, measure_promises


def test_looked_at_daily_for_two_years_no_student_without_knowledge_is_better_more_often_than_promised():
    random = np.random.default_rng(3)
    shares = [measure_false(student, 24, random) for student in STUDENTS.values()]
    for claim in Claim:
        assert np.mean([share["better"][claim] for share in shares]) <= 0.05
    coin = list(STUDENTS).index("coin")
    assert shares[coin]["worse"]["direction"] <= 2 / 24


def test_a_student_that_is_right_in_58_per_cent_is_found_within_1500_days():
    found = measure_power(0.58, 1500, 40, np.random.default_rng(4))
    assert found["alone"] >= 0.9
    assert found["adjusted"] >= 0.9


def test_a_verdict_comes_by_the_day_that_was_promised_in_most_cases():
    promises = measure_promises(6, np.random.default_rng(5), accuracies=(0.58,), days=(125,))
    assert promises["made"] >= 3
    error = math.sqrt(0.8 * 0.2 / promises["made"])
    assert promises["share"] >= 0.8 - 3 * error
