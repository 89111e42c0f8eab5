"""Does a fit go downhill on the right objective, find what the data were made with, and say what went wrong?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.linalg

import ntkseq
from ntkseq import activations
from ntkseq._struct import struct
from ntkseq.kernels import Dense, Kernel, Recurrent
from ntkseq.predictors import one_hot
from ntkseq.training import tune

traces: list[int] = []


@struct
class Counted(Kernel):
    """sigma^2 <x, x'> + bias^2, which compiles fast and counts how often it is traced."""

    sigma: Any = 1.0
    bias: Any = 0.0

    def prepare(self, x: Any, lengths: Any = None) -> Any:
        return jnp.asarray(x)

    def tile(self, left: Any, right: Any) -> Any:
        traces.append(1)
        sigma, bias = (jnp.asarray(leaf, left.dtype) for leaf in (self.sigma, self.bias))
        return sigma**2 * (left @ right.T) + bias**2


def vectors(n: int = 12, d: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d))


def evidence(K: np.ndarray, y: np.ndarray, reg: float) -> float:
    """Minus the log density of the columns of y under N(0, K + reg), per number, by eigenvalues."""
    values, basis = np.linalg.eigh(K + reg * np.eye(len(K)))
    z = basis.T @ y
    total = 0.5 * np.sum(z**2 / values[:, None]) + 0.5 * y.shape[1] * np.sum(np.log(2 * np.pi * values))
    return total / y.size


def left_out(K: np.ndarray, y: np.ndarray, reg: float) -> float:
    """The squared error at each example of the fit without it, by n fits."""
    errors = []
    for i in range(len(K)):
        rest = np.delete(np.arange(len(K)), i)
        dual = scipy.linalg.solve(K[np.ix_(rest, rest)] + reg * np.eye(len(rest)), y[rest])
        errors.append((y[i] - K[i, rest] @ dual) ** 2)
    return float(np.mean(errors))


@pytest.mark.parametrize(("objective", "oracle"), [("marginal_likelihood", evidence), ("loo", left_out)])
def test_value_and_gradient_are_those_of_the_textbook_formula(x64, objective: str, oracle: Any) -> None:
    x, y = vectors(), vectors(12, 2, seed=1)
    scales = {"sigma": 1.3, "bias": 0.4, "reg": 0.2}

    def at(u: dict[str, float]) -> float:
        v = {name: value * np.exp(u.get(name, 0.0)) for name, value in scales.items()}
        return oracle(v["sigma"] ** 2 * x @ x.T + v["bias"] ** 2, y, v["reg"])

    rate, h = 1e-3, 1e-5
    fitted = tune(
        Counted(sigma=1.3, bias=0.4), x, y, reg=0.2, objective=objective, steps=1, train=list(scales),
        optimizer=optax.sgd(rate),
    )  # fmt: skip
    np.testing.assert_allclose(fitted.history[0], at({}), rtol=1e-10)
    for name, value in scales.items():
        slope = (at({name: h}) - at({name: -h})) / (2 * h)
        np.testing.assert_allclose(np.log(fitted.trained[name] / value), -rate * slope, rtol=1e-5)
    assert fitted.history[1] < fitted.history[0]


@pytest.mark.slow
def test_leave_one_out_is_the_error_that_ridge_reports(x64) -> None:
    x, y = vectors(), one_hot(np.arange(12) % 3)
    fitted = tune(Dense(activation="erf"), x, y, reg=0.1, objective="loo", steps=3)
    assert fitted.reg == 0.1
    ridge = ntkseq.ridge(ntkseq.gram(Dense(activation="erf"), x), y, reg=0.1)
    np.testing.assert_allclose(fitted.history[0], ridge.loo_error, rtol=1e-10)
    best = ntkseq.ridge(ntkseq.gram(fitted.kernel, x), y, reg=0.1)
    np.testing.assert_allclose(np.min(fitted.history), best.loo_error, rtol=1e-10)
    assert best.loo_error < ridge.loo_error


