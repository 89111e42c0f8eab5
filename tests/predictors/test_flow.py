"""Is the closed form of training that of the training it stands for, with errors that hold?"""

from __future__ import annotations

import warnings

import jax
import numpy as np
import pytest
import scipy.linalg

import ntkseq
from ntkseq import kernels
from ntkseq.grams import DenseGram, Operator
from ntkseq.predictors import early_stopping, gradient_flow, ridge


def matrix(n: int, rng: np.random.Generator) -> np.ndarray:
    X = rng.standard_normal((n, n + 2)) * 10.0 ** rng.uniform(-1, 1, (n, 1))
    if n > 2:
        X[1] = X[0] + 10.0 ** rng.uniform(-8, -1) * rng.standard_normal(n + 2)
    A = X @ X.T
    return (A + A.T) / 2


def operator(A: np.ndarray) -> Operator:
    return Operator(lambda V: A @ V, len(A), rounding=0.0, dtype=np.float64)


@pytest.mark.parametrize("method", ["dense", "matrix-free"])
def test_flow_is_the_matrix_exponential(method: str):
    rng = np.random.default_rng(0)
    A, y, f0 = matrix(9, rng), rng.standard_normal((9, 2)), rng.standard_normal((9, 2))
    for time in (1e-3, 0.1, 3.0):
        found = gradient_flow(A, y, time=time, f0=f0, method=method, tol=1e-12)
        decay = scipy.linalg.expm(-A * time)
        np.testing.assert_allclose(found.fitted, y - decay @ (y - f0), atol=1e-9)
        np.testing.assert_allclose(A @ found.dual, found.fitted - f0, atol=1e-9)
        assert found.loss == pytest.approx(np.mean((decay @ (y - f0)) ** 2), abs=1e-9)


@pytest.mark.parametrize("method", ["dense", "matrix-free"])
def test_descent_is_the_loop(method: str):
    rng = np.random.default_rng(1)
    A, y = matrix(7, rng), rng.standard_normal(7)
    lr = 0.9 / np.linalg.eigvalsh(A)[-1]
    for steps in (1, 2, 37):
        f, a = np.zeros(7), np.zeros(7)
        for _ in range(steps):
            a, f = a + lr * (y - f), f + lr * A @ (y - f)
        found = gradient_flow(A, y, steps=steps, lr=lr, method=method, tol=1e-12)
        np.testing.assert_allclose(found.dual, a, rtol=1e-9)
        np.testing.assert_allclose(found.fitted, f, rtol=1e-9)


def test_descent_beyond_one_over_lambda_swings_as_the_loop_does():
    A, y = np.diag([1.0, 0.5]), np.ones(2)
    found = gradient_flow(A, y, steps=3, lr=1.8)
    np.testing.assert_allclose(y - found.fitted, [(1 - 1.8) ** 3, (1 - 0.9) ** 3])


@pytest.mark.slow
@pytest.mark.parametrize("lr", [None, 0.5])
def test_the_error_holds_in_hundreds_of_hard_cases_and_is_of_use(lr):
    rng = np.random.default_rng(2)
    ratios = []
    for _ in range(150):
        n = int(rng.integers(1, 30))
        A, y = matrix(n, rng), rng.standard_normal((n, int(rng.integers(1, 3))))
        size = np.linalg.eigvalsh(A)[-1]
        steps = int(10 ** rng.uniform(0, 4))
        clock = {"time": float(10 ** rng.uniform(-2, 4) / size)} if lr is None else {"steps": steps, "lr": lr / size}
        exact = gradient_flow(A, y, method="dense", **clock)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            found = gradient_flow(operator(A), y, tol=1e-10, max_iterations=int(rng.integers(1, 20)), **clock)
        away = float(np.linalg.norm(found.dual - exact.dual))
        assert away <= found.error + exact.error
        if away > 1e-9 * np.linalg.norm(exact.dual):
            ratios.append(found.error / away)
    assert np.median(ratios) < 100


@pytest.mark.slow
def test_the_rounding_of_the_gram_counts():
    rng = np.random.default_rng(3)
    for _ in range(100):
        n = int(rng.integers(2, 12))
        A, y = matrix(n, rng), rng.standard_normal(n)
        size = np.linalg.eigvalsh(A)[-1]
        E = rng.standard_normal((n, n))
        E = E + E.T
        E *= 1e-4 * size / np.linalg.norm(E, 2)
        time = float(10 ** rng.uniform(-1, 3) / size)
        held = DenseGram(A + E, rounding=1.0001e-4 * size)  # pyright: ignore[reportArgumentType]
        for method in ("dense", "matrix-free"):
            found, exact = gradient_flow(held, y, time=time, method=method), gradient_flow(A, y, time=time)
            assert np.linalg.norm(found.dual - exact.dual) <= found.error


