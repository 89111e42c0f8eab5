"""Are the products of the kernel of hidden states those of the explicit matrix, by whatever derivative?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import empirical

H, D = 5, 2


def gru(params, h, x):
    gates = jax.nn.sigmoid(params["W"] @ jnp.concatenate([h, x]) + params["b"])
    update, reset = jnp.split(gates, 2)
    return update * h + (1 - update) * jnp.tanh(params["V"] @ jnp.concatenate([reset * h, x]))


def case(dtype=jnp.float64, n=3, t=4):
    keys = jax.random.split(jax.random.key(0), 5)
    shapes = {"W": (2 * H, H + D), "b": (2 * H,), "V": (H, H + D)}
    params = {name: jax.random.normal(k, s, dtype) / 2 for k, (name, s) in zip(keys, shapes.items(), strict=False)}
    return params, jax.random.normal(keys[3], (n, t, D), dtype), jax.random.normal(keys[4], (n, H), dtype)


def explicit(params, x, h0, names=("V", "W", "b")):
    """J, a loop over examples and times and jax.jacfwd of it."""

    def states(params):
        rows = []
        for a in range(len(x)):
            h = h0[a]
            for u in x[a]:
                h = gru(params, h, u)
                rows.append(h)
        return jnp.stack(rows).reshape(-1)

    jacobian = jax.jacfwd(states)(params)
    return np.concatenate([np.asarray(jacobian[name]).reshape(x.shape[0] * x.shape[1] * H, -1) for name in names], 1)


@pytest.mark.slow
def test_products_are_those_of_the_explicit_jacobian(x64):
    params, x, h0 = case()
    K, J = empirical.HiddenKernel(gru, params, x, h0=h0), explicit(params, x, h0)
    assert K.shape == (3, 4, H) and K.parameters == J.shape[1] == 115
    v = np.random.default_rng(0).normal(size=K.shape)
    np.testing.assert_allclose(np.ravel(K.mv(v)), J @ (J.T @ v.ravel()), atol=1e-12)
    pulled = K.pull(v)
    np.testing.assert_allclose(np.concatenate([np.ravel(leaf) for leaf in pulled]), J.T @ v.ravel(), atol=1e-12)
    np.testing.assert_allclose(np.ravel(K.push(pulled)), J @ (J.T @ v.ravel()), atol=1e-12)
    np.testing.assert_allclose(K.dense().reshape(60, 60), J @ J.T, atol=1e-12)


@pytest.mark.slow
def test_only_the_trained_leaves_count_and_one_initial_state_serves_all(x64):
    params, x, h0 = case()
    K = empirical.HiddenKernel(gru, params, x, h0=h0[0], trainable="b")
    J = explicit(params, x, jnp.broadcast_to(h0[0], (3, H)), names=("b",))
    np.testing.assert_allclose(K.dense().reshape(60, 60), J @ J.T, atol=1e-12)


@pytest.mark.slow
def test_inputs_may_be_a_tree():
    def step(W, h, x):
        return jnp.tanh(W @ h + jax.nn.one_hot(x["token"], 3, dtype=h.dtype) * x["gain"])

    tokens, gains = jnp.array([[0, 2, 1], [1, 1, 0]]), jnp.ones((2, 3))
    K = empirical.HiddenKernel(step, jnp.eye(3) / 2, {"token": tokens, "gain": gains}, h0=jnp.ones(3))
    assert K.mv(jnp.ones((2, 3, 3))).shape == (2, 3, 3) and K.states().shape == (2, 3, 3)


@pytest.mark.slow(cases=["changed0-h0 must have shape \\\\(h,\\\\) or \\\\(3, h\\\\)"])
@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (dict(h0=jnp.zeros((2, H))), r"h0 must have shape \(h,\) or \(3, h\)"),
        (dict(h0=jnp.zeros(H + 1)), r"step\(params, h, x\) failed for one state of shape \(6,\)"),
        (dict(x=jnp.zeros(3)), r"x must have shape \(n, t, ...\)"),
        (dict(x=jnp.zeros((3, 0, D))), "at least one example and one step"),
        (dict(step=lambda params, h, x: h[:-1]), "step must return a state like h0"),
        (dict(params={"W": jnp.zeros(3, int)}, step=lambda params, h, x: h), "floating leaf to train"),
    ],
)
def test_what_is_no_recurrence_is_refused(changed, told):
    params, x, h0 = case(jnp.float32)
    given = dict(step=gru, params=params, x=x, h0=h0) | changed
    with pytest.raises(ValueError, match=told):
        empirical.HiddenKernel(**given)


def test_a_vector_of_another_shape_is_refused():
    params, x, h0 = case(jnp.float32)
    with pytest.raises(ValueError, match=r"v must have the shape of the hidden states, \(3, 4, 5\)"):
        empirical.HiddenKernel(gru, params, x, h0=h0).mv(jnp.ones((3, 4)))
