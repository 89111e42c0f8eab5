"""Does a gradient depend on its example alone, bit for bit, and is the rounding of inner products bounded?"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import empirical, models
from ntkseq.empirical.function import function
from ntkseq.empirical.gradients import features, products, repeats

X = np.random.default_rng(0).standard_normal((9, 5, 3)).astype(np.float32)
NET = models.Recurrent(width=40)
PARAMS = NET.init(jax.random.key(0), X[0])


def test_a_gradient_is_the_same_to_the_last_bit_in_whatever_company():
    f = function(NET.apply, PARAMS)
    values, rows = features(f, f.inputs(X))
    for some in ([3], [8, 3, 0], [3] * 4):
        v, r = features(f, f.inputs(X[some]))
        assert np.array_equal(v, values[some]) and np.array_equal(r, rows[some])
    assert repeats(f, f.inputs(X), values, rows) == ""


@pytest.mark.slow
def test_they_are_the_derivatives_in_weights_over_the_roots_of_their_rates():
    net = lambda params, x: jnp.tanh(params["W"] @ x[0] + params["b"]) @ params["V"]  # noqa: E731
    keys = jax.random.split(jax.random.key(1), 3)
    params = {k: jax.random.normal(key, s) for k, key, s in zip("VWb", keys, ((6, 1), (6, 3), (6,)), strict=True)}
    options: Any = {"trainable": "W|b", "rates": {"W": 4.0, "": 1.0}}
    f = function(net, params, options["trainable"], options["rates"])
    values, rows = features(f, f.inputs(X))
    J = jax.vmap(jax.jacrev(lambda p, x: net(p, x)[0]), (None, 0))(params, X)
    wanted = np.concatenate([2.0 * np.asarray(J["W"]).reshape(9, -1), np.asarray(J["b"])], axis=1)
    assert rows == pytest.approx(wanted, rel=1e-4, abs=1e-6)
    assert values == pytest.approx(np.asarray(jax.vmap(net, (None, 0))(params, X)), rel=1e-4, abs=1e-5)
    assert products(rows)[0] == pytest.approx(np.asarray(empirical.NTK(net, params, **options)(X)), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_inner_products_are_off_by_no_more_than_is_said(dtype: Any):
    rng = np.random.default_rng(1)
    for p in (1, 7, 300):
        rows = (rng.standard_normal((3, p)) * np.exp(4 * rng.standard_normal((3, p)))).astype(dtype)
        S, e = products(rows)
        exact = [
            [sum(Fraction(float(a)) * Fraction(float(b)) for a, b in zip(one, two, strict=True)) for two in rows]
            for one in rows
        ]
        size = np.sqrt([float(exact[i][i]) for i in range(3)])
        off = np.array([[abs(float(Fraction(float(S[i, j])) - exact[i][j])) for j in range(3)] for i in range(3)])
        assert e is not None and (off <= e * np.outer(size, size)).all() and e < 1e-12


def test_the_rounding_grows_with_blocks_and_not_with_parameters():
    rows = np.ones((2, 100_000), np.float32)
    assert products(rows)[1] < 4e-12 and products(rows, rows)[1] == products(rows)[1]
    assert math.isclose(products(rows, rows)[0][0, 1], 1e5)


def test_where_products_vanish_nothing_is_said():
    assert products(np.full((2, 3), 1e-170))[1] is None
    assert products(np.full((2, 3), 1e-40, np.float32))[1] is not None


def test_gradients_that_are_no_numbers_are_refused():
    f = function(lambda w, x: jnp.sqrt(w * x), jnp.ones(1))
    with pytest.raises(ValueError, match=r"1 examples of 3.*x\[1\]"):
        features(f, f.inputs(np.array([[1.0], [0.0], [2.0]], np.float32)))


def test_more_gradients_than_memory_holds_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ntkseq._memory.available", lambda device: 100)
    f = function(NET.apply, PARAMS)
    with pytest.raises(ValueError, match="room"):
        features(f, f.inputs(X))
