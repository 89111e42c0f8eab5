"""Are mean, variance and relative entropy those of Gaussian conditioning, and their errors no less than they are?"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from ntkseq.bounds.gibbs import prepared
from ntkseq.bounds.gibbs_losses import Argmax, ZeroOne
from ntkseq.bounds.processes import LearnedPrior, Prior, Process, least_left_out
from ntkseq.grams import DenseGram
from ntkseq.predictors import gaussian_process, ridge

N = 24


def features(seed: int, n: int = N, p: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, p)) / np.sqrt(p), np.where(rng.random(n) < 0.5, 1.0, -1.0)


def process(K: Any, y: np.ndarray, prior: Prior | LearnedPrior) -> Process:
    return prior.process(prepared(K, y, ZeroOne() if y.ndim == 1 else Argmax()), np.arange(len(y)))


def kl(m: np.ndarray, S: np.ndarray, m0: np.ndarray, S0: np.ndarray) -> float:
    inverse = np.linalg.inv(S0)
    logs = np.linalg.slogdet(S0)[1] - np.linalg.slogdet(S)[1]
    return 0.5 * float(np.trace(inverse @ S) - len(m) + (m - m0) @ inverse @ (m - m0) + logs)


def in_weights(phi: np.ndarray, y: np.ndarray, noise: float, S: np.ndarray, m: np.ndarray) -> tuple[Any, Any]:
    """Bayesian linear regression on weights of prior N(m, S), by the textbook."""
    posterior = np.linalg.inv(np.linalg.inv(S) + phi.T @ phi / noise)
    return posterior @ (np.linalg.solve(S, m) + phi.T @ y / noise), posterior


@pytest.mark.parametrize("learned", [False, True])
def test_regression_is_that_of_weights_with_the_same_prior(learned: bool):
    phi, y = features(0)
    p, prior = phi.shape[1], LearnedPrior(0.5, reg=0.3) if learned else Prior()
    m0, S0 = np.zeros(p), np.eye(p)
    paying = np.arange(N)
    if learned:
        seen, paying = prior.split(np.arange(N))
        m0, S0 = in_weights(phi[seen], y[seen], 0.3, S0, m0)
    m, S = in_weights(phi[paying], y[paying], 0.7, S0, m0)
    one = process(phi @ phi.T, y, prior)
    b, removed = one.regression(0.7), one.removed(0.7)
    mean, error = one.mean_at(b)
    variance, off = one.variance_at(removed)
    assert np.abs(mean[:, 0] - phi[paying] @ m).max() <= error.max() <= 1e-9
    assert np.abs(variance - np.einsum("ij,jk,ik->i", phi[paying], S, phi[paying])).max() <= off.max() <= 1e-9
    information, dimension = one.information_of(removed)
    exact = kl(m, S, m0, S0)
    assert exact <= information - 0.5 * dimension + one.norm_of(b) <= exact + 1e-7
    assert one.deviation(2.0) == pytest.approx(np.sqrt(2 * np.einsum("ij,jk,ik->i", phi[paying], S0, phi[paying])))


def test_the_posterior_of_the_whole_is_that_of_a_gaussian_process():
    phi, y = features(1)
    K = phi @ phi.T
    one, known = process(K, y, Prior()), gaussian_process(K, y, noise=0.5)
    assert one.mean_at(one.regression(0.5))[0][:, 0] == pytest.approx(known.mean(K).values)
    assert one.variance_at(one.removed(0.5))[0] == pytest.approx(known.variance(K, K).values)


def test_the_mean_of_a_prior_that_learned_is_ridge_regression_on_its_share():
    phi, y = features(2)
    K, prior = phi @ phi.T, LearnedPrior(0.4, reg=0.2)
    seen, paying = prior.split(np.arange(N))
    fit = ridge(K[np.ix_(seen, seen)], y[seen], reg=0.2)
    assert process(K, y, prior).mean[:, 0] == pytest.approx(fit(K[np.ix_(paying, seen)]))
    assert len(seen) == 10 and sorted([*seen, *paying]) == list(range(N))
    assert LearnedPrior(0.4, seed=1).split(np.arange(N))[0].tolist() != seen.tolist()


def moved(K: np.ndarray, rng: np.random.Generator, size: float, entrywise: bool) -> np.ndarray:
    E = rng.uniform(-1, 1, K.shape)
    E = 0.5 * (E + E.T)
    if entrywise:
        own = np.sqrt(np.diagonal(K))
        return K + size * np.outer(own, own) * E
    return K + size * E / np.linalg.norm(E, 2)


@pytest.mark.parametrize("entrywise", [False, True])
@pytest.mark.parametrize("prior", [Prior(), LearnedPrior(0.5, reg=0.05), LearnedPrior(0.3, reg=1.0)])
def test_the_errors_hold_what_a_rounded_matrix_does(prior: Prior | LearnedPrior, entrywise: bool):
    """K is rounded by as much as it states; the exact numbers are those of the same coefficients on the exact K."""
    rng, size = np.random.default_rng(0), 1e-4
    for seed in range(6):
        phi, y = features(seed)
        K = phi @ phi.T
        norm = size if not entrywise else size * float(np.trace(K))
        rounded = DenseGram(moved(K, rng, size, entrywise), norm, entrywise=size if entrywise else None)
        one, exact = process(rounded, y, prior), process(K, y, prior)
        if isinstance(prior, LearnedPrior):  # the mean of the prior has the coefficients that were computed
            exact = dataclasses.replace(exact, mean=K[np.ix_(exact.paying, exact.seen)] @ one.first)
        C = (exact.basis * exact.values) @ exact.basis.T
        assert np.linalg.norm((one.basis * one.values) @ one.basis.T - C, 2) <= one.rounding
        b, removed = one.regression(0.4), one.removed(0.4)
        M = (one.basis * removed) @ one.basis.T
        mean, error = one.mean_at(b)
        assert (np.abs(mean - exact.mean - C @ one.basis @ b) <= error[:, None]).all()
        variance, off = one.variance_at(removed)
        assert (np.abs(variance - np.diagonal(C - C @ M @ C)) <= off).all()
        assert error.max() < 0.1 and off.max() < 0.1
        information, dimension = one.information_of(removed)
        root = np.linalg.cholesky(M + 1e-14 * np.eye(len(M)))
        left = np.linalg.eigvalsh(np.eye(len(M)) - root.T @ C @ root)
        assert -0.5 * np.sum(np.log(left)) <= information and np.sum(1 - left) >= dimension - 1e-9
        assert one.norm_of(b) >= 0.5 * float(np.sum((one.basis @ b).T @ C @ one.basis @ b)) - 1e-12
        assert (one.deviation(1.0) >= np.sqrt(np.diagonal(C)) - 1e-12).all()


def test_where_rounding_swamps_the_noise_there_is_no_statement():
    phi, y = features(0)
    one = process(DenseGram(phi @ phi.T, 0.05), y, Prior())
    assert one.information_of(np.full(N, 1.0) / (one.values + 0.01))[0] == np.inf
    assert (one.removed(0.01)[~one.told] == 0).all() and not one.told.all()


def test_the_ridge_is_that_of_least_leave_one_out_error():
    phi, _ = features(5, 40, 6)
    y, K = np.sign(phi[:, 0]), phi @ phi.T
    reg, error = least_left_out(K, y[:, None])
    assert error == pytest.approx(ridge(K, y, reg=reg).loo_error)
    assert error <= min(ridge(K, y, reg=reg * f).loo_error for f in (0.1, 10.0)) + 1e-12
    assert least_left_out(K, y[:, None], entry=1.0)[0] > reg  # large coefficients would live on rounding


@pytest.mark.parametrize("bad", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_outside_is_refused(bad: Any):
    with pytest.raises(ValueError, match="share"):
        LearnedPrior(bad)


def test_a_share_that_leaves_no_example_is_refused():
    with pytest.raises(ValueError, match="leaves 0 to the prior"):
        LearnedPrior(0.1).split(np.arange(3))


@pytest.mark.parametrize("bad", [0.0, -1.0, float("inf")])
def test_a_scale_that_is_none_is_refused(bad: float):
    with pytest.raises(ValueError, match="scale"):
        Prior(bad)


@pytest.mark.parametrize("entrywise", [None, 2e-6])
def test_what_a_prior_learns_does_not_look_at_the_inputs_that_pay(entrywise: float | None):
    """Not even through the rounding that K states, which grows with all of K."""
    phi, _ = features(5, 60, 5)
    y, prior = np.where(phi[:, 0] > 0, 1.0, -1.0), LearnedPrior(0.5)
    paying = prior.split(np.arange(60))[1]
    found = []
    for size in (1.0, 1e2, 1e4):
        scaled = phi.copy()
        scaled[paying] *= size
        K = (scaled @ scaled.T).astype(np.float32)
        rounding = float(1e-7 * np.trace(K)) * (1.0 if entrywise is None else size)
        told = None if entrywise is None else entrywise * size
        found.append(process(DenseGram(K, rounding, entrywise=told), y, prior))
    assert len({one.reg for one in found}) == 1 and all((one.first == found[0].first).all() for one in found)


@pytest.mark.parametrize("size", [1e-120, 1e-30, 1e30, 1e120])
def test_units_of_the_kernel_do_not_leave_the_range(size: float):
    phi, y = features(5, 30, 5)
    one = process(size * (phi @ phi.T), y, LearnedPrior(0.5))
    plain = process(phi @ phi.T, y, LearnedPrior(0.5))
    assert one.reg == pytest.approx(size * plain.reg) and np.isfinite(one.rounding)
    assert np.isfinite(process(phi @ phi.T, y, LearnedPrior(0.5, reg=1e300)).rounding)
