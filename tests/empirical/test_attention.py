"""Are the matrices found in a model the ones it attends with, in every framework and spelling?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import checkpoint_name

from ntkseq import empirical, models
from ntkseq.blocks import Attention, Linear, Residual

X = jax.random.normal(jax.random.key(0), (5, 8))
W = 0.4 * jax.random.normal(jax.random.key(1), (4, 3, 8, 2, 4))  # layers, q/k/v, d, heads, d_k


def by_hand(w, h, causal=False):
    """One layer's attention (heads, t, t) and what it adds, with no softmax of JAX."""
    q, k, v = (np.einsum("td,dhe->hte", np.asarray(h), np.asarray(w[i])) for i in range(3))
    scores = np.einsum("hae,hce->hac", q, k) / 2
    if causal:
        scores = np.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, -np.inf)
    A = np.exp(scores - scores.max(-1, keepdims=True))
    A = A / A.sum(-1, keepdims=True)
    return A, np.einsum("hac,hce->ahe", A, v).reshape(np.shape(h))


def fused(w, x):
    def layer(h, one):
        q, k, v = (jnp.einsum("td,dhe->the", h, one[i])[None] for i in range(3))
        return h + jax.nn.dot_product_attention(q, k, v, is_causal=True)[0].reshape(h.shape), None

    return jax.lax.scan(jax.checkpoint(layer), x, w)[0].mean(0)


def written(w, x):
    for one in w:
        q, k, v = (jnp.einsum("td,dhe->the", x, one[i]) for i in range(3))
        scores = jnp.einsum("ahe,che->hac", q, k) / 2
        A = jnp.exp(jax.nn.log_softmax(scores))
        x = x + jnp.einsum("hac,che->ahe", A, v).reshape(x.shape)
    return x.mean(0)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["plain", "jit"])
def test_layers_of_a_scan_are_stacked_and_are_those_of_a_loop_by_hand(wrap):
    (found,) = empirical.attention_weights(wrap(fused))(W, X)
    h = X
    assert found.shape == (4, 2, 5, 5)
    for layer in range(4):
        A, add = by_hand(W[layer], h, causal=True)
        np.testing.assert_allclose(found[layer], A, atol=2e-6)
        h = np.asarray(h) + add


def test_a_softmax_by_its_logarithm_is_found_in_every_layer():
    found = empirical.attention_weights(written)(W, X)
    h = X
    assert len(found) == 4
    for layer in range(4):
        A, add = by_hand(W[layer], h)
        np.testing.assert_allclose(found[layer], A, atol=2e-6)
        h = np.asarray(h) + add


def test_our_transformer_gives_the_matrices_it_gives_itself():
    net = models.Serial(Linear(), Residual(Attention(scaling="root")), Attention(scaling="root"), width=16, heads=2)
    params = net.init(jax.random.key(1), X)
    attention = empirical.attention_weights(net.apply)
    for length in (None, jnp.int32(3)):
        inputs = (X,) if length is None else (X, length)
        for found, own in zip(attention(params, *inputs), net.attention_weights(params, *inputs), strict=True):
            np.testing.assert_array_equal(found, own)


def test_the_output_beside_the_matrices_is_that_of_the_function():
    attention = empirical.attention_weights(fused)
    out, found = jax.jit(attention.with_output)(W, X)
    np.testing.assert_allclose(out, fused(W, X), rtol=1e-5)
    assert len(found) == 1


def test_sites_tell_where_without_computing():
    (site,) = empirical.attention_weights(fused).sites(W, X)
    assert site.shape == (2, 5, 5)
    assert site.loop == (4,)
    assert not site.tagged
    assert "found (2, 5, 5)" in str(site)


