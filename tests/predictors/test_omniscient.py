"""Is the equivalent ridge a root, does it meet its limits, and does it predict what draws of examples do?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq.grams import DenseGram
from ntkseq.predictors import left_out
from ntkseq.predictors.omniscient import equivalent, solve


def rotated(values, rng):
    """A matrix with these eigenvalues whose eigenvectors lie evenly over the examples."""
    vectors = np.linalg.qr(rng.normal(size=(len(values), len(values))))[0]
    return (vectors * values) @ vectors.T, vectors


@pytest.mark.parametrize("reg", [0.0, 1e-12, 1e-3, 10.0])
@pytest.mark.parametrize("m", [1, 7, 49])
def test_kappa_is_a_root(reg, m):
    values = np.geomspace(1e-9, 1.0, 50)
    kappa = solve(values, reg, m)
    assert kappa > reg and np.sum((values + reg) / (values + kappa)) == pytest.approx(m, rel=1e-9)


def test_all_examples_have_the_ridge_itself():
    assert solve(np.geomspace(1e-9, 1.0, 50), 0.3, 50) == 0.3


def test_with_all_examples_it_is_generalized_cross_validation():
    rng = np.random.default_rng(0)
    K, _ = rotated(np.geomspace(1e-4, 1.0, 30), rng)
    y = rng.normal(size=(30, 2))
    known = left_out.problem(K, y, 0.01)
    B = np.linalg.inv(K + 0.01 * np.eye(30))
    gcv = 30 * np.mean(np.sum((B @ y) ** 2, axis=0)) / np.trace(B) ** 2
    assert equivalent(known, 30).omniscient(known) == pytest.approx(gcv, rel=1e-9)
    assert equivalent(known, 30).inflation == pytest.approx(1.0)


def test_of_a_large_population_it_is_the_formula_of_simon_and_others():
    n, m, reg = 4000, 20, 0.3
    lam = 1.0 / np.arange(1.0, 61.0) ** 2  # eigenvalues of the operator; the others are zero
    values = np.concatenate([np.zeros(n - 60), n * lam[::-1]])
    v = np.where(np.arange(n) >= n - 60, 1.0 / (n - np.arange(n)), 0.0)
    known = left_out.Problem(values, np.eye(n), np.sqrt(n) * v[:, None], v[:, None], False, reg, 0.0, 1.0, "")
    k = equivalent(known, m).kappa / n
    assert np.sum(lam / (lam + k)) + reg / k == pytest.approx(m, rel=2e-3)  # 60 of 4000 values are not 0
    L = lam / (lam + k)
    wanted = m / (m - np.sum(L**2)) * np.sum((1 - L) ** 2 * v[::-1][:60] ** 2)
    assert equivalent(known, m).omniscient(known) == pytest.approx(wanted, rel=0.01)


@pytest.mark.parametrize("reg", [1e-3, 0.1])
@pytest.mark.parametrize("m", [20, 60, 110])
def test_draws_of_examples_have_the_risk_it_says(reg, m):
    rng = np.random.default_rng(3)
    K, vectors = rotated(np.arange(1.0, 121.0) ** -1.5, rng)
    y = vectors @ (np.arange(1.0, 121.0) ** -0.8 * rng.normal(size=120)) + 0.05 * rng.normal(size=120)
    known = left_out.problem(K, y, reg)
    losses = []
    for _ in range(200):
        order = rng.permutation(120)
        S, rest = order[:m], order[m:]
        f = K[np.ix_(rest, S)] @ np.linalg.solve(K[np.ix_(S, S)] + reg * np.eye(m), y[S])
        losses.append(np.mean((f - y[rest]) ** 2))
    error = 3 * np.std(losses) / np.sqrt(200)
    assert abs(equivalent(known, m).omniscient(known) - np.mean(losses)) <= error + 0.03 * np.mean(losses)


@pytest.mark.slow(but=["1e-09"])
@pytest.mark.parametrize("rounding", [1e-9, 1e-4, 1e-3])
def test_rounding_of_k_stays_within_what_is_said(rounding):
    rng = np.random.default_rng(4)
    K, _ = rotated(np.geomspace(1e-3, 1.0, 40), rng)
    y = rng.normal(size=(40, 1))
    plain = left_out.problem(DenseGram(K, rounding=0.0), y, 0.05)
    nearest = 0.0
    for trial in range(20):
        u = rng.normal(size=(40, 40)) if trial % 2 else (1 - 2 * (trial % 4 == 0)) * np.eye(40)
        E = u + u.T
        E *= rounding / np.linalg.norm(E, 2)
        known = left_out.problem(DenseGram(K + E, rounding=rounding), y, 0.05)
        for m in (5, 20, 39):
            here, there = equivalent(known, m), equivalent(plain, m)
            kappa = there.kappa * plain.scale / known.scale
            assert here.low <= kappa * (1 + 1e-9) and kappa * (1 - 1e-9) <= here.high
            assert abs(here.inflation - there.inflation) <= here.inflation_error
            off, said = abs(here.omniscient(known) - there.omniscient(plain)), here.omniscient_rounding(known)
            assert off <= said * (1 + 1e-9) + 1e-12
            nearest = max(nearest, off / said)
    assert nearest > 0.02
