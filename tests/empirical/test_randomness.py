"""Is dropout that was left on noticed, in any form of program, and nothing else taken for it?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import models, training
from ntkseq.empirical import NTK

KEY = jax.random.key(3)
X = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
PARAMS = {"A": jnp.asarray(np.random.default_rng(1).standard_normal((6, 3)), jnp.float32)}


def drop(h: Any, key: Any = KEY) -> Any:
    return jnp.where(jax.random.bernoulli(key, 0.5, h.shape), h / 0.5, jnp.zeros_like(h))


def through_scan(p: Any, x: Any) -> Any:
    return jax.lax.scan(lambda h, key: (drop(jnp.tanh(h), key), None), p["A"] @ x, jax.random.split(KEY, 3))[0]


def through_carry(p: Any, x: Any) -> Any:
    def step(carry: Any, _: Any) -> Any:
        key, h = carry
        key, sub = jax.random.split(key)
        return (key, drop(jnp.tanh(h), sub)), None

    return jax.lax.scan(step, (KEY, p["A"] @ x), None, length=2)[0][1]


def moved_on(p: Any, x: Any) -> Any:
    def step(carry: Any, _: Any) -> Any:
        key, h = carry
        return (jax.random.split(key)[0], jnp.tanh(h)), None

    return jax.lax.scan(step, (KEY, p["A"] @ x), None, length=2)[0][1]


def through_cond(p: Any, x: Any) -> Any:
    return jax.lax.cond(x[0] > 100, lambda h: h, drop, p["A"] @ x)


MASKED = {
    "plain": lambda p, x: drop(p["A"] @ x),
    "jit": jax.jit(lambda p, x: drop(p["A"] @ x)),
    "remat": jax.checkpoint(lambda p, x: drop(p["A"] @ x)),
    "vmap": lambda p, x: jax.vmap(drop, (0, 0))(p["A"] * x[None], jax.random.split(KEY, 6)).sum(1),
    "scan over keys": through_scan,
    "scan that carries the key": through_carry,
    "fori loop": lambda p, x: jax.lax.fori_loop(0, 2, lambda i, h: drop(h, jax.random.fold_in(KEY, i)), p["A"] @ x),
    "cond": through_cond,
    "a mask of attention": lambda p, x: jax.nn.softmax(drop(p["A"] @ x)),
    "a raw key": lambda p, x: drop(p["A"] @ x, jax.random.PRNGKey(0)),
    "other bits": lambda p, x: jnp.where(jax.random.bits(KEY, (6,)) < jnp.uint32(2**31), p["A"] @ x, jnp.zeros(6)),
    "a rate that is trained": lambda p, x: jnp.where(jax.random.uniform(KEY, (6,)) < p["A"][0, 0], p["A"] @ x, 0.0),
}

FINE = {
    "random features": lambda p, x: p["A"] @ jax.nn.leaky_relu(jax.random.normal(KEY, (3, 3)) @ x),
    "a key that is moved on and not drawn from": moved_on,
    "a mask that is not used": lambda p, x: (drop(x), p["A"] @ x)[1],
    "a mask drawn outside": lambda p, x: jnp.where(np.arange(6) < 3, p["A"] @ x, jnp.zeros(6)),
    "comparisons with data": lambda p, x: jnp.where(x[0] > 0, p["A"] @ x, -(p["A"] @ x)),
}


@pytest.mark.parametrize("name", MASKED)
def test_a_random_mask_is_refused_in_one_line(name: str):
    f = MASKED[name]
    for refused in (
        lambda: NTK(f, PARAMS)(X),
        lambda: training.track([training.KernelProbe(f, X)], PARAMS),
        lambda: training.track([training.LossProbe(f, {"train": (X, np.zeros((4, 6), np.float32))})], PARAMS),
    ):
        with pytest.raises(ValueError, match=r"^f must not draw; it draws a random mask, as of dropout") as raised:
            refused()
        assert "\n" not in str(raised.value)


@pytest.mark.slow(but=["a mask drawn outside"])
@pytest.mark.parametrize("name", FINE)
def test_what_is_no_dropout_is_let_through(name: str):
    f = FINE[name]
    J = jax.vmap(lambda x: jax.jacobian(f)(PARAMS, x)["A"].reshape(6, -1))(jnp.asarray(X))
    want = np.einsum("nop,mop->nm", *(np.asarray(J, np.float64),) * 2) / 6
    np.testing.assert_allclose(NTK(f, PARAMS)(X), want, rtol=1e-5, atol=1e-5 * np.abs(want).max())


def test_a_mask_whose_key_comes_with_the_example_is_let_through():
    keys = jax.vmap(jax.random.key_data)(jax.random.split(KEY, 4))
    f = lambda p, x: drop(p["A"] @ x["z"], jax.random.wrap_key_data(x["key"]))  # noqa: E731
    assert NTK(f, PARAMS)({"z": X, "key": keys}).shape == (4, 4)


def test_dropout_in_an_attention_that_is_probed_is_refused():
    attention = lambda p, x: jax.nn.softmax(drop(jnp.outer(x, x)) * p["A"][0, 0])  # noqa: E731
    with pytest.raises(ValueError, match="random mask"):
        training.track([training.AttentionRankProbe(attention, X)], PARAMS)


def test_dropout_is_refused_by_the_training_too():
    with pytest.raises(ValueError, match="random mask"):
        training.sgd.train(MASKED["plain"], PARAMS, (X, np.zeros((4, 6), np.float32)), lr=0.1, steps=1, key=KEY)


@pytest.mark.slow
def test_a_network_of_ours_draws_nothing():
    net = models.Recurrent(width=4)
    x = X.reshape(2, 2, 3)
    assert NTK(net.apply, net.init(KEY, x[0]))(x).shape == (2, 2)
