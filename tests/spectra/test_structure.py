"""Is the split between classes that of explicit features?"""

from __future__ import annotations

import jax
import numpy as np
import pytest

import ntkseq
from ntkseq import kernels
from ntkseq.spectra import classwise


def features(n: int = 20, d: int = 6) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, d)) + 2.0


def test_the_spread_is_split_as_the_scatter_of_features():
    X = features()
    labels = np.array(["a"] * 12 + ["b"] * 7 + ["c"])
    X[:12] += 3.0
    found = classwise(X @ X.T, labels)
    groups = [X[labels == c] for c in "abc"]
    within = sum(((g - g.mean(0)) ** 2).sum() for g in groups)
    between = sum(len(g) * ((g.mean(0) - X.mean(0)) ** 2).sum() for g in groups)
    assert found.within == pytest.approx(within) and found.between == pytest.approx(between)
    assert found.ratio == pytest.approx(between / (within + between))
    assert found.classes.tolist() == ["a", "b", "c"] and found.counts.tolist() == [12, 7, 1]
    assert found.means[0, 1] == pytest.approx((groups[0] @ groups[1].T).mean())
    own = groups[0] @ groups[0].T
    assert found.means[0, 0] == pytest.approx((own.sum() - np.trace(own)) / (12 * 11))
    assert np.isnan(found.means[2, 2])  # one example has no other of its class
    assert "of the spread lies between" in str(found)


@pytest.mark.slow
def test_lazy_classes_are_those_of_the_held_matrix():
    x = jax.random.normal(jax.random.key(0), (30, 5, 2))
    labels = np.arange(30) % 3
    a, b = (classwise(make(kernels.Recurrent(), x), labels) for make in (ntkseq.gram, ntkseq.lazy))
    np.testing.assert_allclose(a.means, b.means, rtol=1e-6)
    assert a.ratio == pytest.approx(b.ratio, rel=1e-5)


@pytest.mark.parametrize(
    ("labels", "message"), [(np.zeros(4), "two classes or more; got 1"), (np.arange(3), r"shape \(4,\)")]
)
def test_bad_labels_are_turned_away(labels, message: str):
    with pytest.raises(ValueError, match=message):
        classwise(np.eye(4), labels)
