"""What happens in one step of stochastic gradient descent, and in many? One program for any number of steps."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from ntkseq import _twofloat
from ntkseq._precision import wide
from ntkseq._struct import replace, static, struct
from ntkseq._types import ArrayLike, Inputs, Optimizer, PyTree
from ntkseq.empirical.function import Function
from ntkseq.training import losses
from ntkseq.training.batches import Batches

WINDOW = 256
"""Losses that are held on the device: a call of `advance` ends at the next multiple of it, or before."""


@struct
class Setting:
    """What stays the same in all steps."""

    function: Function
    x: tuple[Any, ...]
    """Arguments of f behind params, (n, ...) each."""
    y: Any
    batches: Batches
    lr: Any
    """Of vanilla steps; None if there is an optimizer."""
    first: Any
    """The first step whose parameters count in the average."""
    loss: Any = static()
    optimizer: Any = static()
    averaged: bool = static()


@struct
class State:
    """What a step changes."""

    step: Any
    """Steps done, int32."""
    weights: tuple[Any, ...]
    """The trained leaves."""
    opt: Any
    sums: tuple[Any, ...]
    """Of the iterates that count, in two floats: a plain float32 sum would lose a digit per hundred-thousand steps."""
    diverged: Any
    """Whether the loss at these weights is not finite."""


def start(setting: Setting) -> State:
    """Before the first step."""
    weights = tuple(jnp.array(weight) for weight in setting.function.weights)
    opt = () if setting.optimizer is None else _start(setting.optimizer, tree_of(setting.function, weights))
    sums = tuple(_twofloat.two(jnp.zeros_like(w, wide(w.dtype))) for w in weights) if setting.averaged else ()
    return State(jnp.int32(0), weights, opt, sums, jnp.asarray(False))


def tree_of(function: Function, weights: PyTree) -> PyTree:
    """The parameters that an optimizer sees: None where a leaf is not trained, as if it were not there."""
    leaves: list[Any] = [None] * len(function.leaves)
    for i, weight in zip(function.trained, weights, strict=True):
        leaves[i] = weight
    return jax.tree.unflatten(function.tree, leaves)


def _start(optimizer: Optimizer, params: PyTree) -> Any:
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        state = optimizer.init(params)
    # of a fixed dtype each, so that the first call compiles what all others use
    return jax.tree.map(lambda leaf: jnp.array(leaf, jnp.asarray(leaf).dtype), state)


@jax.jit
def advance(
    setting: Setting, state: State, until: Int[Array, ""]
) -> tuple[State, Float[Array, " window"], Bool[Array, ""]]:
    """Steps until that many are done, or the loss is not finite; then the weights are those it was found at.

    Returns:
        The state; the loss of step s at index s % WINDOW; whether all weights are finite.
    """
    kind = jax.eval_shape(lambda: mean_loss(setting, state.weights, jnp.arange(setting.batches.size, dtype=jnp.int32)))

    def unfinished(carry: PyTree) -> Array:
        return (carry[0].step < until) & ~carry[0].diverged

    def body(carry: PyTree) -> Any:
        state, permutation, held = carry
        index, permutation = setting.batches.next(state.step, permutation)
        value, slope = jax.value_and_grad(lambda weights: mean_loss(setting, weights, index))(state.weights)
        following = step(setting, state, slope)
        fine = jnp.isfinite(value)
        state = jax.tree.map(lambda new, old: jnp.where(fine, new, old), following, state)
        held = held.at[(following.step - 1) % WINDOW].set(value)
        return replace(state, diverged=~fine), permutation, held

    begin = (state, setting.batches.permutation(state.step), jnp.zeros((WINDOW,), kind.dtype))
    state, _, held = jax.lax.while_loop(unfinished, body, begin)
    finite = jnp.stack([jnp.all(jnp.isfinite(weight)) for weight in state.weights])
    return state, held, jnp.all(finite)


def mean_loss(setting: Setting, weights: PyTree, index: Int[Array, " b"]) -> Float[Array, ""]:
    """Over the examples of one batch."""
    chosen = (setting.x, setting.y)
    if not setting.batches.whole:
        chosen = jax.tree.map(lambda leaf: leaf.at[index].get(mode="promise_in_bounds"), chosen)
    loss = losses.get(setting.loss)

    def one(x: Inputs, y: ArrayLike) -> Array:
        out = setting.function.outputs_at(weights, x)
        return loss(out.astype(wide(out.dtype)), y)

    return jnp.mean(jax.vmap(one)(*chosen))


def step(setting: Setting, state: State, slope: PyTree) -> State:
    """One step along a gradient."""
    if setting.optimizer is None:
        opt, weights = state.opt, tuple(_vanilla(w, g, setting.lr) for w, g in zip(state.weights, slope, strict=True))
    else:
        params, gradient = (tree_of(setting.function, part) for part in (state.weights, slope))
        # optax was written for the default rules
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            updates, opt = setting.optimizer.update(gradient, state.opt, params)
            weights = tuple(jax.tree.leaves(optax.apply_updates(params, updates)))
    sums = state.sums
    if setting.averaged:
        counts = state.step >= setting.first
        added = tuple(
            _twofloat.add(total, _twofloat.two(weight.astype(total.hi.dtype)))
            for total, weight in zip(sums, state.weights, strict=True)
        )
        sums = jax.tree.map(lambda new, old: jnp.where(counts, new, old), added, sums)
    return State(state.step + 1, weights, opt, sums, state.diverged)


def _vanilla(weight: Array, slope: PyTree, lr: Array) -> Array:
    dtype = wide(weight.dtype)
    return (weight.astype(dtype) - lr.astype(dtype) * slope.astype(dtype)).astype(weight.dtype)