@pytest.mark.slow
def test_marginal_likelihood_finds_what_the_data_were_drawn_with() -> None:
    n, k = 30, 400
    x = vectors(n, 2).astype(np.float32)
    truth = 3.0 * Dense(sigma_w=1.5, sigma_b=0.5, activation="erf", kind="nngp")
    rng = np.random.default_rng(2)
    A = np.asarray(truth(x), np.float64) + 0.3 * np.eye(n)
    y = np.linalg.cholesky(A) @ rng.standard_normal((n, k))
    start = 1.0 * Dense(sigma_w=0.7, sigma_b=1.0, activation="erf", kind="nngp")
    names = ["factor", "kernel.sigma_w", "kernel.sigma_b", "reg"]
    fitted = tune(start, x, y, reg=1.0, train=names, optimizer=optax.adam(0.1), steps=200)
    # k draws of n numbers: the noise is known to sqrt(2 / (n k)) = 1.3 % and less; the scales trade with each other
    assert abs(fitted.reg / 0.3 - 1) < 0.06
    assert fitted.history.min() < evidence(np.asarray(truth(x), np.float64), y, 0.3) + 2e-4
    K, wanted = (np.asarray(k(x), np.float64) for k in (fitted.kernel, truth))
    assert np.linalg.norm(K - wanted) < 0.1 * np.linalg.norm(wanted)
    assert np.linalg.norm(np.asarray(start(x)) - wanted) > 0.5 * np.linalg.norm(wanted)


@pytest.mark.slow
def test_by_default_the_positive_numbers_are_trained_and_zeros_stay() -> None:
    kernel = Recurrent(sigma_w=1, activation=activations.LeakyRelu(0.2))  # an int is a number as well
    x = vectors(8, 6).reshape(8, 3, 2).astype(np.float32)
    fitted = tune(kernel, x, x.sum(axis=(1, 2)), steps=3, lengths=np.array([3, 2, 1, 3, 3, 2, 1, 3]))
    assert sorted(fitted.trained) == ["activation.slope", "sigma_r", "sigma_u", "sigma_w"]
    new = fitted.kernel
    assert isinstance(new, Recurrent) and new.sigma_b == 0.0 and new.sigma_w == fitted.trained["sigma_w"] != 1
    assert fitted.reg == 1e-2 and fitted.history.shape == (4,)
    assert "marginal_likelihood" in repr(fitted) and "sigma_w=" in repr(fitted)


def test_a_zero_that_is_named_is_trained_from_a_tenth() -> None:
    x = vectors().astype(np.float32)
    fitted = tune(Counted(), x, np.ones(12), steps=1, train=["bias"])
    # the first step of Adam is its rate, with the sign of the slope
    np.testing.assert_allclose(fitted.trained["bias"], 0.1 * np.exp(0.05), rtol=1e-4)
    assert fitted.kernel.sigma == 1.0


@pytest.mark.slow
def test_one_number_per_layer_is_trained_each_on_its_own() -> None:
    x = vectors().astype(np.float32)
    kernel = Dense(depth=2, sigma_w=np.array([1.0, 2.0]), sigma_b=np.array([0.3, 0.0]))
    fitted = tune(kernel, x, x[:, 0], steps=3, optimizer=optax.sgd(0.1))  # a zero beside a positive number stays
    assert fitted.trained["sigma_b"][1] == 0.0 and abs(fitted.trained["sigma_b"][0] - 0.3) > 1e-4
    assert fitted.trained["sigma_w"].shape == (2,) and len(set(fitted.trained["sigma_w"] / [1.0, 2.0])) == 2
    assert fitted.kernel.sigma_b[1] == 0.0


@pytest.mark.slow
def test_the_result_is_the_best_step_not_the_last() -> None:
    x = vectors().astype(np.float32)
    fitted = tune(Counted(), x, x[:, 0], steps=6, optimizer=optax.sgd(5.0))
    assert fitted.history[-1] > fitted.history.min() + 0.01  # it overshoots
    again = tune(fitted.kernel, x, x[:, 0], steps=1)
    np.testing.assert_allclose(again.history[0], fitted.history.min(), rtol=1e-5)


