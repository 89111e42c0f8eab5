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


@pytest.mark.slow
def test_our_transformer_gives_the_matrices_it_gives_itself():
    net = models.Serial(Linear(), Residual(Attention(scaling="root")), Attention(scaling="root"), width=16, heads=2)
    params = net.init(jax.random.key(1), X)
    attention = empirical.attention_weights(net.apply)
    for length in (None, jnp.int32(3)):
        inputs = (X,) if length is None else (X, length)
        for found, own in zip(attention(params, *inputs), net.attention_weights(params, *inputs), strict=True):
            # two programs add in two orders: 16 products of size 1 and a softmax; bitwise on jax 0.10, 1.5e-7 on 0.12
            np.testing.assert_allclose(found, own, atol=32 * float(jnp.finfo(jnp.float32).eps), rtol=0)


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


@pytest.mark.slow
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


def soft(s, axis=-1):
    e = np.exp(np.asarray(s, np.float64) - np.max(s, axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def attend(h, c=1.0):
    return jax.nn.softmax(c * h @ h.T) @ h


def test_attention_in_one_branch_only_is_refused_also_beside_a_layer_that_is_seen():
    # one layer of two was reported, without a word
    def f(p, x):
        h = attend(x @ p)
        return jax.lax.cond(x[0, 0] > 0, attend, lambda h: h, h).mean(0)

    with pytest.raises(ValueError, match=r"cannot be handed out: \(5, 5\) in branch [01] of 2 of a conditional"):
        empirical.attention_weights(f)(jnp.eye(8), X)
    with pytest.raises(ValueError, match="cannot be handed out"):
        empirical.attention_weights(f).sites(jnp.eye(8), X)

    def marked(p, x):
        A = checkpoint_name(jax.nn.softmax(x @ p @ x.T), "attention")
        return jax.lax.cond(x[0, 0] > 0, attend, lambda h: h, A @ x).mean(0)

    (A,) = empirical.attention_weights(marked)(jnp.eye(8), X)
    np.testing.assert_allclose(A, soft(X @ X.T), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit, jax.checkpoint], ids=["plain", "jit", "remat"])
def test_of_a_conditional_the_matrices_of_the_branch_that_ran_are_given(wrap):
    def f(p, x):
        branches = [wrap(lambda h, c=c: attend(h, c)) for c in (1.0, -2.0, 0.5)]
        h = jax.lax.switch(p, branches, x)
        return jax.lax.cond(p > 1, lambda h: attend(h, 3.0), lambda h: attend(h, 0.1), h).mean(0)

    attention = empirical.attention_weights(f)
    for p in range(3):
        one, two = attention(jnp.int32(p), X)
        A = soft((1.0, -2.0, 0.5)[p] * np.asarray(X) @ np.asarray(X).T)
        h = A @ np.asarray(X)
        np.testing.assert_allclose(one, A, atol=1e-5)
        np.testing.assert_allclose(two, soft((3.0 if p > 1 else 0.1) * h @ h.T), atol=1e-5)
    assert all(site.branch and "conditional" in str(site) for site in attention.sites(jnp.int32(0), X))
    batch = jax.vmap(attention, in_axes=(0, None))(jnp.arange(3), X)
    np.testing.assert_allclose(batch[0][2], soft(0.5 * np.asarray(X) @ np.asarray(X).T), atol=1e-5)


def test_conditionals_within_a_scan_are_stacked_or_refused():
    def f(p, x, other=lambda h: attend(h, -1.0)):
        layer = lambda h, c: (jax.lax.cond(c > 0, attend, other, h), None)  # noqa: E731
        return jax.lax.scan(layer, x, p)[0].mean(0)

    p = jnp.array([1.0, -1.0, 1.0])
    (A,) = empirical.attention_weights(f)(p, X)
    h = np.asarray(X, np.float64)
    for k, c in enumerate((1, -1, 1)):
        np.testing.assert_allclose(A[k], soft(c * h @ h.T), atol=1e-5)
        h = A[k] @ h
    with pytest.raises(ValueError, match="of a conditional"):
        empirical.attention_weights(lambda p, x: f(p, attend(x), lambda h: h))(p, X)


@pytest.mark.slow
def test_loops_of_unknown_length_and_maps_over_devices_are_refused():
    def loops(p, x):
        return jax.lax.while_loop(lambda h: h.sum() > p, lambda h: 0.5 * attend(h), attend(x)).mean(0)

    with pytest.raises(ValueError, match=r"\(5, 5\) in a while loop"):
        empirical.attention_weights(loops)(jnp.float32(9.0), X)

    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("i",))
    spread = jax.shard_map(attend, mesh=mesh, in_specs=jax.P(), out_specs=jax.P())
    with pytest.raises(ValueError, match="a shard_map, which is not looked into"):
        empirical.attention_weights(lambda p, x: spread(attend(x)).mean(0))(None, X)
    count = lambda p, x: attend(jax.lax.while_loop(lambda h: h.sum() > p, lambda h: 0.5 * h, x)).mean(0)  # noqa: E731
    assert len(empirical.attention_weights(count)(jnp.float32(9.0), X)) == 1


