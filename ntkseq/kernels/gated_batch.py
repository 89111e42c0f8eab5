"""What does one batch of particles give for the kernel of a GRU or an LSTM? Tiles, chunk by chunk of sequences."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq._struct import struct
from ntkseq._types import DType, Inputs, Lengths
from ntkseq.kernels import particles as sampling
from ntkseq.kernels.base import Kernel, Side

_CHUNK = 1 << 24  # numbers held for the sequences of one side at a time: 64 MiB in float32
_WHOLE = 1 << 26  # of a matrix of one side with itself: where they fit, every sequence is run once
_BLOCKS = 4  # in which a matrix with itself is put together from its upper triangle: 5/8 of the square


@struct
class Batch(Kernel):
    """One batch of a `Gated` kernel: an estimate of the kernel on its own, independent of the other batches.

    Args:
        kernel: the `Gated`, with any seed.
        key: of its random numbers.
        index: which of its batches.
    """

    kernel: Any
    key: Any
    index: Any

    def prepare(self, x: Inputs, lengths: Lengths = None) -> Side:
        return self.kernel.prepare(x, lengths)

    def tile(self, left: Side, right: Side) -> Float[Array, "n m"]:
        return _tile(self, left, right)

    def diag_side(self, side: Side) -> Float[Array, " n"]:
        return _diag(self, side)

    def square_side(self, side: Side) -> Float[Array, "n n"]:
        """The matrix of all pairs, exactly symmetric. A quarter of a gigabyte at most beside it."""
        return _square(self, side)

    def entries_per_pair(self, side: Side) -> int:
        return self.kernel.entries_per_pair(side)

    def tile_rows(self, side: Side) -> int | None:
        return 1 << 30  # whole: a tile would run its sequences again for every other tile

    def draws(self, side: Side) -> sampling.Draws:
        """The random numbers of this batch."""
        each = self.kernel.particles // self.kernel.batches
        key = jax.random.fold_in(self.key, self.index)
        return sampling.draw(key, self.kernel.cell, side["x"].shape[2], each, side["x"].dtype)


def widened(side: Side) -> Side:
    """In float32 at least."""
    if jnp.finfo(side["x"].dtype).bits >= 32:
        return side
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float32), side)


@jax.jit
def _tile(batch: Batch, left: Side, right: Side) -> Array:
    given, (left, right) = left["x"].dtype, (widened(left), widened(right))
    return block(batch.kernel, batch.draws(left), left, right).astype(given)


@jax.jit
def _diag(batch: Batch, side: Side) -> Array:
    given, side = side["x"].dtype, widened(side)
    return diagonal(batch.kernel, batch.draws(side), side).astype(given)


@jax.jit
def _square(batch: Batch, side: Side) -> Array:
    given, side = side["x"].dtype, widened(side)
    kernel, draws = batch.kernel, batch.draws(side)
    n, t, _ = side["x"].shape
    if n * 16 * t * draws.bias.shape[1] > _WHOLE:
        values = block(kernel, draws, side, side)
    else:
        held = (_features(kernel, draws, side), side)
        edges = np.linspace(0, n, min(_BLOCKS, max(1, n // 8)) + 1).astype(int)
        cut = lambda a, b: jax.tree.map(lambda leaf: leaf[a:b], held)  # noqa: E731
        rows = [_contract(kernel, cut(a, b), cut(a, n)) for a, b in itertools.pairwise(edges)]
        values = jnp.concatenate([jnp.pad(row, ((0, 0), (n - row.shape[1], 0))) for row in rows])
    upper = jnp.triu(values)
    return (upper + jnp.triu(values, 1).T).astype(given)


def block(kernel: Any, draws: sampling.Draws, left: Side, right: Side) -> Float[Array, "n m"]:
    """The kernel by one batch of particles, chunk by chunk of sequences on either side."""
    run = partial(_features, kernel, draws)

    @jax.checkpoint
    def pairs(of: tuple[sampling.Features, Side], other: Side) -> Array:
        return _contract(kernel, of, (run(other), other))

    @jax.checkpoint
    def rows(one: Side) -> Array:
        held = run(one)
        return _chunked(lambda other: pairs((held, one), other).T, right, each=draws.bias.shape[1]).T

    return _chunked(rows, left, each=draws.bias.shape[1])


def diagonal(kernel: Any, draws: sampling.Draws, side: Side) -> Float[Array, " n"]:
    """The kernel of each sequence with itself by one batch of particles."""

    @jax.checkpoint
    def each(one: Side) -> Array:
        batches = jax.tree.map(lambda leaf: leaf[:, None], (_features(kernel, draws, one), one))
        return jax.vmap(lambda of: _contract(kernel, of, of)[0, 0])(batches)

    return _chunked(each, side, each=draws.bias.shape[1])


def _features(kernel: Any, draws: sampling.Draws, side: Side) -> sampling.Features:
    tangent = kernel.kind == "ntk" and bool(set(kernel.train) & set("WUb"))
    dtype = side["x"].dtype
    return sampling.features(cell(kernel, dtype), scales(kernel, dtype), draws, side["x"], side["read"], tangent)


def _contract(kernel: Any, left: tuple[sampling.Features, Side], right: tuple[sampling.Features, Side]) -> Array:
    (one, x), (two, y) = left, right
    dtype, raw = x["x"].dtype, kernel.param == "raw"
    own = scales(kernel, dtype)
    if kernel.kind == "nngp":
        return sampling.contract(own, "R", (one, x["x"]), (two, y["x"]))
    head, total = "R" if "R" in kernel.train else "", jnp.zeros((x["x"].shape[0], y["x"].shape[0]), dtype)
    for share in sampling.shares(cell(kernel, dtype), own, raw):
        train = head + "".join(letter for letter in share.train if letter in kernel.train)
        if train:
            pair = [(sampling.chosen(found, share.gates) if found.streams else found) for found in (one, two)]
            total = total + sampling.contract(share.scales, train, (pair[0], x["x"]), (pair[1], y["x"]))
        head = ""
    return total


def _chunked(rows: Callable[[Side], Array], side: Side, each: int) -> Array:
    """`rows` of the whole side, a chunk of sequences at a time, so that what is held for them fits in memory."""
    n, t, _ = side["x"].shape
    most = max(1, _CHUNK // (16 * t * each))  # 8 to 14 arrays (t, particles) for each sequence
    if n <= most:
        return rows(side)
    chunks = -(-n // most)
    size = -(-n // chunks)
    index = np.minimum(np.arange(chunks * size), n - 1).reshape(chunks, size)
    values = jax.lax.map(lambda at: rows(jax.tree.map(lambda leaf: leaf[at], side)), jnp.asarray(index))
    return values.reshape(chunks * size, *values.shape[2:])[:n]


def cell(kernel: Any, dtype: DType) -> Any:
    """The cell of the kernel, its numbers in the dtype of the data."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), kernel.cell)


def scales(kernel: Any, dtype: DType) -> sampling.Scales:
    """The scales of the kernel in the dtype of the data; the first three one for each gate, if they are given so."""
    values = (kernel.cell.sigma_w, kernel.cell.sigma_u, kernel.cell.sigma_b, kernel.sigma_r)
    return sampling.Scales(*(jnp.asarray(value, dtype) for value in values))
