"""How far may rounding have moved an entry of an empirical kernel? Measured: some examples again in another precision.

No a-priori bound of an arbitrary program is of use, so the kernel of a few examples is computed in float64 beside the
dtype of the data (in float32 for float64 data) and the largest difference, in units of the coarser eps, is taken for
all entries, times a factor of safety. This is an estimate, not a proof: an example that is far more sensitive
than all those looked at may exceed it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq._precision import is_complex
from ntkseq._struct import replace
from ntkseq.empirical.function import Function
from ntkseq.empirical.structure import Choice, examine, prepare, total

FEW = 8
"""Examples that are looked at."""
SAFETY = 8.0
FLOOR = 8.0
"""Roundings, in eps, that are assumed at least."""


def measured(function: Function, x: Any, choose: Callable[[Function, Any], Choice]) -> float:
    """Upper estimate of |computed - exact| / sqrt(K_ii K_jj) over the entries; infinite where nothing can be learnt.

    A function that holds arrays or casts of one fixed dtype may not run in another: the parameters are then moved by
    one rounding each, instead. What f computes in a coarser dtype than that of the data, as bfloat16 activations, it
    computes in the other run too: eps is then that of the coarser one.

    Args:
        function: the function at its parameters.
        x: its checked inputs.
        choose: what is done with each leaf. Asked once per precision: a program in another dtype has other equations.
    """
    n = jax.tree.leaves(x)[0].shape[0]
    which = np.unique(np.linspace(0, n - 1, min(n, FEW)).astype(int))
    few = jax.tree.map(lambda leaf: leaf[which], x)
    choice = choose(function, x)
    here = np.asarray(_kernel(function, few, choice), np.float64)
    dtype = _coarsest(function, x)
    eps = max(float(jnp.finfo(dtype).eps), examine(function, few).eps)
    other = jnp.float64 if dtype != jnp.float64 else jnp.float32
    try:
        with jax.enable_x64(True):
            cast, moved = _cast((function, few), other)
            there = np.asarray(_kernel(cast, moved, choose(cast, moved)), np.float64)
        unit = max(eps, float(jnp.finfo(other).eps))
    except (TypeError, ValueError):
        there = np.asarray(_kernel(_moved(function, eps), few, choice), np.float64)
        unit = eps
    worst = _largest(here, there) / unit
    return eps * (FLOOR + SAFETY * worst) if np.isfinite(worst) else float("inf")


@partial(jax.jit, static_argnames="choice")
def _kernel(function: Function, x: Any, choice: Choice) -> Any:
    return total(prepare(function, x, choice), None)


def _largest(one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference relative to sqrt(K_ii K_jj); output by output where there are several."""
    if one.ndim == 3:
        return max(_largest(one[:, :, k], other[:, :, k]) for k in range(one.shape[2]))
    if one.ndim == 4:
        n, o = one.shape[0], one.shape[2]
        one, other = (np.swapaxes(a, 1, 2).reshape(n * o, n * o) for a in (one, other))
    sizes = np.sqrt(np.maximum(np.maximum(one.diagonal(), other.diagonal()), 0))
    scale = np.outer(sizes, sizes)
    gap = np.abs(one - other)
    if not np.isfinite(gap).all():
        return float("inf")
    return float(np.max(np.where(scale > 0, gap / np.where(scale > 0, scale, 1), 0)))


def _coarsest(function: Function, x: Any) -> Any:
    """The floating dtype of least precision among parameters and inputs."""
    leaves = [*function.leaves, *jax.tree.leaves(x)]
    kinds = [leaf.dtype for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return max(kinds, key=lambda dtype: float(jnp.finfo(dtype).eps))


def _cast(tree: Any, dtype: Any) -> Any:
    def cast(leaf: Any) -> Any:
        if is_complex(leaf.dtype):
            return leaf.astype(np.promote_types(dtype, np.complex64))
        return leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(cast, tree)


def _moved(function: Function, eps: float) -> Function:
    """Every parameter by one rounding, up or down."""

    def move(k: int, leaf: Any) -> Any:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf
        signs = np.random.default_rng(k).choice([-1.0, 1.0], leaf.shape)
        return leaf * jnp.asarray(1 + eps * signs, leaf.dtype)

    return replace(function, leaves=tuple(move(k, leaf) for k, leaf in enumerate(function.leaves)))