def test_a_fit_compiles_once_whatever_the_number_of_steps_and_the_start() -> None:
    x = vectors(6).astype(np.float32)
    tune(Counted(), x, x[:, 0], steps=2)
    first = len(traces)
    tune(Counted(), x, x[:, 0], steps=20)
    tune(Counted(sigma=0.3), 2 * x, x[:, 1], reg=0.5)
    # the door asks for the dtype of the diagonal each time, which traces one example; the step is not traced again
    assert len(traces) == first + 2


def test_divergence_names_the_step_and_the_last_good_values() -> None:
    x = vectors(6).astype(np.float32)
    with pytest.raises(
        FloatingPointError,
        match=r"stopped being finite at step 1; at the step before, sigma = 2. Pass an optimizer with a lower",
    ):
        tune(Counted(sigma=2.0), x, x[:, 0], optimizer=optax.sgd(-1e4))
    with pytest.raises(FloatingPointError, match=r"not finite at the start \(sigma = 1e\+15\).*float32.*reg = 0.01"):
        tune(Counted(sigma=1e15), x, x[:, 0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(objective="mse"), "objective must be one of 'marginal_likelihood', 'loo'; got 'mse'"),
        (dict(steps=0), "steps must be an integer >= 1; got 0"),
        (dict(reg=-1.0), "reg must be a finite number >= 0; got -1.0"),
        (dict(reg=0.0, train=["reg"]), "reg must be > 0 where it is trained; got 0.0"),
        (dict(train=["sigma_q"]), "train must name .* got 'sigma_q', wanted some of 'sigma', 'bias', 'reg'"),
        (dict(train="sigma"), "train must be a list of names.*got 'sigma'"),
        (dict(train=[]), r"train must be a list of names.*got \[\]"),
        (dict(kernel=Counted(sigma=0.0)), "positive hyper-parameter to train; Counted has sigma, bias"),
        (dict(y=np.ones(5)), r"y must have shape \(6,\)"),
    ],
)
def test_wrong_inputs_are_named(changes: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = dict(kernel=Counted(), y=np.ones(6)) | changes
    with pytest.raises(ValueError, match=message):
        tune(given.pop("kernel"), vectors(6).astype(np.float32), given.pop("y"), **given)


def test_progress_is_shown_when_asked_for(capsys) -> None:
    x = vectors(6).astype(np.float32)
    tune(Counted(), x, x[:, 0], steps=3, progress=True)
    assert "fit: 100%" in capsys.readouterr().err
    tune(Counted(), x, x[:, 0], steps=3)
    assert capsys.readouterr().err == ""


def test_the_precision_of_the_data_is_kept(x64) -> None:
    kernel, x, y, reg = Counted(sigma=np.float64(1.2)), vectors(), np.ones(12), 1.0
    single = tune(kernel, jnp.asarray(x, jnp.float32), y, reg=reg, steps=2)
    double = tune(kernel, x, y, reg=reg, steps=2)
    assert single.history[0] == np.float32(single.history[0])
    # backward error of kernel entries (d + 3 roundings) and of a Cholesky solve (3 n + 1), relative to tr A; the
    # objective moves by at most that times (|A^-1 y|^2 + |A^-1|_*) / 2 n
    A = 1.2**2 * x @ x.T + reg * np.eye(12)
    inverse = np.linalg.inv(A)
    moved = (len(x[0]) + 3 + 3 * 12 + 1) * 0.5 * np.finfo(np.float32).eps * np.trace(A)
    tolerance = moved * (np.sum((inverse @ y) ** 2) + np.trace(inverse)) / (2 * 12)
    assert 0 < abs(single.history[0] - double.history[0]) < tolerance + np.finfo(np.float32).eps * double.history[0]
    assert jax.tree.structure(single.kernel) == jax.tree.structure(kernel)
