"""Are gain and slope of the relu family right to the last digits, and are their derivatives?"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.kernels.chordal import rectified, second_moment

FAMILY = ((1.0, 0.0), (1.0, -1.0), (0.7, 1.3))
GRID = np.concatenate(
    [10.0 ** np.linspace(-30, -1, 200), np.linspace(0.1, 0.9, 200), 1 - 10.0 ** np.linspace(-1, -6, 50)]
)


def reference(m: np.ndarray, positive: float, negative: float) -> tuple[np.ndarray, np.ndarray]:
    """numerics.1 and numerics.2 in long double, from whichever end is near: theta = 0 or theta = pi."""
    m = m.astype(np.longdouble)
    far, near = m > 0.5, np.minimum(m, 1 - m)
    pi = 4 * np.arctan(np.longdouble(1))
    theta = 2 * np.arctan2(np.sqrt(near), np.sqrt(1 - near))
    # sin th - th cos th cancels at small th: its series
    series = sum((-1) ** (k + 1) * theta ** (2 * k + 1) * 2 * k / math.factorial(2 * k + 1) for k in range(1, 12))
    arc = np.where(theta < 0.5, series, np.sin(theta) - theta * np.cos(theta))
    across, both = np.longdouble(positive - negative) ** 2, np.longdouble(positive) * negative
    moment = (np.longdouble(positive) ** 2 + np.longdouble(negative) ** 2) / 2
    # sin(pi - th) - (pi - th) cos(pi - th) = pi cos th + (sin th - th cos th)
    gain = np.where(far, across / 4 + both - both * near, across * near / 2 + both * near) - across * arc / (4 * pi)
    slope = across * np.where(far, theta, pi - theta) / (2 * pi) + both
    return (gain / moment).astype(float), (slope / moment).astype(float)


@pytest.mark.slow(cases=["slopes0-float32", "slopes0-float64", "slopes1-float32", "slopes1-float64", "slopes2-float64"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("slopes", FAMILY)
def test_gain_and_slope_are_right_to_a_few_roundings_however_small_the_chord(slopes, dtype, x64) -> None:
    m = GRID.astype(dtype)
    gain, slope = rectified(jnp.asarray(m), *slopes)
    assert gain.dtype == slope.dtype == dtype
    want_gain, want_slope = reference(m, *slopes)
    eps = np.finfo(dtype).eps
    assert np.max(np.abs(np.asarray(gain, float) - want_gain) / want_gain) < 8 * eps  # relative, 5 observed
    assert np.max(np.abs(np.asarray(slope, float) - want_slope)) < 4 * eps


@pytest.mark.parametrize("slopes", FAMILY)
def test_a_chord_out_of_range_by_rounding_is_clipped(slopes) -> None:
    m = jnp.asarray([-1e-7, 0.0, 1.0, 1 + 2e-7], jnp.float32)
    gain, slope = rectified(m, *slopes)
    assert np.isfinite(gain).all() and np.isfinite(slope).all()
    np.testing.assert_allclose(gain[0], gain[1], atol=1e-6)
    np.testing.assert_allclose(gain[2], gain[3], atol=1e-6)
    assert float(slope[0]) == float(slope[1]) and float(slope[2]) == float(slope[3])


@pytest.mark.slow(cases=["slopes0", "slopes1"])
@pytest.mark.parametrize("slopes", FAMILY)
def test_the_derivative_of_the_gain_is_the_slope(slopes, x64) -> None:
    m = jnp.asarray(np.linspace(0, 1, 101))
    _, dgain = jax.jvp(lambda m: rectified(m, *slopes)[0], (m,), (jnp.ones_like(m),))
    np.testing.assert_array_equal(dgain, rectified(m, *slopes)[1])
    h = 1e-6
    inner = m[5:-5]
    np.testing.assert_allclose(
        dgain[5:-5],
        (rectified(inner + h, *slopes)[0] - rectified(inner - h, *slopes)[0]) / (2 * h),
        rtol=1e-7,
        atol=1e-9,
    )


@pytest.mark.slow
@pytest.mark.parametrize("slopes", FAMILY)
def test_the_derivative_of_the_slope_is_right_inside_and_zero_at_both_ends(slopes, x64) -> None:
    bend = jax.vmap(jax.grad(lambda m: rectified(m, *slopes)[1]))
    m, h = np.linspace(0.05, 0.95, 37), 1e-6
    np.testing.assert_allclose(
        bend(m),
        (rectified(jnp.asarray(m + h), *slopes)[1] - rectified(jnp.asarray(m - h), *slopes)[1]) / (2 * h),
        rtol=1e-6,
    )
    np.testing.assert_array_equal(bend(jnp.asarray([0.0, 1.0, -1e-17, 1 + 1e-15])), 0)


def test_slopes_that_are_traced_give_what_fixed_ones_give(x64) -> None:
    m = jnp.asarray(np.linspace(0, 1, 33))
    for positive, negative in FAMILY:
        traced = jax.jit(rectified)(m, positive, negative)
        for one, two in zip(traced, rectified(m, positive, negative), strict=True):
            np.testing.assert_allclose(one, two, rtol=0, atol=1e-15)


@pytest.mark.slow
@pytest.mark.parametrize("which", [0, 1])
def test_derivatives_in_the_slopes_of_the_activation_agree_with_differences(which, x64) -> None:
    m = jnp.asarray([0.0, 1e-9, 0.2, 0.7, 1.0])
    at, h = np.array([0.9, -0.3]), 1e-6
    step = h * np.eye(2)[which]
    f = lambda s: jnp.stack(rectified(m, s[0], s[1]))  # noqa: E731
    _, got = jax.jvp(f, (jnp.asarray(at),), (jnp.asarray(step / h),))
    np.testing.assert_allclose(got, (f(jnp.asarray(at + step)) - f(jnp.asarray(at - step))) / (2 * h), atol=1e-9)


@pytest.mark.slow
def test_second_derivatives_are_finite_at_both_ends() -> None:
    twice = jax.grad(jax.grad(lambda m: sum(rectified(m, 1.0, 0.0))))
    for m in (0.0, 1e-30, 0.5, 1.0 - 1e-7, 1.0):
        assert np.isfinite(twice(jnp.float32(m)))


@pytest.mark.parametrize("slopes", FAMILY)
def test_the_second_moment_is_that_of_samples(slopes) -> None:
    z = np.random.default_rng(0).standard_normal(400_000)
    sampled = np.mean(np.where(z > 0, slopes[0] * z, slopes[1] * z) ** 2)
    assert float(second_moment(*slopes)) == pytest.approx(sampled, rel=0.02)
