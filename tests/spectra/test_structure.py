"""Are the centred kernel and the split between classes those of explicit features?"""

from __future__ import annotations

import jax
import numpy as np
import pytest

import ntkseq
from ntkseq import kernels
from ntkseq.grams import Dense, Operator
from ntkseq.spectra import MatrixFree, centred, classwise, spectrum


def features(n: int = 20, d: int = 6) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, d)) + 2.0


def test_centring_is_removing_the_mean_of_the_features():
    X = features()
    Z = X - X.mean(axis=0)
    found = centred(Dense(X @ X.T, rounding=1e-6))  # pyright: ignore[reportArgumentType]
    np.testing.assert_allclose(found.dense(), Z @ Z.T, atol=1e-12)
    assert 1e-6 <= found.rounding < 1.001e-6


def test_a_matrix_that_is_not_held_is_centred_in_its_products(x64):
    X = features()
    Z, A = X - X.mean(axis=0), X @ X.T
    lazy = centred(Operator(lambda V: A @ V, 20, rounding=1e-6, diagonal=np.diagonal(A), dtype=np.float64))
    np.testing.assert_allclose(lazy.times(np.eye(20)), Z @ Z.T, atol=1e-12)
    np.testing.assert_allclose(lazy.diag(), np.diagonal(Z @ Z.T), atol=1e-12)
    np.testing.assert_allclose(lazy.rows([4, 2]), (Z @ Z.T)[[4, 2]], atol=1e-12)
    assert lazy.rounding == 1e-6


def test_a_lazy_gram_has_a_centred_spectrum():
    x = jax.random.normal(jax.random.key(0), (40, 5, 2))
    kernel = kernels.Recurrent()
    held, lazy = centred(ntkseq.gram(kernel, x)), centred(ntkseq.lazy(kernel, x))
    assert lazy.norm_fro() == pytest.approx(held.norm_fro(), rel=1e-6)
    a, b = spectrum(held), spectrum(lazy, MatrixFree(k=4))
    assert (np.abs(a.values[:4] - b.values) <= a.errors[:4] + b.errors).all()
    with pytest.raises(ValueError, match="square and symmetric to be centred"):
        centred(ntkseq.lazy(kernel, x, x))


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
