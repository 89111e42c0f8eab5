"""Is the divergence that of a dense computation, and is what is drawn what the divergence is of?"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import bounds
from ntkseq.bounds.network_posterior import NetworkPosterior, divergence, eigenrows, flattened, products
from ntkseq.empirical.function import function

X = np.random.default_rng(0).standard_normal((6, 3))


def f(params: Any, x: Any) -> Any:
    return (params["v"] @ jnp.tanh(params["W"] @ x))[None]


def params(seed: int = 0, dtype: Any = np.float32) -> Any:
    rng = np.random.default_rng(seed)
    return {
        "W": jnp.asarray(rng.standard_normal((5, 3)), dtype),
        "layers": jnp.asarray(3),  # no noise in a whole number
        "v": jnp.asarray(rng.standard_normal(5), dtype),
    }


def dense(w: Any, c: float, s: float, scale: np.ndarray | None = None) -> np.ndarray:
    """c D (I - J'(JJ' + s/c)^-1 J) D by matrices of p x p, in float64."""
    made = function(f, w)
    x = jnp.asarray(X, w["v"].dtype)
    one = lambda x: flattened(jax.grad(lambda v: made.outputs_at(v, (x,))[0])(made.weights))  # noqa: E731
    J = np.stack([np.asarray(one(x[i]), np.float64) for i in range(len(X))])
    d = np.ones(J.shape[1]) if scale is None else np.sqrt(scale)
    J = J * d
    inner = np.linalg.solve(J @ J.T + s / c * np.eye(len(J)), J)
    return c * d[:, None] * (np.eye(J.shape[1]) - J.T @ inner) * d


def gaussian_kl(C: np.ndarray, prior: np.ndarray, shift: np.ndarray) -> float:
    """KL(N(shift, C) || N(0, diag(prior)))."""
    return 0.5 * float(
        np.sum(np.diag(C) / prior)
        - len(prior)
        + np.sum(shift**2 / prior)
        + np.log(prior).sum()
        - np.linalg.slogdet(C)[1]
    )


def posterior(w: Any, c: float, s: float, root: Any = None) -> NetworkPosterior:
    made = function(f, w)
    dtype = made.weights[0].dtype
    root = jnp.ones(20, dtype) if root is None else root
    x = (jnp.asarray(X, dtype),)
    rows, spectrum = eigenrows(made, x, np.arange(6, dtype=np.int32), np.zeros(6, np.int32), root)
    shrink = np.asarray(jnp.asarray(1 - np.sqrt(s / (c * spectrum + s)), dtype), np.float64)
    return NetworkPosterior(made, rows, shrink, root * jnp.asarray(math.sqrt(c), dtype), c, s, spectrum)


@pytest.mark.slow(cases=["0.001", "0.1"])
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("s", [1e-3, 0.1, 5.0])
def test_the_divergence_is_that_of_a_dense_computation(s: float):
    w, c = params(dtype=np.float64), 0.2
    made = posterior(w, c, s)
    shift = np.random.default_rng(1).standard_normal(20)
    kl = divergence(*products(made.rows), made.shrink, float(shift @ shift) / (2 * c))
    assert not isinstance(kl, str)
    wanted = gaussian_kl(dense(w, c, s), np.full(20, c), shift)
    assert kl.value == pytest.approx(wanted, rel=1e-10) and kl.value >= wanted * (1 - 1e-13)
    values = c * made.spectrum
    assert kl.gain == pytest.approx(0.5 * np.log1p(values / s).sum(), rel=1e-9)
    assert 2 * kl.dimension == pytest.approx((values / (values + s)).sum(), rel=1e-9)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_the_divergence_with_scales_of_the_leaves_is_that_of_a_dense_computation():
    w0, w, c, s = params(0, np.float64), params(1, np.float64), 0.5, 0.3
    scales = {"W": 0.25, "layers": 1.0, "v": 4.0}
    said = bounds.network(
        f, w0, w, np.repeat(X, 40, 0), np.tile([1.0, -1.0], 120), key=jax.random.key(0), c=c, s=s, scales=(scales,),
        draws=20, trial=1, rows=240,
    )  # fmt: skip
    # 40 copies of an example are one with 40 times the kernel: s/40 of the six
    scale = np.concatenate([np.full(15, 0.25), np.full(5, 4.0)])
    shift = np.concatenate([np.asarray(w[name] - w0[name]).ravel() for name in ("W", "v")])
    wanted = gaussian_kl(dense(w, c, s / 40, scale), c * scale, shift)
    assert said.constants.kl == pytest.approx(wanted, rel=1e-9)


def test_the_divergence_is_that_of_the_covariance_as_it_is_drawn_whatever_the_rows_are():
    w, c, s = params(), 0.2, 0.05
    made = posterior(w, c, s)
    for spoilt in (1.0, 0.9, 1.01):  # rows that are far from orthonormal
        rows = np.asarray(made.rows, np.float64) * spoilt
        rows[0] += 0.1 * rows[1]
        rows = np.asarray(rows, np.float32)
        kl = divergence(*products(jnp.asarray(rows)), made.shrink, 0.0)
        assert not isinstance(kl, str)
        R = rows.astype(np.float64)
        A = np.eye(20) - R.T @ (made.shrink[:, None] * R)
        wanted = gaussian_kl(A @ A.T, np.ones(20), np.zeros(20))
        assert wanted * (1 - 1e-12) <= kl.value <= wanted + 1e-7


def test_a_covariance_that_may_be_singular_has_no_divergence():
    kl = divergence(np.eye(2), 1e-12, np.array([1.0, 0.5]), 0.0)
    assert isinstance(kl, str) and "larger s" in kl


@pytest.mark.slow
def test_draws_have_the_covariance_of_the_posterior():
    w, c, s = params(), 0.3, 0.1
    scale = np.concatenate([np.full(15, 0.5), np.full(5, 2.0)])
    made = posterior(w, c, s, jnp.asarray(np.sqrt(scale), jnp.float32))
    drawn = jax.vmap(made.draw)(jax.random.split(jax.random.key(0), 20_000))
    flat = np.concatenate([np.asarray(drawn[name]).reshape(20_000, -1) for name in ("W", "v")], axis=1)
    mean = np.concatenate([np.asarray(w[name]).ravel() for name in ("W", "v")])
    C, spread = dense(w, c, s, scale), np.sqrt(c * scale)
    assert np.abs(flat.mean(0) - mean).max() < 5 * spread.max() / math.sqrt(20_000)
    off = np.abs(np.cov(flat.T) - C) / np.outer(spread, spread)
    assert off.max() < 6 * math.sqrt(2 / 20_000)
    assert np.abs(np.diag(C) / (c * scale) - 1).max() > 0.3  # and not that of the prior


def test_a_draw_is_a_tree_like_w_and_depends_on_the_key_alone():
    w = params()
    made = posterior(w, 0.2, 0.1)
    one, two, same = (made.draw(jax.random.key(i)) for i in (1, 2, 1))
    assert jax.tree.structure(one) == jax.tree.structure(w) and int(one["layers"]) == 3
    assert np.array_equal(one["W"], same["W"]) and not np.array_equal(one["W"], two["W"])
    assert np.array_equal(made.mean["W"], w["W"])
    with pytest.raises(ValueError, match="key"):
        made.draw(np.zeros(2))
