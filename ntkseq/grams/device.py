"""How are the tiles of a Gram matrix computed on an accelerator? In large batches, into one array updated in place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq import _devices
from ntkseq._types import AnyArray
from ntkseq.grams import tiles


def run(task: tiles.Task, tick: Callable[[int], Any]) -> tuple[jax.Array, bool]:
    """The Gram matrix, and whether all its values are finite."""

    def blocks() -> Iterator[tuple[np.ndarray, jax.Array]]:
        for pairs in task.plan.batches():
            yield pairs, task.compute(pairs)
            tick(1)

    return collected(task, blocks())


def collected(task: tiles.Task, blocks: Iterable[tuple[np.ndarray, jax.Array]]) -> tuple[jax.Array, bool]:
    """The Gram matrix from its tiles (k, size, size) at block index pairs (k, 2), which may lie on other devices."""
    (n, m), size = task.shape, task.plan.size
    rows, columns = -(-n // size) * size, -(-m // size) * size
    values = jnp.zeros_like(task.diagonal, shape=(rows, columns))
    for pairs, block in blocks:
        values = _place(values, _devices.brought(block, values), jnp.asarray(pairs))
    values, finite = _finish(values, task.diagonal, task.shape, task.symmetric)
    return values, bool(finite)


@partial(jax.jit, donate_argnums=0)
def _place(values: jax.Array, block: jax.Array, pairs: jax.Array) -> jax.Array:
    size = block.shape[1]

    def one(k: AnyArray, values: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_slice(values, block[k], (pairs[k, 0] * size, pairs[k, 1] * size))

    return jax.lax.fori_loop(0, block.shape[0], one, values)


@partial(jax.jit, static_argnums=(2, 3))
def _finish(
    values: jax.Array, diagonal: jax.Array, shape: tuple[int, int], symmetric: bool
) -> tuple[jax.Array, jax.Array]:
    values = values[: shape[0], : shape[1]]
    if symmetric:
        values = jnp.triu(values) + jnp.triu(values, 1).T
        index = jnp.arange(shape[0])
        values = values.at[index, index].set(diagonal)
    return values, jnp.isfinite(values).all()
