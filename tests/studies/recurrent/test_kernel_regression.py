"""Tests of `ntkseq.studies.recurrent.kernel_regression`."""

from __future__ import annotations

import math

import jax
import numpy as np
import pytest

from ntkseq import concepts, gram, kernels, norms
from ntkseq.studies.recurrent.kernel_regression import KernelRegression, errors, kernel_fits, leading

KERNEL = kernels.Recurrent.preset("allen-zhu-li")
TARGET = concepts.Additive([(2, [0.6, 0.8, 0.0], "sin"), (1, [0.0, 1.0, 0.0], concepts.series.polynomial([0, 1]))])


def drawn(n: int, m: int = 40, seed: int = 0):
    one = concepts.sample(TARGET, n + m, 4, 3, key=jax.random.key(seed), eps_x=1.0)
    x, y = one.x, np.asarray(one.y)
    return x[:n], y[:n], x[n:], y[n:]


def test_errors_are_the_clipped_mean_with_its_intervals():
    f, y = np.array([0.0, 3.0, 0.5, 0.25]), np.array([0.1, 0.0, 0.5, 0.0])
    found = errors(f, y)
    assert math.isclose(found.mean, (0.1 + 1.0 + 0.0 + 0.25) / 4)
    assert found.lower < found.mean < found.upper <= found.ceiling <= 1.0
    two = errors(np.stack([f, f], 1), np.stack([y, y + 0.1], 1))
    assert math.isclose(two.mean, (0.1 + 1.0 + 0.0 + 0.25 + 0.2 + 1.0 + 0.1 + 0.15) / 8)


def test_the_ceiling_of_the_errors_covers_a_rare_large_loss():
    # loss 1 with probability 0.02: Student's interval of 100 points misses it where none was seen, the ceiling does not
    rng = np.random.default_rng(0)
    law = [errors((rng.random(100) < 0.02).astype(float), np.zeros(100)) for _ in range(400)]
    assert np.mean([one.ceiling >= 0.02 for one in law]) >= 0.95
    assert np.mean([one.upper >= 0.02 for one in law]) < 0.9


def test_one_point_leaves_everything_open():
    assert errors(np.zeros(1), np.zeros(1)).ceiling == 1.0


@pytest.mark.slow
def test_kernel_fits_are_those_of_plain_linear_algebra():
    x, y, x_test, y_test = drawn(16)
    K, cross = gram(KERNEL, x), gram(KERNEL, x_test, x)
    for fit in kernel_fits(K, cross, y, y_test, (5, 16), kappa=math.sqrt(3)):
        part, labels = np.asarray(K, np.float64)[: fit.n, : fit.n], y[: fit.n].astype(np.float64)
        f = np.asarray(cross, np.float64)[:, : fit.n] @ np.linalg.solve(part, labels)
        np.testing.assert_allclose(fit.predicted, f, atol=1e-8)
        exact = labels @ np.linalg.solve(part, labels)
        assert fit.norm_squared.lower < exact < fit.norm_squared.upper and fit.norm_squared.finite
        np.testing.assert_allclose(fit.norm_squared.estimate, exact, rtol=1e-9)
        assert fit.reg == 0 and fit.reason == "" and math.isclose(fit.trace, np.trace(part), rel_tol=1e-12)
        assert fit.bound.certified


@pytest.mark.slow
def test_the_interval_of_the_norm_holds_that_of_the_float64_kernel():
    x, y, x_test, y_test = drawn(16)
    fit = kernel_fits(gram(KERNEL, x), gram(KERNEL, x_test, x), y, y_test, (16,))[0]
    with jax.enable_x64(True):
        exact = np.asarray(gram(KERNEL, np.asarray(x, np.float64)))
    value = y.astype(np.float64) @ np.linalg.solve(exact, y.astype(np.float64))
    assert fit.norm_squared.lower <= value <= fit.norm_squared.upper


@pytest.mark.slow
def test_the_measured_norm_is_below_the_power_series_bound_and_the_error_below_the_risk_bound():
    x, y, x_test, y_test = drawn(64, 100)
    norm = norms.rkhs_norm(TARGET, KERNEL, x).value
    assert norm is not None
    fits = kernel_fits(gram(KERNEL, x), gram(KERNEL, x_test, x), y, y_test, (8, 32, 64), kappa=math.sqrt(3))
    assert [fit.violates(norm) for fit in fits] == [False] * 3
    assert all(fit.violates(0.5 * fit.norm_squared.lower) for fit in fits)
    assert all((fit.bound.value or 0.0) > fit.errors.ceiling for fit in fits)
    assert fits[-1].errors.mean < 0.5 * fits[0].errors.mean


