"""Gaussian-process prediction against plain formulas in float64, scikit-learn, and the exact kernel."""

import jax
import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import DotProduct

import ntkseq
from ntkseq import kernels
from ntkseq._notices import PrecisionWarning
from ntkseq.predictors import gaussian_process, ridge

NOISE = 0.05


def wanted(K, C, D, y, noise=NOISE):
    A = K + noise * np.eye(len(K))
    mean, cov = C @ np.linalg.solve(A, y), D - C @ np.linalg.solve(A, C.T)
    evidence = -0.5 * y @ np.linalg.solve(A, y) - 0.5 * np.linalg.slogdet(A)[1] - 0.5 * len(y) * np.log(2 * np.pi)
    return mean, cov, evidence


def inputs():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((12, 3))
    x[1] = x[0] + 1e-4 * x[2]
    return x, rng.standard_normal((4, 3)), np.sin(x.sum(1))


def test_all_of_it_is_what_scikit_learn_says():
    x, xq, y = inputs()
    other = GaussianProcessRegressor(DotProduct(1.0, "fixed"), alpha=NOISE, optimizer=None).fit(x, y)
    K, C, D = 1 + x @ x.T, 1 + xq @ x.T, 1 + xq @ xq.T
    fit = gaussian_process(K, y, noise=NOISE)
    mean, cov = other.predict(xq, return_cov=True)
    for got, exact in (
        *((fit.mean(C), mean), (fit.covariance(C, D), cov), (fit.variance(C, D), cov.diagonal())),
        *(
            (fit.variance(C, D.diagonal()), cov.diagonal()),
            (fit.log_marginal_likelihood, other.log_marginal_likelihood()),
        ),
    ):
        np.testing.assert_allclose(got.values, exact, rtol=1e-8, atol=1e-10)
        assert (got.errors < 1e-8).all() and not got.estimated
    np.testing.assert_array_equal(fit(C), ridge(K, y, reg=NOISE)(C))


@pytest.mark.slow
@pytest.mark.parametrize("noise", [1.0, 0.1])
def test_the_errors_hold_what_float32_kernels_lose(noise):
    x, xq, y = inputs()
    kernel = kernels.Dense(depth=2, kind="nngp")
    x, xq = x.astype(np.float32), xq.astype(np.float32)
    with jax.enable_x64(True):
        wide = (x.astype(np.float64), xq.astype(np.float64))
        exact = [np.asarray(a) for a in (kernel(wide[0]), kernel(wide[1], wide[0]), kernel(wide[1]))]
    mean, cov, evidence = wanted(*exact, y, noise)
    K, C, D = ntkseq.gram(kernel, x), ntkseq.gram(kernel, xq, x), ntkseq.gram(kernel, xq)
    fit = gaussian_process(K, y, noise=noise)
    own = np.asarray(kernel.diag(xq))
    for got, right in (
        *((fit.mean(C), mean), (fit.covariance(C, D), cov), (fit.variance(C, D), cov.diagonal())),
        *((fit.variance(C, own), cov.diagonal()), (fit.log_marginal_likelihood, evidence)),
    ):
        assert (np.abs(got.values - right) <= got.errors).all() and not got.estimated
        assert (got.errors < 2e-2).all()


def test_the_errors_hold_at_the_worst_of_all_roundings():
    """Not what a kernel happens to lose, but what its stated rounding allows, along the direction that hurts."""
    x, xq, y = inputs()
    K, C, D = x @ x.T + np.eye(12), xq @ x.T, xq @ xq.T + np.eye(4)
    mean, cov, evidence = wanted(K, C, D, y)
    A = K + NOISE * np.eye(12)
    directions = [np.linalg.solve(A, C[0]), np.linalg.solve(A, y), np.linalg.eigh(A)[1][:, 0]]
    r = 1e-3
    for u in directions:
        u = u / np.linalg.norm(u)
        for sign in (1, -1):
            E = sign * r * np.outer(u, u)
            fit = gaussian_process(ntkseq.grams.DenseGram(K + E, rounding=r), y, noise=NOISE)
            assert (np.abs(fit.mean(C).values - mean) <= fit.mean(C).errors).all()
            assert (np.abs(fit.variance(C, D).values - cov.diagonal()) <= fit.variance(C, D).errors).all()
            assert (np.abs(fit.covariance(C, D).values - cov) <= fit.covariance(C, D).errors).all()
            found = fit.log_marginal_likelihood
            assert np.abs(found.values - evidence) <= found.errors
            large = gaussian_process(
                ntkseq.grams.DenseGram(K + E, rounding=r), 1e3 * y, noise=NOISE
            ).log_marginal_likelihood
            assert np.abs(large.values - wanted(K, C, D, 1e3 * y)[2]) <= large.errors  # all of it by the targets
    moved = C + r * np.outer(np.eye(4)[0], directions[0] / np.linalg.norm(directions[0]))
    fit = gaussian_process(ntkseq.grams.DenseGram(K, rounding=0.0), y, noise=NOISE)
    C2 = ntkseq.grams.DenseGram(moved, rounding=r, symmetric=False)
    for got, right in ((fit.variance(C2, D), cov.diagonal()), (fit.covariance(C2, D), cov), (fit.mean(C2), mean)):
        assert (np.abs(got.values - right) <= got.errors).all()


def test_several_targets_share_the_variance_and_add_their_evidence():
    x, xq, y = inputs()
    K, C = x @ x.T + np.eye(12), xq @ x.T
    fit, one = gaussian_process(K, np.stack([y, -2 * y], 1), noise=NOISE), gaussian_process(K, y, noise=NOISE)
    assert fit.mean(C).values.shape == fit.mean(C).errors.shape == (4, 2)
    two = gaussian_process(K, -2 * y, noise=NOISE).log_marginal_likelihood.values
    np.testing.assert_allclose(fit.log_marginal_likelihood.values, one.log_marginal_likelihood.values + two)


def test_what_is_not_known_is_said_and_what_does_not_fit_is_refused():
    x, xq, y = inputs()
    K, C = x @ x.T + np.eye(12), xq @ x.T
    with pytest.warns(PrecisionWarning):
        assert "unknown rounding" in gaussian_process(K.astype(np.float32), y, noise=1.0).estimated
    fit = gaussian_process(ntkseq.grams.DenseGram(K, rounding=1e-3, estimated="measured"), y, noise=1.0)
    assert fit.variance(C, np.ones(4)).estimated == "measured" and "log_marginal_likelihood" in repr(fit)
    for noise in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="noise must be"):
            gaussian_process(K, y, noise=noise)
    with pytest.raises(ValueError, match="K_query must be of the 4 queries"):
        fit.variance(C, np.ones(3))
    with pytest.raises(ValueError, match="looks transposed"):
        fit.mean(C.T)
    with pytest.raises(ValueError, match="K_cross must be finite"):
        fit.mean(C * np.nan)
