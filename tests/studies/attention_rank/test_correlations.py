"""Are the intervals of means, exponents and rank correlations honest where the truth is known?"""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from ntkseq.studies.attention_rank.correlations import exponent, mean, predictors, shifted


@pytest.mark.slow
def test_the_interval_of_a_mean_covers_it_in_nineteen_of_twenty_samples():
    rng = np.random.default_rng(0)
    covered = [0.5 in mean(rng.random(12)) for _ in range(1000)]
    assert 0.93 < np.mean(covered) < 0.97  # 1000 draws: standard error 0.007


def test_one_example_tells_nothing_of_a_mean():
    found = mean([0.3])
    assert found.estimate == 0.3 and math.isinf(found.lower) and math.isinf(found.upper) and not found.finite


def test_a_known_shift_moves_the_whole_interval():
    found = shifted(mean([1.0, 2.0, 3.0]), -1.5)
    assert found.estimate == pytest.approx(0.5)
    assert found.upper - found.estimate == pytest.approx(found.estimate - found.lower)


def test_a_power_law_without_scatter_gives_its_exponent():
    n = np.array([10.0, 100.0, 1000.0])
    found = exponent(n, 3 * n**-0.7)
    assert found.exponent == pytest.approx(-0.7) and found.lower == pytest.approx(found.upper) and found.left_out == 0


def test_the_interval_of_an_exponent_covers_it_and_equals_that_of_scipy():
    rng = np.random.default_rng(1)
    n = np.repeat([64.0, 128.0, 256.0, 512.0], 3)
    covered = []
    for _ in range(600):
        gaps = 2 * n**-0.5 * np.exp(0.3 * rng.standard_normal(n.size))
        found = exponent(n, gaps)
        covered.append(found.lower <= -0.5 <= found.upper)
    assert 0.93 < np.mean(covered) < 0.97
    line = scipy.stats.linregress(np.log(n), np.log(gaps))
    assert found.exponent == pytest.approx(line.slope)  # pyright: ignore[reportAttributeAccessIssue]
    half = scipy.stats.t.ppf(0.975, n.size - 2) * line.stderr  # pyright: ignore[reportAttributeAccessIssue]
    assert found.upper - found.exponent == pytest.approx(half)


def test_gaps_without_a_logarithm_are_left_out_and_counted():
    found = exponent([10, 10, 100, 1000], [0.5, -0.1, 0.05, np.nan])
    assert (found.used, found.left_out) == (2, 2) and math.isnan(found.lower) and found.exponent == pytest.approx(-1)
    none = exponent([10, 10], [0.5, 0.4])
    assert math.isnan(none.exponent) and str(none) == "no exponent"


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        exponent([1, 2], [1.0])
    with pytest.raises(ValueError, match="one shape"):
        predictors({"a": [1.0]}, [1.0, 2.0])
    with pytest.raises(ValueError, match="one or more numbers"):
        mean([])


def test_the_correlation_is_spearmans():
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((2, 20))
    x[3] = x[4]  # a tie
    found = predictors({"x": x}, y, resamples=50).rho["x"]
    assert found.estimate == pytest.approx(scipy.stats.spearmanr(x, y).statistic)  # pyright: ignore
    assert found.lower < found.estimate < found.upper


@pytest.mark.parametrize("rho", [0.0, 0.8])
def test_the_interval_of_a_correlation_covers_it_with_few_runs(rho: float):
    rng = np.random.default_rng(3)
    truth = 6 / math.pi * math.asin(rho / 2)  # Spearman's of a normal law
    covered = []
    for _ in range(300):
        x, z = rng.standard_normal((2, 18))
        y = rho * x + math.sqrt(1 - rho**2) * z
        covered.append(truth in predictors({"x": x}, y, resamples=200).rho["x"])
    assert np.mean(covered) > 0.93  # the wider of two intervals: above 0.95 but for the noise of 300 draws


def test_within_groups_what_comes_from_the_group_plays_no_role():
    rng = np.random.default_rng(4)
    n = np.repeat([10.0, 100.0, 1000.0], 40)
    number = np.log(n) + 0.1 * rng.standard_normal(n.size)
    gap = -np.log(n) + 0.1 * rng.standard_normal(n.size)
    everywhere, within = (predictors({"a": number}, gap, groups=g, resamples=200).rho["a"] for g in (None, n))
    assert everywhere.upper < -0.8
    assert abs(within.estimate) < 0.3  # 120 runs: standard error 0.09
    shared = rng.standard_normal(n.size)
    tied = predictors({"a": number + shared}, gap + shared, groups=n, resamples=200).rho["a"]
    assert tied.lower > 0.9


def test_the_best_of_indistinguishable_numbers_is_not_told_apart_and_a_clear_one_is():
    rng = np.random.default_rng(5)
    gap = rng.standard_normal(18)
    noise = {f"noise {i}": rng.standard_normal(18) for i in range(8)}
    vague = predictors(noise, gap, resamples=300)
    clear = predictors(noise | {"gap": gap + 0.05 * rng.standard_normal(18)}, gap, resamples=300)
    assert clear.best == "gap" and clear.share > 0.99
    assert vague.share < 0.75


def test_numbers_that_do_not_vary_or_are_not_known_are_unresolved():
    found = predictors({"same": np.ones(9), "nan": np.full(9, np.nan), "x": np.arange(9.0)}, np.arange(9.0))
    assert not found.rho["same"].resolved and not found.rho["nan"].resolved and found.best == "x"
    assert predictors({"same": np.ones(9)}, np.arange(9.0)).best == ""
