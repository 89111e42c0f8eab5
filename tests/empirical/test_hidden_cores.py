"""Is the kernel of hidden states its core between operators, for recurrences where matrices meet features?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import empirical

H, D = 4, 2


def joined(h, x):
    return jnp.concatenate([h, x, jnp.ones(1, h.dtype)])


def elman(kind):
    """Params, features and update of three recurrences."""
    keys = jax.random.split(jax.random.key(0), 2)
    W = jax.random.normal(keys[0], (H, H + D + 1), jnp.float64) / 2
    if kind == "elman":
        return {"W": W}, lambda h, x: {"W": joined(h, x)}, lambda z, h, x: jnp.tanh(z["W"])
    if kind == "leaky":
        return {"W": W}, lambda h, x: {"W": joined(h, x)}, lambda z, h, x: 0.7 * h + 0.3 * jnp.tanh(z["W"])
    params = {
        name: jax.random.normal(k, (3 * H, c), jnp.float64) / 2
        for name, k, c in zip("hx", keys, (H, D + 1), strict=True)
    }

    def update(z, h, x):  # a GRU that resets after the product
        (u, r, a), (v, s, b) = (jnp.split(z[name], 3) for name in "hx")
        gate = jax.nn.sigmoid(u + v)
        return gate * h + (1 - gate) * jnp.tanh(jax.nn.sigmoid(r + s) * a + b)

    return params, lambda h, x: {"h": h, "x": joined(h, x)[H:]}, update


def made(kind):
    keys = jax.random.split(jax.random.key(1), 2)
    x, h0 = jax.random.normal(keys[0], (3, 4, D), jnp.float64), jax.random.normal(keys[1], (3, H), jnp.float64)
    return empirical.HiddenCore(*elman(kind), x, h0=h0), x, h0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["elman", "leaky", "gru"])
def test_the_core_between_operators_is_the_kernel(kind, x64):
    core, _, _ = made(kind)
    v = np.random.default_rng(0).normal(size=core.kernel.shape)
    wanted = core.kernel.dense().reshape(48, 48) @ v.ravel()
    np.testing.assert_allclose(np.ravel(core.mv(v)), wanted, atol=1e-11)


@pytest.mark.slow
def test_the_core_is_the_gram_of_what_the_units_have_seen(x64):
    core, x, h0 = made("elman")
    before = np.concatenate([np.asarray(h0)[:, None], np.asarray(core.kernel.states())[:, :-1]], axis=1)
    wanted = np.einsum("ati,bsi->atbs", before, before) + np.einsum("ati,bsi->atbs", x, x) + 1.0
    np.testing.assert_allclose(core.grams()["W"], wanted, atol=1e-12)


def test_without_feedback_the_kernel_is_the_core_times_gains(x64):
    W = {"W": jax.random.normal(jax.random.key(0), (H, D), jnp.float64)}
    x = jax.random.normal(jax.random.key(1), (3, 4, D), jnp.float64)
    core = empirical.HiddenCore(W, lambda h, x: {"W": x}, lambda z, h, x: jnp.tanh(z["W"]), x, h0=jnp.zeros(H))
    gain = 1 - np.square(core.kernel.states())
    wanted = np.einsum("atbs,ati,bsj,ij->atibsj", core.grams()["W"], gain, gain, np.eye(H))
    np.testing.assert_allclose(core.kernel.dense(), wanted, atol=1e-12)


@pytest.mark.parametrize(
    ("params", "features", "told"),
    [
        ({"W": jnp.ones(3)}, lambda h, x: {"W": h}, r"params must be matrices \(d, c\)"),
        ({"W": jnp.ones((4, 4))}, lambda h, x: {"V": h}, "features must give a dict with the names of params"),
        ([jnp.ones((4, 4))], lambda h, x: {"W": h}, "params must be a dict"),
    ],
)
def test_what_has_no_core_is_refused(params, features, told):
    with pytest.raises(ValueError, match=told):
        empirical.HiddenCore(params, features, lambda z, h, x: z["W"], jnp.ones((2, 3, D)), h0=jnp.zeros(4))