def test_infinite_time_is_the_interpolant_where_there_is_one():
    rng = np.random.default_rng(4)
    X = rng.standard_normal((6, 9))
    A, y = X @ X.T, rng.standard_normal(6)
    np.testing.assert_allclose(gradient_flow(A, y, time=np.inf).dual, ridge(A, y, reg=0.0).dual, rtol=1e-9)
    with pytest.raises(ValueError, match="interpolant, and the least eigenvalue cannot be told from zero"):
        gradient_flow(np.ones((3, 3)), np.ones(3), time=np.inf)
    with pytest.raises(ValueError, match='needs method="dense"'):
        gradient_flow(operator(A), y, time=np.inf)


@pytest.mark.slow
def test_a_lazy_gram_trains_as_the_held_one_and_predicts():
    x = jax.random.normal(jax.random.key(0), (60, 5, 2))
    kernel = kernels.Recurrent(sigma_w=1.2)
    y = np.sign(np.random.default_rng(0).standard_normal(50))
    held, lazy = (make(kernel, x[:50]) for make in (ntkseq.gram, ntkseq.lazy))
    a, b = gradient_flow(held, y, time=0.3), gradient_flow(lazy, y, time=0.3)
    assert np.linalg.norm(a.dual - b.dual) <= a.error + b.error and b.converged
    assert "dense" in a.method and "not held" in b.method
    cross = ntkseq.gram(kernel, x[50:], x[:50])
    np.testing.assert_allclose(a(cross, f0=1.0), np.asarray(cross, np.float64) @ a.dual + 1.0)


def test_early_stopping_finds_the_least_error_among_the_candidates():
    rng = np.random.default_rng(5)
    X = rng.standard_normal((80, 6))
    signal = X @ rng.standard_normal(6)
    K = np.exp(-0.2 * ((X[:, None] - X) ** 2).sum(-1))
    y = signal + 2 * rng.standard_normal(80)
    times = np.logspace(-3, 5, 17)
    found = early_stopping(K[:50, :50], y[:50], K[50:, :50], signal[50:], times)
    direct = [np.mean((gradient_flow(K[:50, :50], y[:50], time=t)(K[50:, :50]) - signal[50:]) ** 2) for t in times]
    np.testing.assert_allclose(found.errors, direct, rtol=1e-8)
    assert found.time == times[np.argmin(direct)] and 0 < np.argmin(direct) < 16
    assert (np.diff(found.train_errors) <= 1e-12).all()


def test_no_convergence_is_a_warning_and_a_flag():
    A = np.diag(np.linspace(0.01, 1, 50))
    with pytest.warns(RuntimeWarning, match="did not converge in 2 products"):
        found = gradient_flow(operator(A), np.ones(50), time=100.0, max_iterations=2)
    assert not found.converged


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give time="),
        ({"time": 1.0, "steps": 3, "lr": 0.1}, "give time="),
        ({"steps": 3}, "give time="),
        ({"time": 0.0}, "time must be a finite number > 0"),
        ({"steps": 2, "lr": 2.0}, r"diverges at lr = 2: .*Take lr < 1"),
        ({"time": 1.0, "f0": np.ones(3)}, r"f0 must have shape"),
        ({"time": 1.0, "method": "fast"}, "method must be one of"),
    ],
)
def test_bad_options_are_turned_away(options, message: str):
    with pytest.raises(ValueError, match=message):
        gradient_flow(np.diag([2.0, 1.0]), [1.0, 1.0], **options)


def test_bad_matrices_are_turned_away():
    with pytest.raises(ValueError, match="must be square"):
        gradient_flow(np.ones((2, 3)), [1.0, 1.0], time=1.0)
    with pytest.raises(ValueError, match="positive semi-definite"):
        gradient_flow(np.diag([1.0, -1.0]), [1.0, 1.0], time=1.0)
    with pytest.raises(ValueError, match="above 1 / lambda_max"):
        gradient_flow(operator(np.diag([2.0, 1.0])), [1.0, 1.0], steps=3, lr=0.6)
    with pytest.raises(ValueError, match="at least one candidate"):
        early_stopping(np.eye(2), [1.0, 1.0], np.eye(2), [1.0, 1.0], [])
    with pytest.raises(ValueError, match=r"K_validation must have shape \(m, 2\)"):
        early_stopping(np.eye(2), [1.0, 1.0], np.eye(3), [1.0, 1.0], [1.0])
