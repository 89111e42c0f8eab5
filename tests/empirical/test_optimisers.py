"""Do the kernels of optimisers' steps say what optax does to a network in one small step?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ntkseq
from ntkseq import empirical
from tests.empirical.functions import FUNCTIONS


def made(name: str = "rnn_outputs", dtype: Any = jnp.float64, n: int = 4) -> tuple[Any, Any, Any]:
    f, params, inputs = FUNCTIONS[name].make(dtype)
    return f, params, inputs(jax.random.key(1), n)


def jacobian(f: Any, params: Any, x: Any) -> np.ndarray:
    """(n, o, p), the oracle."""
    rows = jax.vmap(jax.jacrev(f), (None, 0))(params, x)
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(rows)]
    return np.concatenate([leaf.reshape(*leaf.shape[:2], -1) for leaf in leaves], axis=2)


def flat(tree: Any) -> np.ndarray:
    return np.concatenate([np.asarray(leaf).ravel() for leaf in jax.tree.leaves(tree)])


def stepped(optimizer: Any, gradient: Any, params: Any, state: Any = None) -> tuple[Any, Any]:
    """Updates and state; optax raises b2 to a count, which strict promotion refuses."""
    with jax.numpy_dtype_promotion("standard"):
        return optimizer.update(gradient, optimizer.init(params) if state is None else state, params)


def trained(f: Any, params: Any, x: Any, optimizer: Any, steps: int) -> tuple[Any, Any, Any]:
    """The gradient of the last batch, the updates made of it and the state behind it; params stay."""
    state, rng = optimizer.init(params), np.random.default_rng(0)
    for _ in range(steps):
        slopes = jnp.asarray(rng.standard_normal(jax.eval_shape(lambda: jax.vmap(f, (None, 0))(params, x)).shape))
        _, back = jax.vjp(lambda p: jax.vmap(f, (None, 0))(p, x), params)
        (gradient,) = back(slopes)
        updates, state = stepped(optimizer, gradient, params, state)
    return slopes, updates, state  # pyright: ignore[reportPossiblyUnboundVariable]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rnn_outputs", "tied_decoder", "low_rank"])
def test_rates_of_every_number_make_the_preconditioned_kernel(x64, name: str) -> None:
    f, params, x = made(name)
    rng = np.random.default_rng(2)
    P = jax.tree.map(lambda leaf: jnp.asarray(10.0 ** rng.uniform(-4, 2, leaf.shape)), params)
    J, p = jacobian(f, params, x), flat(P)
    exact = np.einsum("nop,p,mqp->nmoq", J, p, J)
    size = np.abs(exact).max()
    for method in ("auto", "structured", "products"):
        K = empirical.NTK(f, params, outputs="full", rates=P, method=method)(x)
        np.testing.assert_allclose(K, exact, rtol=0, atol=1e-12 * size)
    mean = np.einsum("nmoo->nm", exact) / J.shape[1]
    np.testing.assert_allclose(empirical.NTK(f, params, rates=P)(x), mean, rtol=0, atol=1e-12 * size)


@pytest.mark.slow
def test_its_gram_states_a_rounding_that_holds(x64) -> None:
    f, params, x = made("rnn", jnp.float32)
    P = jax.tree.map(lambda leaf: jnp.abs(leaf) + 1e-3, params)
    K = ntkseq.gram(empirical.NTK(f, params, rates=P), x)
    g, _, _ = made("rnn")
    J = jacobian(g, jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params), x.astype(jnp.float64))
    exact = np.einsum("nop,p,mop->nm", J, flat(P).astype(np.float64), J)
    assert np.linalg.norm(np.asarray(K, np.float64) - exact, 2) <= K.rounding


@pytest.mark.slow
def test_some_leaves_have_one_rate_and_zeros_freeze_a_leaf(x64) -> None:
    f, params, x = made()
    leaves, tree = jax.tree.flatten(params)
    parts = list(empirical.NTK(f, params).by_leaf(x).values())
    rates = [0.5, jnp.zeros_like(leaves[1]), *(jnp.full_like(leaf, 2.0) for leaf in leaves[2:])]
    kernel = empirical.NTK(f, params, rates=jax.tree.unflatten(tree, rates))
    np.testing.assert_allclose(kernel(x), 0.5 * parts[0] + 2 * sum(parts[2:]), rtol=1e-12)
    assert len(kernel.by_leaf(x)) == len(leaves) - 1


@pytest.mark.slow
def test_adams_step_without_momentum_is_that_of_its_kernel(x64) -> None:
    f, params, x = made()
    optimizer = optax.adam(1e-6, b1=0.0, eps=1e-5)
    slopes, updates, state = trained(f, params, x, optimizer, steps=3)
    P = empirical.preconditioner(state, params, eps=1e-5)
    kernel = empirical.NTK(f, params, rates=P, outputs="full")
    predicted = -1e-6 * kernel.mv(x, slopes)
    np.testing.assert_allclose(empirical.first_order_change(f, params, updates, x), predicted, rtol=1e-9)
    there = optax.apply_updates(params, updates)
    moved = jax.vmap(f, (None, 0))(there, x) - jax.vmap(f, (None, 0))(params, x)
    np.testing.assert_allclose(moved, predicted, rtol=0, atol=1e-4 * np.abs(predicted).max())


@pytest.mark.slow
def test_what_the_optimiser_masks_does_not_count(x64) -> None:
    f, params, x = made()
    leaves, tree = jax.tree.flatten(params)
    mask = jax.tree.unflatten(tree, [True] + [False] * (len(leaves) - 1))
    optimizer = optax.chain(optax.clip(1e9), optax.masked(optax.adamw(1e-3), mask))
    _, state = stepped(optimizer, params, params)
    kernel = empirical.NTK(f, params, rates=empirical.preconditioner(state, params))
    assert len(kernel.by_leaf(x)) == 1


@pytest.mark.slow
def test_the_first_change_is_the_limit_of_small_steps(x64) -> None:
    f, params, x = made()
    u = jax.tree.map(lambda leaf: jnp.cos(jnp.arange(leaf.size, dtype=leaf.dtype)).reshape(leaf.shape), params)
    first = empirical.first_order_change(f, params, u, x)
    np.testing.assert_allclose(first, jacobian(f, params, x) @ flat(u), rtol=1e-12)
    off = []
    for h in (1e-3, 5e-4):
        there = jax.tree.map(lambda leaf, step, h=h: leaf + h * step, params, u)
        off.append(np.abs((jax.vmap(f, (None, 0))(there, x) - jax.vmap(f, (None, 0))(params, x)) / h - first).max())
    assert abs(np.log2(off[0] / off[1]) - 1) < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("memory", [None, 1])
def test_the_sign_kernel_is_its_jacobians_in_blocks_too(x64, memory: int | None) -> None:
    f, params, x = made(n=5)
    J = jacobian(f, params, x)
    full = np.einsum("nop,mqp->nmoq", J, np.sign(J[:3]))
    each = np.einsum("nmoo->nmo", full)
    some = jax.tree.map(lambda leaf: leaf[:3], x)
    for outputs, exact in {"full": full, "diagonal": each, "mean": each.mean(axis=2), 1: each[..., 1]}.items():
        kernel = empirical.SignGDKernel(f, params, outputs=outputs, memory=memory)
        np.testing.assert_allclose(kernel(x, some), exact, rtol=0, atol=1e-12 * np.abs(full).max())
    kernel = empirical.SignGDKernel(f, params, outputs="diagonal", memory=memory)
    signs = np.sign(J)
    np.testing.assert_allclose(kernel.symmetric(x), np.einsum("nop,mop->nmo", signs, signs), rtol=1e-12)


@pytest.mark.slow
def test_a_step_by_signs_of_one_example_is_that_of_the_sign_kernel(x64) -> None:
    f, params, x = made("rnn")
    K = empirical.SignGDKernel(f, params)(x)
    for i, slope in enumerate((0.3, -2.0)):
        gradient = jax.grad(lambda p, i=i, slope=slope: slope * f(p, x[i])[0])(params)
        updates, _ = stepped(optax.sign_sgd(1e-3), gradient, params)
        change = empirical.first_order_change(f, params, updates, x)[:, 0]
        np.testing.assert_allclose(change, -1e-3 * np.sign(slope) * K[:, i], rtol=1e-12)
        # Adam's first step, whatever its b1 and b2; the kernel of its state says the same
        updates, state = stepped(optax.adam(1e-3, eps=1e-16), gradient, params)
        adam = empirical.first_order_change(f, params, updates, x)[:, 0]
        np.testing.assert_allclose(adam, change, rtol=1e-6, atol=1e-12)
        P = empirical.preconditioner(state, params, eps=1e-16)
        there = empirical.NTK(f, params, rates=P)(x, x[i : i + 1])[:, 0]
        np.testing.assert_allclose(-1e-3 * slope * there, change, rtol=1e-6, atol=1e-12)


@pytest.mark.slow
def test_its_rounding_holds_where_signs_are_those_of_rounding(x64) -> None:
    def f(params: Any, x: Any) -> Any:  # attention: the gradient in b vanishes but for rounding
        q, k, b = params
        score = (x @ q) @ (x @ k + b[None]).T
        return jnp.sum(jax.nn.softmax(score) @ x, keepdims=True)[0]

    keys = jax.random.split(jax.random.key(0), 4)
    shapes = ((6, 6), (6, 6), (6,))
    double = [jax.random.normal(key, shape, jnp.float64) for key, shape in zip(keys, shapes, strict=False)]
    single = [leaf.astype(jnp.float32) for leaf in double]
    double = [leaf.astype(jnp.float64) for leaf in single]
    x = jax.random.normal(keys[3], (12, 5, 6), jnp.float32)
    exact = empirical.SignGDKernel(f, double)(x.astype(jnp.float64))
    kernel = empirical.SignGDKernel(f, single)
    error = np.abs(np.asarray(kernel(x), np.float64) - np.asarray(exact))
    stated = kernel.rounding(x)
    assert (error <= stated).all() and stated.max() < 1e-3 * np.abs(exact).max()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(state=()), "must hold the state of one Adam of optax; got 0"),
        (dict(params={"V": jnp.ones(2)}), "must have the structure of the second moment"),
        (dict(params={"W": jnp.ones(3)}), "shapes of the second moment"),
        (dict(state=optax.adam(0.1).init({"W": jnp.ones(2)})), "before the first step"),
        (dict(b2=1.0), r"b2 must lie in \[0, 1\)"),
    ],
)
def test_what_is_no_adam_is_refused(change: dict[str, Any], words: str) -> None:
    params = {"W": jnp.ones(2)}
    _, state = stepped(optax.adam(0.1), params, params)
    with pytest.raises(ValueError, match=words):
        empirical.preconditioner(**{"state": state, "params": params, **change})
