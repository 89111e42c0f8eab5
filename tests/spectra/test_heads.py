"""Are effective ranks of heads and examples put together with the error of sampling them?"""

from __future__ import annotations

import math

import numpy as np
import pytest

from ntkseq.spectra import aggregate, sampled


def test_the_error_of_an_aggregate_counts_what_heads_share():
    """Two heads that move together have the error of one, two that move apart have none."""
    z = np.random.default_rng(0).normal(size=200)
    together, apart = np.stack([3 + z, 5 + z], axis=1), np.stack([3 + z, 5 - z], axis=1)
    assert sampled(together).value == pytest.approx(4 + z.mean())
    assert sampled(together).error == pytest.approx(z.std(ddof=1) / math.sqrt(200))
    assert sampled(together, "sum").error == pytest.approx(2 * sampled(together).error)
    assert sampled(apart).value == pytest.approx(4) and sampled(apart).error < 1e-12
    assert sampled(apart, "max").value == pytest.approx(5 - z.mean())
    alone = sampled(together[:1])
    assert alone.n == 1 and np.isnan([alone.error, alone.lower, alone.upper]).all()


@pytest.mark.slow(but=["max"])
@pytest.mark.parametrize("how", ["mean", "max", "sum"])
def test_the_interval_of_an_aggregate_is_not_too_narrow(how: str):
    """Over 2,000 samples of 30 examples with 12 heads of skewed ranks, half of it shared; "max": equal heads."""
    generator = np.random.default_rng(2)
    means = np.full(12, 2.0) if how == "max" else np.linspace(1.0, 3.0, 12)
    truth = {"mean": means.mean(), "max": 2.0, "sum": means.sum()}[how]
    hits = 0
    for _ in range(2000):
        draws = 0.5 * generator.gamma(4, 0.25, size=(30, 1)) + 0.5 * generator.gamma(4, 0.25, size=(30, 12))
        found = sampled(means + 0.5 * (draws - 1), how)
        assert found.lower <= found.value <= found.upper and found.n == 30
        hits += found.lower <= truth <= found.upper
    assert hits >= (0.95 - 3 * math.sqrt(0.05 * 0.95 / 2000) - 0.01) * 2000  # a percent for the skewness


@pytest.mark.parametrize(
    ("ranks", "options", "message"),
    [
        ([], {}, "ranks must have shape"),
        ([1.0, np.nan], {}, "ranks must be finite"),
        ([1.0, 2.0], {"how": "median"}, "how must be one of"),
        ([1.0, 2.0], {"level": 1.0}, "level must lie"),
    ],
)
def test_bad_samples_are_turned_away(ranks, options, message: str):
    with pytest.raises(ValueError, match=message):
        sampled(ranks, **options)


def test_aggregation_is_explicit():
    ranks = np.array([[1.0, 3.0], [2.0, 6.0]])
    assert aggregate(ranks) == 3.0 and aggregate(ranks, "max") == 6.0
    assert aggregate(ranks, "sum", axis=1).tolist() == [4.0, 8.0]
    with pytest.raises(ValueError, match="how must be one of"):
        aggregate(ranks, "median")
