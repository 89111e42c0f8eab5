"""What does one batch of particles give for the kernel of a GRU or an LSTM? Tiles, chunk by chunk of sequences."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ntkseq._struct import struct
from ntkseq._types import DType, Inputs, Lengths
from ntkseq.kernels import particles as sampling
from ntkseq.kernels.base import Kernel, Side
from ntkseq.kernels.particle_pairs import mirrored

_RUN = 1 << 25  # numbers held while sequences are run: 128 MiB in float32
_HELD = 1 << 25  # of the features of one side that are held: where all of them fit, every sequence is run once


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
        """The matrix of all pairs, exactly symmetric. Half a gigabyte at most beside it."""
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
    n = side["x"].shape[0]
    run = lambda one: (_features(kernel, draws, one), one)  # noqa: E731
    index = _parts(n, _HELD // _numbers(kernel, draws, side))
    if len(index) == 1:
        return _contract(kernel, run(side)).astype(given)
    some = lambda i: run(jax.tree.map(lambda leaf: leaf[jnp.asarray(index)[i]], side))  # noqa: E731
    one, two = np.triu_indices(len(index))
    blocks = jax.lax.map(lambda at: _contract(kernel, some(at[0]), some(at[1])), (jnp.asarray(one), jnp.asarray(two)))
    chunks, size = index.shape
    whole = jnp.zeros((chunks, size, chunks, size), blocks.dtype).at[one, :, two].set(blocks)
    return mirrored(whole.reshape(chunks * size, -1)[:n, :n]).astype(given)


def block(kernel: Any, draws: sampling.Draws, left: Side, right: Side) -> Float[Array, "n m"]:
    """The kernel by one batch of particles, a part of the sequences on either side at a time."""
    run = lambda one: (_features(kernel, draws, one), one)  # noqa: E731
    most = _HELD // _numbers(kernel, draws, left)

    @jax.checkpoint
    def rows(one: Side) -> Array:
        held = run(one)
        return _chunked(jax.checkpoint(lambda two: _contract(kernel, held, run(two)).T), right, most).T

    return _chunked(rows, left, most)


def diagonal(kernel: Any, draws: sampling.Draws, side: Side) -> Float[Array, " n"]:
    """The kernel of each sequence with itself by one batch of particles."""

    @jax.checkpoint
    def each(one: Side) -> Array:
        batches = jax.tree.map(lambda leaf: leaf[:, None], (_features(kernel, draws, one), one))
        return jax.vmap(lambda of: _contract(kernel, of)[0, 0])(batches)

    return _chunked(each, side, _HELD // _numbers(kernel, draws, side))


def _features(kernel: Any, draws: sampling.Draws, side: Side) -> sampling.Features:
    """The features of all sequences, so many run at a time as fit in memory."""
    most = _RUN // (16 * side["x"].shape[1] * draws.bias.shape[1])  # 8 to 14 arrays (t, particles) for each sequence
    return _chunked(partial(_run, kernel, draws), side, most)


def _run(kernel: Any, draws: sampling.Draws, side: Side) -> sampling.Features:
    tangent = kernel.kind == "ntk" and bool(set(kernel.train) & set("WUb"))
    dtype = side["x"].dtype
    return sampling.features(cell(kernel, dtype), scales(kernel, dtype), draws, side["x"], side["read"], tangent)


def _numbers(kernel: Any, draws: sampling.Draws, side: Side) -> int:
    """How many numbers the features of a sequence are."""
    one = jax.eval_shape(partial(_run, kernel, draws), jax.tree.map(lambda leaf: leaf[:1], side))
    return sum(leaf.size for leaf in jax.tree.leaves(one))


def _contract(
    kernel: Any, left: tuple[sampling.Features, Side], right: tuple[sampling.Features, Side] | None = None
) -> Array:
    x, y = left[1]["x"], (left if right is None else right)[1]["x"]
    own = scales(kernel, x.dtype)

    def share(scales: sampling.Scales, train: str, pick: Callable[[sampling.Features], sampling.Features]) -> Array:
        return sampling.contract(scales, train, (pick(left[0]), x), None if right is None else (pick(right[0]), y))

    if kernel.kind == "nngp":
        return share(own, "R", lambda found: found)
    head, total = "R" if "R" in kernel.train else "", jnp.zeros((x.shape[0], y.shape[0]), x.dtype)
    for some in sampling.shares(cell(kernel, x.dtype), own, kernel.param == "raw"):
        train = head + "".join(letter for letter in some.train if letter in kernel.train)
        if train:
            pick = lambda found, gates=some.gates: sampling.chosen(found, gates) if found.streams else found  # noqa: E731
            total = total + share(some.scales, train, pick)
        head = ""
    return total


def _parts(n: int, most: int) -> Int[np.ndarray, "parts size"]:
    """The numbers below n in equal parts of `most` or fewer; the last one is repeated where they do not fill them."""
    count = -(-n // max(1, most))
    return np.minimum(np.arange(count * -(-n // count)), n - 1).reshape(count, -1)


def _chunked(rows: Callable[[Side], Any], side: Side, most: int) -> Any:
    """`rows` of the whole side, `most` of the sequences at a time, so that what is held for them fits in memory."""
    n = side["x"].shape[0]
    index = _parts(n, most)
    if len(index) == 1:
        return rows(side)
    values = jax.lax.map(lambda at: rows(jax.tree.map(lambda leaf: leaf[at], side)), jnp.asarray(index))
    return jax.tree.map(lambda leaf: leaf.reshape(index.size, *leaf.shape[2:])[:n], values)


def cell(kernel: Any, dtype: DType) -> Any:
    """The cell of the kernel, its numbers in the dtype of the data."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), kernel.cell)


def scales(kernel: Any, dtype: DType) -> sampling.Scales:
    """The scales of the kernel in the dtype of the data; the first three one for each gate, if they are given so."""
    values = (kernel.cell.sigma_w, kernel.cell.sigma_u, kernel.cell.sigma_b, kernel.sigma_r)
    return sampling.Scales(*(jnp.asarray(value, dtype) for value in values))
