"""Is a bound from products with the Gram matrix one of the process it states, and do its errors hold rounding?"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np
import pytest
import scipy.stats

from ntkseq import bounds, gram, kernels, lazy
from ntkseq.bounds.gibbs_losses import Argmax, ZeroOne
from ntkseq.bounds.projected import Projected, of_products, projected
from ntkseq.grams import DenseGram, Operator
from tests.bounds import worlds

pytestmark = pytest.mark.usefixtures("x64")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((90, 12)) / np.sqrt(np.arange(1, 13))
Y = np.where(X[:, 0] > 0, 1.0, -1.0)
K = X @ X.T


def made(K: Any, rank: int = 5, y: np.ndarray = Y) -> Projected:
    return projected(of_products(K, y, ZeroOne() if y.ndim == 1 else Argmax()), np.arange(len(y)), rank)[0]


@pytest.mark.slow
def test_no_bound_from_products_is_below_the_exact_risk():
    played = [
        worlds.process(np.random.default_rng([7, s]), n=40, prior=bounds.Prior(), rank=1 + s % 6) for s in range(12)
    ]
    assert not [case.bound for case in played if case.violated]
    assert all(case.bound.certified for case in played)


@pytest.mark.slow
def test_no_bound_from_products_is_below_the_exact_risk_in_many_worlds():
    losses = ("zero-one", "absolute", "squared")
    played = [
        worlds.process(np.random.default_rng([8, s]), losses[s % 3], prior=bounds.Prior(), rank=1 + s % 9)
        for s in range(510)
    ]
    assert not [case.bound for case in played if case.violated]
    told = [case.bound.value / case.risk for case in played if not case.bound.vacuous and case.risk > 0]
    assert np.median(told) < 3.5 and len(told) > 250


def test_with_all_directions_it_is_the_bound_of_the_decomposition():
    held, products = (bounds.pac_bayes(K, Y, posterior="regression", rank=rank) for rank in (None, 90))
    assert products.certified and products.value == pytest.approx(held.value, rel=1e-4)
    assert products.constants.information_gain == pytest.approx(held.constants.information_gain, rel=1e-3)


@pytest.mark.slow
def test_few_directions_that_hold_the_spectrum_lose_little_and_the_predictor_is_that_of_the_statement():
    whole, most = bounds.pac_bayes(K, Y).value, bounds.pac_bayes(K, Y, rank=12).value  # K has rank 12
    few = bounds.pac_bayes(K, Y, rank=6)
    assert whole - 1e-3 <= most < whole + 0.01 and most <= few.value < 0.4
    known = few.constants.predictor
    wrong = scipy.stats.norm.cdf(-Y * known.mean(K) / np.sqrt(known.variance(K, K)))
    assert wrong.mean() == pytest.approx(few.constants.loss, rel=1e-6)
    drawn = np.stack([known.draw(K[:3], K[:3, :3], jax.random.key(i)) for i in range(200)])
    assert np.abs(drawn.mean(axis=0) - known.mean(K[:3])).max() < 0.4 * np.sqrt(known.variance(K, K).max())


def test_it_is_a_gaussian_process_whose_numbers_are_those_of_linear_algebra():
    one = made(K, 4)
    b, removed = one.regression(0.5), one.removed(0.5)
    U = one.basis
    C = K - K @ (U * removed) @ U.T @ K
    assert one.mean_at(b)[0] == pytest.approx(K @ U @ b) and one.variance_at(removed)[0] == pytest.approx(
        np.diagonal(C)
    )
    root = np.sqrt(removed)[:, None]
    left = np.linalg.eigvalsh(np.eye(4) - root * (U.T @ K @ U) * root.T)
    gained, taken = one.information_of(removed)
    assert gained == pytest.approx(-0.5 * np.sum(np.log(left))) and taken == pytest.approx(np.sum(1 - left))
    assert one.norm_of(b) == pytest.approx(0.5 * float((U @ b)[:, 0] @ K @ (U @ b)[:, 0]))


def leaning(size: float, V: np.ndarray) -> np.ndarray:
    lean = np.random.default_rng(int(1e6 * abs(V[0, 0]))).standard_normal(V.shape)
    return K @ V + size * lean / np.linalg.norm(lean, axis=0) * np.linalg.norm(V, axis=0)


@pytest.mark.parametrize("kind", ["norm", "entries", "products"])
def test_the_errors_hold_what_a_rounded_matrix_does(kind: str):
    for seed in range(8):
        rng, size = np.random.default_rng(seed), 1e-5
        E = rng.uniform(-1, 1, K.shape)
        E = 0.5 * (E + E.T)
        own = np.sqrt(np.diagonal(K))
        if kind == "entries":
            E = size * np.outer(own, own) * np.sign(E)
            rounded: Any = DenseGram(K + E, size * float(np.trace(K)), entrywise=size)
        else:
            E = size * E / np.linalg.norm(E, 2)
            rounded = DenseGram(K + E, size)
        if kind == "products":  # each product leans its own way by as much as it may
            rounded = Operator(partial(leaning, size), 90, rounding=2 * size, diagonal=np.diag(K), dtype=np.float64)
        one = made(rounded, 5)
        b, removed, U = one.regression(0.3), one.removed(0.3), one.basis
        inner = U.T @ K @ U
        assert np.linalg.norm(inner - np.diag(one.values), 2) <= one.rounding < 1e-2
        mean, error = one.mean_at(b)
        assert (np.abs(mean - K @ U @ b)[:, 0] <= error).all() and error.max() < 0.01
        variance, off = one.variance_at(removed)
        exact = np.diagonal(K - K @ (U * removed) @ U.T @ K)
        assert (np.abs(variance - exact) <= off).all() and off.max() < 0.05
        root = np.sqrt(removed)[:, None]
        left = np.linalg.eigvalsh(np.eye(5) - root * inner * root.T)
        gained, taken = one.information_of(removed)
        assert -0.5 * np.sum(np.log(left)) <= gained and np.sum(1 - left) >= taken
        assert one.norm_of(b) >= 0.5 * float((U @ b)[:, 0] @ K @ (U @ b)[:, 0])


@pytest.mark.slow
def test_a_lazy_gram_is_not_held(monkeypatch: pytest.MonkeyPatch):
    kernel, x = kernels.Dense(sigma_b=0.1), X.astype(np.float32)
    K = lazy(kernel, x)
    monkeypatch.setattr(type(K), "dense", lambda self: pytest.fail("all entries were asked for"))
    monkeypatch.setattr("ntkseq.bounds.projected.IMPLICIT", 1000)
    monkeypatch.setattr("ntkseq.bounds.projected.RANK", 12)
    said = bounds.pac_bayes(K, Y)
    assert said.certified and said.value < 0.7 and said.constants.predictor._basis.shape == (90, 12)
    assert said.value == pytest.approx(bounds.pac_bayes(gram(kernel, x), Y, rank=12).value, rel=1e-2)


def test_classes_and_units_go_the_same_way():
    y = np.eye(3)[X[:, :3].argmax(axis=1)]
    said = bounds.pac_bayes(K, y, loss="argmax", rank=8, units=np.repeat(np.arange(45), 2))
    assert said.certified and said.constants.n == 45 and said.value < 0.8


def test_a_matrix_that_is_no_kernel_is_found_out():
    said = bounds.pac_bayes(K - 0.5 * np.eye(90), Y, rank=90)
    assert said.assumptions[3].status == "fails" and not said.certified


@pytest.mark.parametrize(
    "options",
    [{"rank": 0}, {"rank": 2, "prior": bounds.LearnedPrior(0.5)}, {"rank": 2, "posterior": bounds.Centred(Y)}],
)
def test_what_products_do_not_give_is_refused(options: dict[str, Any]):
    with pytest.raises(ValueError, match=r"rank"):
        bounds.pac_bayes(K, Y, **options)