@pytest.mark.slow
def test_duplicates_are_said_and_do_not_crash():
    x, y, x_test, y_test = drawn(8)
    x, y = np.concatenate([x, x[:3]]), np.concatenate([y, y[:3]])
    whole, twice = kernel_fits(gram(KERNEL, x), gram(KERNEL, x_test, x), y, y_test, (8, 11))
    assert whole.reg == 0 and twice.reg > 0 and "not told from zero" in twice.reason
    assert not twice.norm_squared.finite and math.isinf(twice.norm_squared.upper)
    assert abs(whole.errors.mean - twice.errors.mean) < 1e-3  # consistent duplicates tell nothing new
    assert twice.norm_squared.lower <= whole.norm_squared.upper


@pytest.mark.slow
def test_one_example_is_enough_for_a_fit():
    x, y, x_test, y_test = drawn(1)
    fit = kernel_fits(gram(KERNEL, x), gram(KERNEL, x_test, x), y, y_test, (1,))[0]
    assert math.isclose(fit.norm_squared.estimate, float(y[0]) ** 2 / fit.trace, rel_tol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("n", [0, 9])
def test_sizes_beyond_the_examples_are_turned_away(n: int):
    x, y, x_test, y_test = drawn(8)
    with pytest.raises(ValueError, match="sizes must be"):
        kernel_fits(gram(KERNEL, x), gram(KERNEL, x_test, x), y, y_test, (n,))


@pytest.mark.slow
def test_the_leading_part_has_a_rounding_of_its_own_which_holds():
    x = drawn(24)[0]
    K = gram(KERNEL, x)
    part = leading(K, 6)
    with jax.enable_x64(True):
        exact = np.asarray(gram(KERNEL, np.asarray(x, np.float64)[:6]))
    assert float(part.rounding) < 0.5 * float(K.rounding)
    assert np.linalg.norm(np.asarray(part, np.float64) - exact, 2) <= float(part.rounding)


TARGETS = [concepts.NVariable((1, 2), np.eye(2, 3) * s, name) for s, name in ((1.0, "sin"), (0.5, "exp"))]


@pytest.mark.slow
def test_many_targets_get_from_one_factor_what_linear_algebra_gives_each():
    x = concepts.sample(TARGETS[0], 60, 4, 3, key=jax.random.key(0), eps_x=1.0).x
    K, cross = gram(KERNEL, x[:20]), gram(KERNEL, x[20:], x[:20])
    for n in (1, 7, 20):
        machine, matrix = KernelRegression(K, cross, n), np.asarray(K, np.float64)[:n, :n]
        for f in TARGETS:
            y = np.asarray(jax.vmap(f)(x))
            labels, fit = y[:n].astype(np.float64), machine.fit(y[:20], y[20:])
            dual = np.linalg.solve(matrix, labels)
            np.testing.assert_allclose(fit.predicted, np.asarray(cross, np.float64)[:, :n] @ dual, rtol=1e-6, atol=1e-9)
            assert fit.errors == errors(fit.predicted, y[20:]) and fit.n == n and fit.reg == 0
            assert fit.norm_squared.lower < labels @ dual < fit.norm_squared.upper
            np.testing.assert_allclose(fit.norm_squared.estimate, labels @ dual, rtol=1e-9)
            (alone,) = kernel_fits(K, cross, y[:20], y[20:], (n,))
            assert (alone.errors, alone.trace) == (fit.errors, fit.trace)
            for end in ("lower", "estimate", "upper"):
                assert getattr(alone.norm_squared, end) == getattr(fit.norm_squared, end)
            # labels that move by off in all move the root of y'K^-1 y by sqrt(n / least eigenvalue) at most
            reach = np.sqrt(n / np.linalg.eigvalsh(matrix)[0])
            assert reach <= fit.moved < 1.01 * reach
            for limit in (0.5 * fit.norm_squared.lower, 2 * fit.norm_squared.upper):
                flags = [fit.violates(limit, label_error=off) for off in np.geomspace(1e-6, 10, 300).tolist()]
                assert flags[0] == (limit < fit.norm_squared.lower) and not flags[-1]


@pytest.mark.slow
def test_duplicates_among_many_targets_are_said_and_do_not_crash():
    x = concepts.sample(TARGETS[0], 12, 4, 3, key=jax.random.key(0), eps_x=1.0).x
    twice = np.concatenate([x[:6], x[:2]])
    machine = KernelRegression(gram(KERNEL, twice), gram(KERNEL, x[6:], twice), 8)
    assert machine.reg > 0 and "not told from zero" in machine.reason
    y = np.asarray(jax.vmap(TARGETS[0])(twice))
    fit = machine.fit(y, np.asarray(jax.vmap(TARGETS[0])(x[6:])))
    assert not fit.norm_squared.finite and np.isinf(fit.norm_squared.upper) and fit.errors.mean < 1
