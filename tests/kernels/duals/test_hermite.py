"""Is the Hermite series' certified error honest, and is the series exact where it says so?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.kernels.duals.hermite import HermiteDual
from tests import oracles


def bump(z: Any) -> Any:
    """A function of the user's own: odd, with wiggles."""
    return z * jnp.exp(-z * z / 4) if isinstance(z, jax.Array) else z * np.exp(-z * z / 4)


def bump_slope(z: np.ndarray) -> np.ndarray:
    return (1 - z * z / 2) * np.exp(-z * z / 4)


FUNCTIONS: dict[str, tuple[Callable[..., Any], str, oracles.Dual]] = {
    "tanh": (jnp.tanh, "odd", oracles.DUALS["tanh"]),
    "sigmoid": (jax.nn.sigmoid, "none", oracles.DUALS["sigmoid"]),
    "softplus": (jax.nn.softplus, "none", oracles.DUALS["softplus"]),
    "bump": (bump, "odd", oracles.quadrature(bump, bump_slope)),
}
SLOW = ("sigmoid", "softplus")
each = pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in FUNCTIONS])


def draws(n: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    p, q = 10.0 ** rng.uniform(-2, 0.5, (2, n))
    rho = rng.uniform(-1, 1, n)
    rho[::4] = np.sign(rho[::4]) * (1 - 10.0 ** rng.uniform(-3, -1, rho[::4].size))
    return rho * np.sqrt(p * q), p, q


@pytest.mark.slow
@each
def test_the_certified_error_is_honest_and_not_idle(name, x64) -> None:
    function, parity, textbook = FUNCTIONS[name]
    c, p, q = draws()
    want = textbook(c, p, q, np.zeros(c.shape, bool))
    ratios = []
    for terms in (6, 13, 24):
        d = HermiteDual(function, terms, parity)
        left, right = d.moments(jnp.asarray(p)), d.moments(jnp.asarray(q))
        got, bound = d.pair(jnp.asarray(c), left, right), d.error(jnp.asarray(c), left, right)
        for value, true, most in zip(got, want, bound, strict=True):
            error = np.abs(np.asarray(value) - true)
            assert np.all(error <= np.asarray(most) + 1e-9)  # 1e-9: the quadrature's own error, at rho near 1
            big = np.asarray(most) > 1e-6
            ratios += list(error[big] / np.asarray(most)[big])
    assert max(ratios) > 0.005  # 0.4 of the bound happens for tanh; 0.01 for sigmoid, whose lumped term has no parity


@pytest.mark.slow
@each
def test_the_slope_is_the_derivative_in_the_covariance_up_to_its_certified_error(name, x64) -> None:
    function, parity, _ = FUNCTIONS[name]
    d = HermiteDual(function, 48, parity)
    c, p, q = map(jnp.asarray, draws())
    c = 0.8 * c
    left, right = d.moments(p), d.moments(q)
    _, slope = jax.jvp(lambda c: d.pair(c, left, right)[0], (c,), (jnp.ones_like(c),))
    np.testing.assert_allclose(slope, d.pair(c, left, right)[1], atol=1e-5, rtol=1e-4)


@pytest.mark.slow(but=["bump"])
@each
def test_a_variable_with_itself_is_exact_with_any_number_of_terms(name, x64) -> None:
    function, parity, _ = FUNCTIONS[name]
    p = jnp.asarray([1e-12, 0.1, 1.0, 9.0])
    z = np.linspace(-12, 12, 4001)
    weight = np.exp(-z * z / 2) / np.exp(-z * z / 2).sum()
    want = [np.sum(weight * np.asarray(function(jnp.asarray(np.sqrt(v) * z))) ** 2) for v in p]
    for terms in (1, 64):
        d = HermiteDual(function, terms, parity)
        m = d.moments(p)
        np.testing.assert_allclose(d.pair(p, m, m)[0], want, rtol=1e-10)
        np.testing.assert_allclose(d.second(p), want, rtol=1e-10)


@pytest.mark.slow
def test_tanh_converges_as_the_theory_lists(x64) -> None:
    p, c = jnp.asarray(2.0), jnp.asarray(1.99)
    value = {}
    for terms in (32, 64, 128):
        d = HermiteDual(jnp.tanh, terms, "none")
        value[terms] = float(d.pair(c, d.moments(p), d.moments(p))[0])
    want, _ = oracles.DUALS["tanh"](np.float64(1.99), np.float64(2), np.float64(2), np.array(False))
    # plain truncation errs by 5.3e-6 and 2.6e-8; the lumped remainder takes most of it away
    assert abs(value[32] - want) < 5.3e-6 and abs(value[64] - want) < 2.6e-8 and abs(value[128] - want) < 1e-11


@pytest.mark.slow
def test_an_odd_function_has_an_odd_dual_and_an_even_one_an_even_dual(x64) -> None:
    c, p, q = map(jnp.asarray, draws())
    for function, parity, sign in ((jnp.tanh, "odd", -1), (jnp.cos, "even", 1)):
        d = HermiteDual(function, 9, parity)
        left, right = d.moments(p), d.moments(q)
        np.testing.assert_allclose(d.pair(-c, left, right)[0], sign * d.pair(c, left, right)[0], atol=1e-13)
        np.testing.assert_allclose(d.pair(-c, left, right)[1], -sign * d.pair(c, left, right)[1], atol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bump", "sigmoid"])
def test_the_matrix_of_values_is_positive_semidefinite_even_with_few_terms(name, x64) -> None:
    function, parity, _ = FUNCTIONS[name]
    u = np.random.default_rng(0).standard_normal((20, 4)) / 2
    c = jnp.asarray(u @ u.T)
    d = HermiteDual(function, 4, parity)
    m = d.moments(jnp.diagonal(c))
    values = d.pair(c, jax.tree.map(lambda a: a[:, None], m), jax.tree.map(lambda a: a[None], m))
    for matrix in values:
        assert np.linalg.eigvalsh(np.asarray(matrix))[0] > -1e-13 * np.trace(matrix)


@pytest.mark.slow
@each
def test_single_precision_agrees_with_double(name, x64) -> None:
    function, parity, _ = FUNCTIONS[name]
    d = HermiteDual(function, 64, parity)
    c, p, q = (a.astype(np.float32) for a in draws(400))
    results = []
    for dtype in (np.float32, np.float64):
        one = [jnp.asarray(a, dtype) for a in (c, p, q)]
        pair = d.pair(one[0], d.moments(one[1]), d.moments(one[2]))
        results.append([np.asarray(a, float) for a in (*pair, d.second(one[1]), d.second(one[2]))])
    (k, s, _, _), (want, slope, p2, q2) = results
    assert np.max(np.abs(k - want) / np.sqrt(p2 * q2)) < 32 * np.finfo(np.float32).eps  # 8 observed
    assert np.max(np.abs(s - slope)) < 64 * np.finfo(np.float32).eps


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_a_small_variance_and_a_large_one_of_nearly_one_direction_keep_their_digits(name) -> None:
    """The tail of the small one was a difference of equal numbers: its root, sqrt(eps), met the large one's tail."""
    d = HermiteDual(FUNCTIONS[name][0], 64, FUNCTIONS[name][1])
    p = np.repeat(np.float32(10.0) ** np.linspace(-4, 3, 15, dtype=np.float32), 15)
    q = np.tile(p[::15], 15)
    c, results = np.float32(0.9995) * np.sqrt(p * q), []
    for wide in (False, True):
        with jax.enable_x64(wide):
            one = [jnp.asarray(a, np.float64 if wide else np.float32) for a in (c, p, q)]
            left, right = d.moments(one[1]), d.moments(one[2])
            own = [d.pair(one[1], left, left), d.pair(one[2], right, right)]
            results.append([np.asarray(a, float) for a in (*d.pair(one[0], left, right), *own[0], *own[1])])
    (k, s, *_), (want, slope, k1, s1, k2, s2) = results
    assert np.max(np.abs(k - want) / np.sqrt(k1 * k2)) < 64 * np.finfo(np.float32).eps
    assert np.max(np.abs(s - slope) / np.sqrt(s1 * s2)) < 256 * np.finfo(np.float32).eps


@pytest.mark.slow
def test_variances_whose_product_underflows_keep_their_correlation(x64) -> None:
    """p q = 1e-40 is zero in single precision; the correlation, and with it the whole kernel, once became zero."""
    d = HermiteDual(jnp.tanh, 16, "odd")
    p, c = jnp.float32(1e-20), jnp.float32(0.5e-20)
    value, slope = d.pair(c, d.moments(p), d.moments(p))
    assert float(value) == pytest.approx(0.5e-20, rel=1e-5)
    assert float(slope) == pytest.approx(1.0, rel=1e-5)


@pytest.mark.slow
def test_derivatives_are_finite_at_zero_variance_and_at_the_edge() -> None:
    d = HermiteDual(jnp.tanh, 16, "odd")

    def total(c: jax.Array, p: jax.Array, q: jax.Array) -> jax.Array:
        return sum(map(jnp.sum, d.pair(c, d.moments(p), d.moments(q))), jnp.zeros(()))

    p = jnp.asarray([0.0, 1e-6, 1.0])
    for leaf in jax.jit(jax.grad(total, argnums=(0, 1, 2)))(p, p, p):
        assert np.isfinite(leaf).all()
