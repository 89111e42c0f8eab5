"""Is the linear datamodeling score the rank correlation that it says, and does its interval cover?"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from ntkseq import predictors


def problem(seed, *, count=40, noise=1.0, m=4, n=30):
    """Effects of examples, subsets, and outputs that are sums of effects with noise."""
    rng = np.random.default_rng(seed)
    effects = np.random.default_rng(7).normal(size=(m, n))
    subsets = predictors.data_subsets(n, count, seed=seed)
    outputs = subsets @ effects.T + noise * np.sqrt(n) / 2 * rng.normal(size=(count, m))
    return effects, subsets, outputs


def test_the_score_is_the_mean_rank_correlation():
    effects, subsets, outputs = problem(0)
    effects = np.round(effects)  # with ties
    found = predictors.datamodeling_score(effects, subsets, outputs)
    sums = subsets @ effects.T
    each = [scipy.stats.spearmanr(sums[:, j], outputs[:, j]).statistic for j in range(4)]
    np.testing.assert_allclose(found.each, each, atol=1e-12)
    assert found.value == pytest.approx(np.mean(each), abs=1e-12)
    for b in (0, 17):
        rest = np.arange(40) != b
        less = predictors.datamodeling_score(effects, subsets[rest], outputs[rest])
        assert found.without[b] == pytest.approx(less.value, abs=1e-12)


@pytest.mark.slow
def test_the_interval_covers_the_score_of_infinitely_many_subsets():
    """Of 300 draws 95 % are to be covered: 0.95 - 3 sqrt(0.95 0.05 / 300) = 0.912."""
    effects, subsets, outputs = problem(10**6, count=20_000)
    sums = subsets @ effects.T
    truth = float(np.mean([scipy.stats.spearmanr(sums[:, j], outputs[:, j]).statistic for j in range(4)]))
    found = [predictors.datamodeling_score(*problem(seed, count=25)) for seed in range(300)]
    assert np.mean([one.lower <= truth <= one.upper for one in found]) >= 0.912
    spread = np.std([one.value for one in found])
    assert 0.95 * spread <= np.sqrt(np.mean([one.standard_error**2 for one in found])) <= 1.4 * spread


def test_a_difference_of_two_scores_on_the_same_subsets_is_surer_than_each():
    effects, subsets, outputs = problem(3)
    good = predictors.datamodeling_score(effects, subsets, outputs)
    worse = predictors.datamodeling_score(effects + np.random.default_rng(0).normal(size=(4, 30)) / 2, subsets, outputs)
    difference, lower, upper = good.minus(worse)
    assert difference == good.value - worse.value and lower < difference < upper
    assert upper - lower < min(one.upper - one.lower for one in (good, worse))
    assert good.minus(good) == (0.0, 0.0, 0.0)


def test_subsets_are_independent_and_of_one_size():
    subsets = predictors.data_subsets(40, 500, share=0.25, seed=3)
    assert np.all(subsets.sum(axis=1) == 10) and len(np.unique(subsets, axis=0)) == 500
    assert np.abs(subsets.mean(axis=0) - 0.25).max() < 5 * np.sqrt(0.25 * 0.75 / 500)


def test_a_test_example_whose_outputs_are_all_equal_is_left_out_of_the_mean():
    effects, subsets, outputs = problem(0)
    outputs[:, 2] = 1.0
    found = predictors.datamodeling_score(effects, subsets, outputs)
    assert np.isnan(found.each[2]) and found.value == pytest.approx(np.nanmean(found.each))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (dict(scores=np.ones((4, 29))), r"scores must have shape \(m, 30\)"),
        (dict(outputs=np.ones((40, 5))), r"outputs must have shape \(40, 4\)"),
        (dict(outputs=np.ones((40, 4))), "must differ between subsets"),
        (dict(subsets=np.arange(1200).reshape(40, 30)), "not indices"),
    ],
)
def test_what_has_no_score_is_refused(changed, told):
    effects, subsets, outputs = problem(0)
    with pytest.raises(ValueError, match=told):
        predictors.datamodeling_score(**(dict(scores=effects, subsets=subsets, outputs=outputs) | changed))
    if "outputs" in changed:
        with pytest.raises(ValueError, match="4 or more"):
            predictors.datamodeling_score(effects, subsets[:3], outputs[:3])