def test_weights_that_enter_or_leave_a_loop_or_a_branch_stay_weights():
    heads = jnp.stack([X, 2 * X, -X])

    def leaves(p, x):
        A = jax.lax.map(lambda h: jax.nn.softmax(h @ h.T), heads)
        return jnp.einsum("hab,bd->had", A, x).mean((0, 1))

    def enters(p, x):
        A = jax.nn.softmax(heads @ heads.mT)
        return jax.lax.map(lambda a: a @ x, A).mean((0, 1))

    for f in (leaves, enters):
        (A,) = empirical.attention_weights(f)(None, X)
        np.testing.assert_allclose(A, soft(np.asarray(heads) @ np.asarray(heads).transpose(0, 2, 1)), atol=1e-5)

    def branch(p, x):
        A = jax.lax.cond(p > 0, lambda: jax.nn.softmax(x @ x.T), lambda: jax.nn.softmax(-x @ x.T))
        return (A @ x).mean(0)

    for p in (1.0, -1.0):
        (A,) = empirical.attention_weights(branch)(jnp.float32(p), X)
        np.testing.assert_allclose(A, soft(p * np.asarray(X) @ np.asarray(X).T), atol=1e-5)


def test_layers_with_derivative_rules_of_their_own_and_scans_by_association_hide_nothing():
    own = jax.custom_vjp(attend)
    own.defvjp(lambda h: (attend(h), h), lambda h, g: (g,))
    forward = jax.custom_jvp(attend)
    forward.defjvp(lambda h, t: (attend(*h), t[0]))

    def f(p, x):
        h = forward(own(x))
        return attend(jax.lax.associative_scan(jnp.add, h)).mean(0)

    one, two, three = empirical.attention_weights(f)(None, X)
    h = np.asarray(X, np.float64)
    for A in (one, two, three):
        h = np.cumsum(h, 0) if A is three else h
        np.testing.assert_allclose(A, soft(h @ h.T), atol=1e-4)
        h = soft(h @ h.T) @ h


def test_scopes_are_those_that_the_framework_names_and_no_others():
    eqx, nnx = pytest.importorskip("equinox"), pytest.importorskip("flax.nnx")
    model = eqx.nn.MultiheadAttention(2, 8, key=jax.random.key(0))
    arrays, rest = eqx.partition(model, eqx.is_array)
    f = lambda p, x: eqx.combine(p, rest)(x, x, x).mean(0)  # noqa: E731
    (site,) = empirical.attention_weights(f).sites(arrays, X)
    assert "MultiheadAttention" in site.scope and site.shape == (2, 5, 5)

    graph, state = nnx.split(nnx.MultiHeadAttention(2, 8, decode=False, rngs=nnx.Rngs(0)))
    plain = lambda p, x: nnx.merge(graph, p)(x).mean(0)  # noqa: E731

    def named(p, x):
        with jax.named_scope("first"):
            return plain(p, x)

    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        assert [site.scope for site in empirical.attention_weights(plain).sites(state, X)] == [""]
        assert [site.scope for site in empirical.attention_weights(named).sites(state, X)] == ["first"]


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


@pytest.mark.slow
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
