"""How do the factors of two batches become kernel values? By one of two orders, in bounded memory.

J_i = sum over t of a_it (x) delta_it, so <J_i, J_j> is either the sum over t, s of (a_it . a_js)(delta_it . delta_js)
("gram"), or the inner product of the two matrices ("weights"), made a block of columns at a time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ntkseq._precision import wide
from ntkseq._types import PyTree

_TILE = 512  # uses of a tile of examples in the order "gram": the tile then stays in the second-level cache
BLOCK = 1 << 24
"""Bytes of a block of columns in the order "weights"."""

Factors = Sequence[tuple[Array, Array]]
"""The two factors of each bucket: (n, [o,] B, T, c) and (n, [o,] B, T, d)."""


@dataclasses.dataclass(frozen=True)
class Outputs:
    """What becomes of the outputs: o of them; "mean" sums over them, "diagonal" and "full" keep them."""

    count: int
    kept: str = "mean"

    @property
    def single(self) -> bool:
        return self.count == 1

    @property
    def left(self) -> str:
        return "" if self.single else "o"

    @property
    def right(self) -> str:
        return "" if self.single else ("p" if self.kept == "full" else "o")

    @property
    def out(self) -> str:
        return "" if self.single or self.kept == "mean" else ("op" if self.kept == "full" else "o")


@dataclasses.dataclass(frozen=True)
class Layout:
    """Of each bucket: whether the first factor is row numbers, and whether it or the second is the delta."""

    rows: bool
    delta_first: bool


def gram(layouts: Sequence[Layout], left: Factors, right: Factors, outputs: Outputs) -> Array:
    """(n, m, ...) by products of records times products of deltas, a tile of examples at a time."""
    sizes = [_tile_rows(factors, outputs) for factors in (left, right)]
    return _tiled(lambda a, b: _gram_tile(layouts, a, b, outputs), left, right, sizes)


def gram_square(layouts: Sequence[Layout], factors: Factors, outputs: Outputs) -> Array:
    """`gram` of a batch with itself: the upper triangle of tiles, mirrored."""
    size, n = _tile_rows(factors, outputs), factors[0][0].shape[0]
    if n <= size < 2 * n:  # one tile, and large enough for half of it to be saved work
        size = -(-n // 2)
    count = -(-n // size)
    if n == 1 or count == 1:
        return _gram_tile(layouts, factors, factors, outputs)
    size = -(-n // count)
    padded = jax.tree.map(lambda leaf: _padded(leaf, count * size), list(factors))
    rows, columns = np.triu_indices(count)
    cut = lambda k: jax.tree.map(lambda leaf: lax.dynamic_slice_in_dim(leaf, k * size, size), padded)  # noqa: E731
    tiles = lax.map(
        lambda at: _gram_tile(layouts, cut(at[0]), cut(at[1]), outputs), (jnp.asarray(rows), jnp.asarray(columns))
    )
    whole = jnp.zeros((count, count, *tiles.shape[1:]), tiles.dtype).at[rows, columns].set(tiles)
    mirrored = jnp.swapaxes(tiles, 1, 2)
    if outputs.out == "op":
        mirrored = jnp.swapaxes(mirrored, 3, 4)
    whole = jnp.swapaxes(whole.at[columns, rows].set(mirrored), 1, 2)
    return whole.reshape(count * size, count * size, *tiles.shape[3:])[:n, :n]


def weights(layouts: Sequence[Layout], left: Factors, right: Factors | None, outputs: Outputs, table: int) -> Array:
    """(n, m, ...) by the matrices J themselves, a block of columns at a time. `right=None`: left with itself.

    table: c, the number of rows of a table whose row numbers are the first factor.
    """
    first, second = left[0]
    span, lead = second.shape[-1], first.shape[0] * outputs.count * second.shape[-3]
    row = lead * (table if layouts[0].rows else first.shape[-1]) * first.dtype.itemsize
    width = min(span, max(8, BLOCK // max(row, 1)))
    count = -(-span // width)
    width = -(-span // count)

    def block(start: PyTree) -> Array:
        cut = lambda factors: _matrices(layouts, factors, start, width, outputs, table)  # noqa: E731
        one = cut(left)
        return rows_product(one, one if right is None else cut(right), outputs)

    if count == 1:
        return block(0)
    left = [(one, _padded(two, count * width, -1)) for one, two in left]
    right = None if right is None else [(one, _padded(two, count * width, -1)) for one, two in right]
    shape = jax.eval_shape(block, 0)
    return lax.fori_loop(0, count, lambda k, sum_: sum_ + block(k * width), jnp.zeros(shape.shape, shape.dtype))


def rows_product(left: Array, right: Array, outputs: Outputs) -> Array:
    """(n, m, ...) from Jacobian rows (n, o, p) and (m, o, p)."""
    if outputs.single or outputs.out == "":
        flat = lambda a: a.reshape(a.shape[0], -1)  # noqa: E731
        return product("ik,jk->ij", flat(left), flat(right))
    if outputs.out == "o":
        return product("iok,jok->ijo", left, right)
    flat = lambda a: a.reshape(-1, a.shape[-1])  # noqa: E731
    values = product("ik,jk->ij", flat(left), flat(right))
    return jnp.swapaxes(values.reshape(left.shape[0], outputs.count, right.shape[0], outputs.count), 1, 2)


def product(subscripts: str, *operands: Array) -> Array:
    """`einsum` at full precision, accumulated in float32 at least."""
    dtype = wide(*(operand.dtype for operand in operands))
    if len({operand.dtype for operand in operands}) > 1:
        operands = tuple(operand.astype(dtype) for operand in operands)
    return jnp.einsum(subscripts, *operands, precision="highest", preferred_element_type=dtype)


def _tile_rows(factors: Factors, outputs: Outputs) -> int:
    uses = sum(first.shape[-1 if first.ndim == 3 else -2] for first, _ in factors)
    return max(1, _TILE // (uses * (outputs.count if outputs.out else 1)))


def _tiled(tile: Callable[..., Array], left: Factors, right: Factors, sizes: list[int]) -> Array:
    lengths = [factors[0][0].shape[0] for factors in (left, right)]
    counts = [-(-n // min(size, n)) for n, size in zip(lengths, sizes, strict=True)]
    if counts == [1, 1]:
        return tile(left, right)
    cuts = []
    for factors, n, count in zip((left, right), lengths, counts, strict=True):
        size = -(-n // count)
        cuts.append(
            jax.tree.map(lambda a, c=count, s=size: _padded(a, c * s).reshape(c, s, *a.shape[1:]), list(factors))
        )
    # (rows of tiles, columns of tiles, n, m, ...)
    blocks = lax.map(lambda a: lax.map(lambda b: tile(a, b), cuts[1]), cuts[0])
    blocks = jnp.swapaxes(blocks, 1, 2)
    whole = blocks.reshape(blocks.shape[0] * blocks.shape[1], blocks.shape[2] * blocks.shape[3], *blocks.shape[4:])
    return whole[: lengths[0], : lengths[1]]


def _padded(array: Array, length: int, axis: int = 0) -> Array:
    short = length - array.shape[axis]
    if short == 0:
        return array
    return jnp.pad(array, [(0, short if k == axis % array.ndim else 0) for k in range(array.ndim)])


def _gram_tile(layouts: Sequence[Layout], left: Factors, right: Factors, outputs: Outputs) -> Array:
    pairs = [
        _gram_pair(one, two, a, b, outputs)
        for one, a in zip(layouts, left, strict=True)
        for two, b in zip(layouts, right, strict=True)
    ]
    return sum(pairs[1:], pairs[0])


def _gram_pair(
    one: Layout, two: Layout, left: tuple[Array, Array], right: tuple[Array, Array], outputs: Outputs
) -> Array:
    """Sum over b, t, s of (first . first')(second . second')."""
    o_left, o_right = outputs.left, outputs.right
    dense = not one.rows and not two.rows and left[0].shape[-3] == 1
    if dense and outputs.out == "" and one.delta_first == two.delta_first:
        return _flat_pair(left, right)
    a, b = (o_left if one.delta_first else ""), (o_right if two.delta_first else "")
    c, d = ("" if one.delta_first else o_left), ("" if two.delta_first else o_right)
    summed = outputs.out == "" and c == d == "o"  # the outputs are summed within one factor
    keep = "" if summed else "".join(dict.fromkeys(c + d))
    two_axes = "bitjs" + keep
    second = product(f"i{c}btd,j{d}bsd->{two_axes}", left[1], right[1])
    if one.rows and two.rows:
        same = left[0][:, :, :, None, None] == jnp.moveaxis(right[0], 1, 0)[None, :, None]  # (i, b, t, j, s)
        first, one_axes = jnp.moveaxis(same, 1, 0).astype(second.dtype), "bitjs"
    elif one.rows:
        first, one_axes = _picked(left[0], right[0]), f"itj{b}bs"
    elif two.rows:
        first, one_axes = _picked(right[0], left[0]), f"jsi{a}bt"
    else:
        one_axes = "bitjs" + "".join(dict.fromkeys(a + b))
        first = product(f"i{a}btc,j{b}bsc->{one_axes}", left[0], right[0])
    if set(one_axes) == set(two_axes):  # one pass over both: no third array
        first = first.transpose([one_axes.index(letter) for letter in two_axes]).astype(second.dtype)
        values = jnp.sum(first * second, axis=[two_axes.index(letter) for letter in "bts"])
        rest = [letter for letter in two_axes if letter not in "bts"]
    else:
        rest = list("ij" + "".join(dict.fromkeys(o_left + o_right)))
        values = product(f"{one_axes},{two_axes}->{''.join(rest)}", first, second)
    gone = [k for k, letter in enumerate(rest) if letter not in "ij" + outputs.out]
    values = jnp.sum(values, axis=gone)
    rest = [letter for letter in rest if letter in "ij" + outputs.out]
    return values.transpose([rest.index(letter) for letter in "ij" + outputs.out])


def _flat_pair(left: tuple[Array, Array], right: tuple[Array, Array]) -> Array:
    """`_gram_pair` for one matrix and a sum over outputs: two plain matrix products, multiplied before they unfold."""
    uses = lambda a: (a.shape[0], a.shape[-2])  # noqa: E731
    # (n, [o,] 1, T, c) -> (n T, [o] c)
    flat = lambda a: jnp.moveaxis(a, -2, 1).reshape(a.shape[0] * a.shape[-2], -1)  # noqa: E731
    first, second = (product("ik,jk->ij", flat(a), flat(b)) for a, b in zip(left, right, strict=True))
    return jnp.sum((first.astype(second.dtype) * second).reshape(*uses(left[0]), *uses(right[0])), axis=(1, 3))


def _picked(numbers: Array, factor: Array) -> Array:
    """The entries of a dense first factor at row numbers (n, 1, T): (n, T, axes of the factor but its last)."""
    return jnp.take(jnp.moveaxis(factor, -1, 0), numbers[:, 0], axis=0)


def _matrices(
    layouts: Sequence[Layout], factors: Factors, start: PyTree, width: int, outputs: Outputs, table: int
) -> Array:
    """Columns start .. start + width of the matrices J: (n, o, B c width)."""
    total = None
    for layout, (first, second) in zip(layouts, factors, strict=True):
        second = lax.dynamic_slice_in_dim(second, start, width, second.ndim - 1)
        if layout.rows:
            first = jax.nn.one_hot(first, table, dtype=second.dtype)
        a, b = (outputs.left, "") if layout.delta_first else ("", outputs.left)
        part = product(f"i{a}btc,i{b}btd->i{outputs.left}bcd", first, second)
        total = part if total is None else total + part
    assert total is not None
    return total.reshape(total.shape[0], outputs.count, -1)
