"""How is the kernel computed where the factors of all examples do not fit into memory? Block by block, made again."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from ntkseq._struct import static, struct
from ntkseq._types import PyTree
from ntkseq.empirical.function import Function
from ntkseq.empirical.structure import Choice, Prepared, prepare, total


@struct
class Late:
    """Inputs whose factors are made when they are needed, for `block` examples at a time."""

    inputs: Any
    choice: Choice = static()
    block: int = static()

    @property
    def size(self) -> int:
        return jax.tree.leaves(self.inputs)[0].shape[0]


@jax.jit
def tile(function: Function, left: Late, right: Late) -> Array:
    """(n, m, ...): the factors of a block of the left are made once, those of the right for each of them."""
    rows, columns = _blocks(left), _blocks(right)

    def row(one: PyTree) -> Array:
        mine = prepare(function, one, left.choice)
        return _joined(lax.map(lambda other: total(mine, prepare(function, other, right.choice)), columns), 1)

    return _joined(lax.map(row, rows), 0)[: left.size, : right.size]


@jax.jit
def square(function: Function, side: Late) -> Array:
    """(n, n, ...): blocks on and above the diagonal."""
    blocks = _blocks(side)
    count, size = jax.tree.leaves(blocks)[0].shape[:2]
    at = lambda k: jax.tree.map(lambda leaf: lax.dynamic_index_in_dim(leaf, k, keepdims=False), blocks)  # noqa: E731
    shape = jax.eval_shape(lambda: total(prepare(function, at(0), side.choice), None))
    swapped = [1, 0, *([3, 2] if side.choice.outputs.out == "op" else range(2, len(shape.shape)))]

    def row(i: Array, whole: Array) -> Array:
        mine = prepare(function, at(i), side.choice)
        whole = _put(whole, total(mine, None), i * size, i * size)

        def column(j: Array, whole: Array) -> Array:
            value = total(mine, prepare(function, at(j), side.choice))
            whole = _put(whole, value, i * size, j * size)
            return _put(whole, value.transpose(swapped), j * size, i * size)

        return lax.fori_loop(i + 1, count, column, whole)

    whole = jnp.zeros((count * size, count * size, *shape.shape[2:]), shape.dtype)
    return lax.fori_loop(0, count, row, whole)[: side.size, : side.size]


@jax.jit
def diagonal(function: Function, side: Late) -> Array:
    """(n, ...): each example with itself."""
    values = lax.map(lambda some: own(prepare(function, some, side.choice)), _blocks(side))
    return _joined(values, 0)[: side.size]


def own(side: Prepared) -> Array:
    """(n, ...): the kernel of each prepared example with itself, one after the other."""

    def one(example: Prepared) -> Array:
        return total(jax.tree.map(lambda leaf: leaf[None], example), None)[0, 0]

    return lax.map(one, side)


def _blocks(side: Late) -> Any:
    """Inputs (count, block, ...), the last example repeated at the end."""
    count = -(-side.size // side.block)
    index = jnp.minimum(jnp.arange(count * side.block, dtype=jnp.int32), side.size - 1).reshape(count, side.block)
    return jax.tree.map(lambda leaf: leaf[index], side.inputs)


def _joined(blocks: Array, axis: int) -> Array:
    """(count, ..., size at axis, ...) -> the blocks end to end along that axis."""
    blocks = jnp.moveaxis(blocks, 0, axis)
    return blocks.reshape(*blocks.shape[:axis], -1, *blocks.shape[axis + 2 :])


def _put(whole: Array, value: Array, i: Array, j: Array) -> Array:
    zero = jnp.zeros_like(i)
    return lax.dynamic_update_slice(whole, value, (i, j, *[zero] * (whole.ndim - 2)))