def test_normalised_features_are_attention_whatever_the_axis():
    def f(p, x):
        s = x @ p @ x.T
        relu = jax.nn.relu(s)
        relu = relu / (relu.sum(-1, keepdims=True) + 1e-6)
        across = jax.nn.softmax(s, axis=0)
        return (relu @ x + across.T @ x).mean(0)

    relu, across = empirical.attention_weights(f)(jnp.eye(8), X)
    s = np.asarray(X) @ np.asarray(X).T
    np.testing.assert_allclose(relu.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(across, np.asarray(jax.nn.softmax(s, axis=0)).T, atol=1e-6)


def test_masks_dropout_and_half_precision_do_not_hide_it():
    def f(p, x):
        s = jnp.where(jnp.tril(jnp.ones((5, 5), bool)), x @ p @ x.T, -1e30)
        A = jax.nn.softmax(s).astype(jnp.bfloat16)
        A = A * jnp.asarray(1, jnp.bfloat16)
        A = jnp.where(jnp.eye(5, dtype=bool), 0, A)
        return (A @ x.astype(jnp.bfloat16)).mean(0)

    (A,) = empirical.attention_weights(f)(jnp.eye(8), X)
    assert A.dtype == jnp.bfloat16
    assert np.all(np.asarray(jnp.triu(A), np.float32) == 0)


@pytest.mark.parametrize(
    "f",
    [
        lambda p, x: jax.nn.softmax(x @ p).mean(0),  # probabilities that multiply nothing
        lambda p, x: jax.nn.softmax(x @ p).T @ x,  # contracted along another axis
        lambda p, x: (x / x.sum(0, keepdims=True)) @ p,  # divided along the other axis
        lambda p, x: (x / jnp.roll(x, 1).sum(1, keepdims=True)) @ p,  # the sum of something else
        lambda p, x: (x / jnp.linalg.norm(x, axis=1, keepdims=True)) @ p,
    ],
)
def test_what_is_no_attention_is_not_found(f):
    with pytest.raises(ValueError, match="no attention matrix was found"):
        empirical.attention_weights(f)(jnp.eye(8), X)


def test_marked_matrices_are_taken_and_no_others():
    def f(p, x):
        A = checkpoint_name(x @ p @ x.T, "mine")
        return (jax.nn.softmax(A) @ A @ x).mean(0)

    attention = empirical.attention_weights(f, tag="mine")
    (A,) = attention(jnp.eye(8), X)
    np.testing.assert_allclose(A, X @ X.T, rtol=1e-5)
    assert attention.sites(jnp.eye(8), X)[0].tagged
    assert len(empirical.attention_weights(f)(jnp.eye(8), X)) == 1  # another name: the softmax is found by structure


def test_a_marked_vector_is_refused():
    def f(p, x):
        return checkpoint_name(x.sum(0), "attention") @ p

    with pytest.raises(ValueError, match="must be matrices"):
        empirical.attention_weights(f)(jnp.eye(8), X)


def test_attention_in_a_conditional_is_said_not_to_be_looked_into():
    def f(p, x):
        return jax.lax.cond(x[0, 0] > 0, lambda: jax.nn.softmax(x @ x.T) @ x, lambda: x).mean(0)

    with pytest.raises(ValueError, match="cond"):
        empirical.attention_weights(f)(jnp.eye(8), X)


def test_axes_of_length_one_are_dropped():
    def f(p, x):
        return (jax.nn.softmax((x @ p @ x.T)[None, None]) @ x[None, None]).mean()

    (A,) = empirical.attention_weights(f)(jnp.eye(8), X)
    assert A.shape == (5, 5)


def test_heads_in_a_vmap_are_in_front():
    def f(p, x):
        return jax.vmap(lambda w: jax.nn.softmax(x @ w @ x.T) @ x)(p).mean((0, 1))

    p = jax.random.normal(jax.random.key(3), (3, 8, 8))
    (A,) = empirical.attention_weights(f)(p, X)
    np.testing.assert_allclose(A, jax.nn.softmax(jnp.einsum("ad,hde,ce->hac", X, p, X)), atol=1e-5)


def test_it_is_a_function_to_jit_and_vmap_and_equal_to_itself():
    attention = empirical.attention_weights(written)
    assert attention == empirical.attention_weights(written)
    x = jax.random.normal(jax.random.key(2), (3, 5, 8))
    batch = jax.jit(jax.vmap(attention, in_axes=(None, 0)))(W, x)
    for k in range(3):
        for whole, single in zip(batch, attention(W, x[k]), strict=True):
            np.testing.assert_allclose(whole[k], single, atol=1e-6)


@pytest.mark.parametrize(("f", "tag"), [(3, "attention"), (written, ""), (written, None)])
def test_bad_arguments_are_refused(f, tag):
    with pytest.raises(ValueError, match="must be"):
        empirical.attention_weights(f, tag=tag)
