"""Tests of `ntkseq.studies.rnn_learning`."""

from __future__ import annotations

import math

import jax
import numpy as np
import pytest

from ntkseq import bounds, concepts, gram, kernels
from ntkseq.studies.rnn_learning import errors, exponent, kernel_fits, leading

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


def test_the_interval_of_the_norm_holds_that_of_the_float64_kernel():
    x, y, x_test, y_test = drawn(16)
    fit = kernel_fits(gram(KERNEL, x), gram(KERNEL, x_test, x), y, y_test, (16,))[0]
    with jax.enable_x64(True):
        exact = np.asarray(gram(KERNEL, np.asarray(x, np.float64)))
    value = y.astype(np.float64) @ np.linalg.solve(exact, y.astype(np.float64))
    assert fit.norm_squared.lower <= value <= fit.norm_squared.upper


def test_the_measured_norm_is_below_the_power_series_bound_and_the_error_below_the_risk_bound():
    x, y, x_test, y_test = drawn(64, 100)
    norm = bounds.rkhs_norm(TARGET, KERNEL, x).value
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


def test_one_example_is_enough_for_a_fit():
    x, y, x_test, y_test = drawn(1)
    fit = kernel_fits(gram(KERNEL, x), gram(KERNEL, x_test, x), y, y_test, (1,))[0]
    assert math.isclose(fit.norm_squared.estimate, float(y[0]) ** 2 / fit.trace, rel_tol=1e-6)


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


def test_the_exponent_is_that_of_a_power_law_and_its_interval_covers():
    sizes = [8, 16, 64]
    exact = exponent(sizes, [[3 * n**-0.7 for n in sizes]] * 2)
    assert math.isclose(exact.estimate, -0.7) and exact.resolved and exact.upper - exact.lower < 1e-12
    rng = np.random.default_rng(0)
    laws = -0.7 * np.log(sizes) + rng.normal(0, 0.3, (400, 3, 1)) + rng.normal(0, 0.3, (400, 3, 3)).cumsum(axis=2)
    found = [exponent(sizes, np.exp(one)) for one in laws]  # errors of one draw hang together
    assert abs(np.mean([one.lower <= -0.7 <= one.upper for one in found]) - 0.95) < 0.033  # 3 standard errors
    alone = exponent(sizes, np.exp(laws[0][:1]))
    assert math.isinf(alone.lower) and math.isinf(alone.upper) and not alone.resolved


@pytest.mark.parametrize(
    ("sizes", "values", "message"),
    [([8], [[1.0]], "two different"), ([8, 8], [[1.0, 1.0]], "two different"), ([8, 9], [[1.0, 0.0]], "must be > 0"),
     ([8, 9], [1.0, 2.0], "two different")],
)  # fmt: skip
def test_exponents_of_nothing_are_turned_away(sizes, values, message):
    with pytest.raises(ValueError, match=message):
        exponent(sizes, values)
