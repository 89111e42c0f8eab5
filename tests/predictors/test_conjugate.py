"""Does kernel ridge regression by iteration reach the direct solution, and say how far off it is?"""

from __future__ import annotations

import warnings

import jax
import numpy as np
import pytest

import ntkseq
from ntkseq import kernels
from ntkseq.grams import Operator
from ntkseq.predictors import ridge, ridge_cg


def operator(A: np.ndarray, rounding: float = 0.0) -> Operator:
    return Operator(lambda V: A @ V, len(A), rounding=rounding, dtype=np.float64)


@pytest.mark.slow
def test_it_solves_the_system_of_a_lazy_gram_and_predicts():
    x = jax.random.normal(jax.random.key(0), (70, 5, 2))
    kernel, y = kernels.Recurrent(sigma_w=1.2), np.random.default_rng(0).standard_normal((60, 2))
    direct = ridge(ntkseq.gram(kernel, x[:60]), y, reg=0.1)
    found = ridge_cg(ntkseq.lazy(kernel, x[:60]), y, reg=0.1, rank=10)
    assert np.linalg.norm(found.dual - direct.dual) <= found.error and found.converged
    assert found.rkhs_norm == pytest.approx(direct.rkhs_norm, rel=1e-6)
    np.testing.assert_allclose(found.residuals, direct.residuals, atol=1e-6)
    cross = ntkseq.gram(kernel, x[60:], x[:60])
    np.testing.assert_allclose(found(cross), direct(cross), atol=1e-5)


@pytest.mark.slow
def test_the_error_holds_in_hundreds_of_cases_converged_or_not():
    rng = np.random.default_rng(1)
    for _ in range(150):
        n = int(rng.integers(1, 40))
        X = rng.standard_normal((n, n)) * 10.0 ** rng.uniform(-2, 2, n)
        A = X @ X.T
        reg = float(np.trace(A) * 10.0 ** rng.uniform(-8, 0))
        E = rng.standard_normal((n, n))
        E = E + E.T
        E *= 0.1 * reg / np.linalg.norm(E, 2)
        y = rng.standard_normal((n, 2))
        exact = np.linalg.solve(A + reg * np.eye(n), y)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            found = ridge_cg(operator(A + E, 0.1001 * reg), y, reg=reg, rank=3, max_iterations=int(rng.integers(1, 60)))
        assert np.linalg.norm(found.dual - exact) <= found.error


def test_the_preconditioner_saves_steps():
    lam = np.append(np.logspace(3, 0, 20), np.full(180, 1e-2))
    Q = np.linalg.qr(np.random.default_rng(2).standard_normal((200, 200)))[0]
    A, y = Q * lam @ Q.T, np.random.default_rng(3).standard_normal(200)
    poor, rich = (ridge_cg(operator(A), y, reg=1e-2, rank=rank) for rank in (1, 24))
    assert rich.products < 0.5 * poor.products and rich.converged and poor.converged


def test_no_convergence_is_a_warning_and_a_flag():
    A = np.diag(np.linspace(0.0, 1, 100))
    with pytest.warns(RuntimeWarning, match="did not converge in 1 steps"):
        assert not ridge_cg(operator(A), np.ones(100), reg=1e-6, rank=1, max_iterations=1).converged


def test_bad_input_is_turned_away():
    A = np.eye(3)
    with pytest.raises(ValueError, match=r"larger than the rounding of K, 0\.5"):
        ridge_cg(operator(A, 0.5), np.ones(3), reg=0.1)
    with pytest.raises(ValueError, match="reg must be a finite number > 0"):
        ridge_cg(operator(A), np.ones(3), reg=0.0)
    with pytest.raises(ValueError, match=r"y must have shape \(3,\)"):
        ridge_cg(operator(A), np.ones(4), reg=0.1)
