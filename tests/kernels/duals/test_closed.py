"""Are the Gaussian expectations of the activations right, from tiny variances to huge ones?"""

from __future__ import annotations

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import activations
from ntkseq.kernels import chordal, duals
from ntkseq.kernels.duals import closed
from tests import oracles

GOLDEN = json.loads((pathlib.Path(__file__).parents[1] / "golden.json").read_text())["duals"]
SMOOTH = ("identity", "erf", "sin", "cos", "gelu")
CLOSED = {
    "identity": (closed.IdentityDual(), oracles.identity()),
    "erf": (closed.ErfDual(1.3), oracles.erf(1.3)),
    "sin": (closed.SineDual(), oracles.sine()),
    "cos": (closed.SineDual(1.0, np.pi / 2), oracles.sine(1.0, np.pi / 2)),
    "sine of any phase": (closed.SineDual(0.8, 0.7), oracles.sine(0.8, 0.7)),
    "gelu": (closed.GeluDual(), oracles.gelu()),
}
each = pytest.mark.parametrize("name", CLOSED)


def draws(n: int = 300, low: float = -2, high: float = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Covariances, variances: 10^low to 10^high, correlations in (-1, 1) and some at the edge."""
    rng = np.random.default_rng(5)
    p, q = 10.0 ** rng.uniform(low, high, (2, n))
    rho = rng.uniform(-1, 1, n)
    rho[::7] = np.sign(rho[::7]) * (1 - 10.0 ** rng.uniform(-6, -2, rho[::7].size))
    return rho * np.sqrt(p * q), p, q


def evaluate(d: duals.Dual, c: np.ndarray, p: np.ndarray, q: np.ndarray, dtype=np.float64):
    c, p, q = (jnp.asarray(a, dtype) for a in (c, p, q))
    return tuple(np.asarray(a, np.float64) for a in d.pair(c, d.moments(p), d.moments(q)))


@pytest.mark.slow(but=["cos", "gelu"])
@pytest.mark.parametrize("row", GOLDEN["rows"], ids=lambda row: row["activation"])
def test_golden_dual(row, x64) -> None:
    c, p, q = (jnp.asarray(GOLDEN["arguments"][k]) for k in "cpq")
    if row["activation"] == "relu":
        root = jnp.sqrt(p * q)
        gain, slope = chordal.rectified((1 - c / root) / 2, 1.0, 0.0)
        moment = chordal.second_moment(1.0, 0.0)  # gain and slope come in units of it
        value, slope = root * moment * (1 - 2 * gain), moment * slope
    else:
        d = duals.get(activations.get(row["activation"]))
        value, slope = d.pair(c, d.moments(p), d.moments(q))
    np.testing.assert_allclose(value, row["values"], rtol=row["tolerance"])
    np.testing.assert_allclose(slope, row["slopes"], rtol=row["tolerance"])


@pytest.mark.slow(cases=["erf", "sin"])
@each
def test_value_and_slope_are_those_of_the_textbook(name, x64) -> None:
    d, textbook = CLOSED[name]
    c, p, q = draws()
    got, want = evaluate(d, c, p, q), textbook(c, p, q, np.zeros(c.shape, bool))
    scale = np.sqrt(np.asarray(d.second(jnp.asarray(p)) * d.second(jnp.asarray(q))))
    assert np.max(np.abs(got[0] - want[0]) / scale) < 1e-12
    np.testing.assert_allclose(got[1], want[1], rtol=1e-11, atol=1e-13)


@pytest.mark.slow(cases=["erf", "sin"])
@each
def test_the_second_moment_is_the_value_of_a_variable_with_itself(name, x64) -> None:
    d, _ = CLOSED[name]
    p = jnp.asarray(10.0 ** np.linspace(-12, 3, 60))
    np.testing.assert_allclose(d.second(p), d.pair(p, d.moments(p), d.moments(p))[0], rtol=1e-13)


@pytest.mark.slow(but=["identity", "sine of any phase"])
@each
def test_the_slope_is_the_derivative_of_the_value_in_the_covariance(name, x64) -> None:
    d, _ = CLOSED[name]
    c, p, q = map(jnp.asarray, draws(60))
    value = lambda c: d.pair(c, d.moments(p), d.moments(q))[0]  # noqa: E731
    _, got = jax.jvp(value, (c,), (jnp.ones_like(c),))
    np.testing.assert_allclose(got, d.pair(c, d.moments(p), d.moments(q))[1], rtol=1e-9, atol=1e-12)


@each
def test_derivatives_in_the_variance_agree_with_differences(name, x64) -> None:
    d, _ = CLOSED[name]
    c, p, q = map(jnp.asarray, draws(60, low=-1))
    c = 0.95 * c
    pair = lambda p: jnp.stack(d.pair(c, d.moments(p), d.moments(q)))  # noqa: E731
    _, got = jax.jvp(pair, (p,), (p,))  # relative steps
    h = 1e-5
    np.testing.assert_allclose(got, (pair(p * (1 + h)) - pair(p * (1 - h))) / (2 * h), rtol=1e-6, atol=1e-8)


@pytest.mark.slow(cases=["cos", "erf", "gelu", "sin"])
@each
def test_single_precision_holds_at_tiny_variances(name, x64) -> None:
    """sin once came as the difference of two exponentials near 1: no digit was right at a variance of 1e-8."""
    d, textbook = CLOSED[name]
    c, p, q = (a.astype(np.float32) for a in draws(low=-10, high=-5))
    wide = [a.astype(np.longdouble) for a in (c, p, q)]
    got = evaluate(jax.tree.map(np.float32, d), c, p, q, np.float32)
    want = textbook(*wide, np.zeros(c.shape, bool))
    seconds = [textbook(v, v, v, np.ones(v.shape, bool))[0] for v in wide[1:]]
    assert np.max(np.abs(got[0] - want[0]) / np.sqrt(seconds[0] * seconds[1])) < 6 * np.finfo(np.float32).eps
    np.testing.assert_allclose(got[1], want[1].astype(float), atol=6 * np.finfo(np.float32).eps)


@pytest.mark.slow(but=["identity"])
@each
def test_derivatives_are_finite_at_zero_and_at_coinciding_variables(name) -> None:
    d, _ = CLOSED[name]
    d = jax.tree.map(jnp.float32, d)
    total = lambda c, p, q: sum(map(jnp.sum, d.pair(c, d.moments(p), d.moments(q))))  # noqa: E731
    p = jnp.asarray([0.0, 1e-20, 1.0, 1e6], jnp.float32)
    for order in (jax.grad, jax.hessian):
        for leaf in jax.tree.leaves(jax.jit(order(total, argnums=(0, 1, 2)))(p, p, p)):
            assert np.isfinite(leaf).all()


@pytest.mark.slow
def test_erf_keeps_its_derivative_at_large_variance(x64) -> None:
    p = jnp.asarray(1e16)
    d = closed.ErfDual()
    slope = jax.grad(lambda c: d.pair(c, d.moments(p), d.moments(p))[0])(0.5 * p)
    assert float(slope) == pytest.approx(2 / np.pi / (np.sqrt(0.75) * 1e16), rel=1e-6)  # of (2/pi) asin(c / p)


def test_each_smooth_activation_has_its_dual_and_relu_has_none_here() -> None:
    for name in SMOOTH:
        assert isinstance(duals.get(activations.get(name)), duals.Dual)
    with pytest.raises(ValueError, match="no dual is known for Rectifier"):
        duals.get(activations.get("relu"))


@pytest.mark.slow(but=["identity", "sine of any phase"])
@pytest.mark.parametrize("name", CLOSED)
def test_single_precision_keeps_its_digits_at_every_variance(name: str, x64) -> None:
    """Relative to the diagonals: gelu's slope had lost as many digits as the standard deviation has."""
    rng = np.random.default_rng(0)
    p, q = (10.0 ** rng.uniform(-6, 8, (2, 400))).astype(np.float32).astype(np.float64)
    rho = rng.uniform(-0.9, 0.9, 400)
    c = (rho * np.sqrt(p * q)).astype(np.float32).astype(np.float64)
    p[:100] = q[:100] = c[:100] = (rng.integers(1, 2**11, 100) * 2.0 ** rng.integers(-20, 4, 100)) ** 2  # exact roots
    dual = closed.ErfDual() if name == "erf" else CLOSED[name][0]  # another frequency would round the roots
    if isinstance(dual, closed.SineDual):  # beyond, exp takes the rounding of its argument
        p, q, c = (a[np.maximum(p, q) < 10] for a in (p, q, c))
    scales = [np.sqrt(a * b) for a, b in zip(evaluate(dual, p, p, p), evaluate(dual, q, q, q), strict=True)]
    for want, got, scale in zip(evaluate(dual, c, p, q), evaluate(dual, c, p, q, np.float32), scales, strict=True):
        assert np.max(np.abs(got - want) / scale) < 16 * np.finfo(np.float32).eps
