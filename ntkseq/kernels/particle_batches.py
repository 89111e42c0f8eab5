"""What do batches of particles give for the kernel of a network with gated cells? Tiles, chunk by chunk of sequences.

What a kernel of particles states, and how, stands here once for `kernels.Gated` and `kernels.Serial`: such a kernel has
a `network()`, `particles` in `batches` and a `seed`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ntkseq import _checks, blocks, cells
from ntkseq._struct import struct
from ntkseq._types import Inputs, Integer, Key, Lengths, PyTree
from ntkseq.kernels import particles as sampling
from ntkseq.kernels.base import Kernel, Side
from ntkseq.kernels.layers import read_weights
from ntkseq.kernels.particle_network import Draws, Features, Network
from ntkseq.kernels.particle_pairs import mirrored
from ntkseq.kernels.parts import Parts, largest, some, student

SILENT = (
    "a token has variance 0 where a LayerNorm with eps=0 divides by it. "
    "Set LayerNorm(eps=...), give a Linear before it a bias, or drop tokens of zeros."
)
_RUN = 1 << 25  # numbers held while sequences are run: 128 MiB in float32
_HELD = 1 << 25  # of the features of one side that are held: where all of them fit, every sequence is run once
_ALONE = 64  # sequences whose values with themselves are computed at a time
_MOST_PER_BATCH = 4096  # its matrices are 6 or 8 x 4096^2 numbers a layer: half a gigabyte in float32


def needed(parts: tuple[blocks.Block, ...]) -> bool:
    """Whether a cell among the blocks has no closed form."""
    layers = (part.cell for part in blocks.every(parts) if isinstance(part, blocks.Recurrent))
    return any(isinstance(cell, sampling.SAMPLED) for cell in layers)


def check(particles: Integer, batches: Integer, seed: Integer) -> tuple[int, int, int]:
    """The number of particles, of their batches, and the seed.

    Raises:
        ValueError: what is no whole number, fewer than two batches, particles that do not divide into them.
    """
    particles = _checks.positive_int("particles", particles)
    batches = _checks.positive_int("batches", batches)
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**31:
        raise ValueError(f"seed must be an integer in 0..2^31 - 1; got {_checks.shown(seed)}.")
    if batches < 2:
        raise ValueError(f"batches must be at least 2, for their spread is the error; got {batches}.")
    each, left = divmod(particles, batches)
    if left or not 2 <= each <= _MOST_PER_BATCH:
        raise ValueError(
            f"particles must be a multiple of batches, 2 to {_MOST_PER_BATCH} for each; got "
            f"particles={particles}, batches={batches}. For more particles raise batches as well."
        )
    return particles, batches, int(seed)


def squares(kernel: Kernel) -> list[Any]:
    """The numbers that enter the kernel as squares: all but what is added to a forget gate."""
    lstm = lambda one: isinstance(one, cells.LSTM)  # noqa: E731
    parts = jax.tree.leaves(kernel, is_leaf=lstm)
    return jax.tree.leaves([(a.sigma_w, a.sigma_u, a.sigma_b) if lstm(a) else a for a in parts])


# ---------------------------------------------------------------------------------------- what a kernel states


def network(kernel: PyTree, parts: tuple[blocks.Block, ...]) -> Network:
    """These blocks, read out as the kernel says, by the particles of one of its batches."""
    return Network(
        blocks=parts,
        sigma_r=kernel.sigma_r,
        each=kernel.particles // kernel.batches,
        readout=kernel.train_readout or kernel.kind == "nngp",
        tangent=kernel.kind == "ntk",
        raw=kernel.param == "raw",
    )


def prepare(kernel: PyTree, x: Inputs, lengths: Lengths) -> Side:
    """The sequences, scaled, with the weight of each step in the output.

    Raises:
        ValueError: as `_checks.sequences`; variances that overflow; a token of variance 0 at a LayerNorm without eps.
    """
    x, lengths = _checks.sequences("x", x, lengths)
    side, fits = _prepare(kernel.network(), kernel.read, kernel.input_scale, x, lengths)
    _checks.no_overflow(fits, x.dtype, "the first step", "sigma_u or sigma_b")
    net, _, key = _sampler(kernel)
    if _divides(net.blocks) and _checks.is_concrete(side["x"]) and bool(_silent(net, key, side)):
        raise ValueError(SILENT)
    return side


def _divides(parts: tuple[blocks.Block, ...]) -> bool:
    """Whether a LayerNorm is known to stand without eps."""
    norms = (part.eps for part in blocks.every(parts) if isinstance(part, blocks.LayerNorm))
    return any(_checks.is_concrete(eps) and float(eps) == 0 for eps in norms)


@jax.jit
def _silent(net: Network, key: Key, side: Side) -> Array:
    """Whether a token of any sequence has variance 0 there, in the first batch."""
    side = widened(side)
    draws = net.draw(jax.random.fold_in(key, 0), side)
    return jnp.any(_chunked(lambda one: net.silent(draws, one), side, _at_once(net, side)))


def tile(kernel: PyTree, left: Side, right: Side | None) -> Float[Array, "n ..."]:
    """The mean over the batches: (n, m), or of each sequence with itself, (n,), without `right`."""
    if right is None and _checks.is_concrete(left["x"]):
        return _diagonal(kernel, left)
    return _estimate(*_sampler(kernel), left, right)[0]


def _diagonal(kernel: PyTree, side: Side) -> Float[Array, " n"]:
    """Of each sequence with itself, `_ALONE` at a time: one program for however many there are."""
    n = side["x"].shape[0]
    index = np.minimum(np.arange(-(-n // _ALONE) * _ALONE), n - 1).reshape(-1, _ALONE)
    some = (jax.tree.map(lambda leaf, at=at: leaf[at], side) for at in index)
    return jnp.concatenate([_estimate(*_sampler(kernel), one, None)[0] for one in some])[:n]


def standard_error(kernel: PyTree, left: Side, right: Side) -> Float[Array, "n m"]:
    """Its standard error, from the spread of the batches."""
    return _estimate(*_sampler(kernel), left, right)[1]


def entry_rounding(kernel: PyTree, side: Side) -> float:
    """Rounding, and the largest relative standard error over a few pairs times Student's factor."""
    few = jax.tree.map(lambda leaf: leaf[some(side["x"].shape[0])], side)
    values, error = (np.asarray(a, np.float64) for a in _estimate(*_sampler(kernel), few, few))
    return rounding(kernel, side) + student(kernel.batches) * largest(values, error)


def rounding(kernel: PyTree, side: Side) -> float:
    """Upper estimate of |computed - exact| / sqrt(K_ii K_jj) for the same draws."""
    deep = depth(kernel.network().blocks)
    return float(jnp.finfo(side["x"].dtype).eps) * (32.0 + 2.0 * side["x"].shape[1] ** 0.5) * deep


def depth(parts: tuple[blocks.Block, ...]) -> int:
    """How many blocks stand one behind the other."""
    return sum(not isinstance(part, blocks.Residual) for part in blocks.every(parts))


def parts(kernel: PyTree, side: Side) -> Parts:
    """The batches: their mean is the kernel. What all of them are off alike is stated by `common_bias`.

    Their roundings differ, so that much of it goes into the spread: what is stated beside it is a third of what
    `entry_rounding` states, three times the largest that one batch of 512 had, 5.7 eps in 20 steps of one layer.
    """
    bare, key = kernel.with_(seed=0), jax.random.key(kernel.seed)
    batches = tuple(Batch(bare, key, jnp.int32(b)) for b in range(kernel.batches))
    rounded = rounding(kernel, side) / 2.6
    bias = common_bias(kernel, side)
    return Parts(batches, (side,) * kernel.batches, kernel.particles, "particles", True, rounded, bias)


def common_bias(kernel: PyTree, side: Side) -> float:
    """Upper estimate of what batches of P particles are off alike, relative to sqrt(K_ii K_jj).

    It is c / P. Without attention c was at most 1.1 for up to six blocks, GRU, LSTM, LRU and S4D among them, P = 16 and
    32: c is taken as the number of blocks. Attention takes covariances into an exponential, and a `ControlledResNet`
    multiplies them at every step: there c was 4.2 and 3.2, and it is measured on a few examples, with batches of a
    sixteenth of the particles, of a quarter where there are heads of few coordinates, and doubled.
    """
    net = kernel.network()
    each = kernel.particles // kernel.batches
    stated = depth(net.blocks) / each
    attention = [part for part in blocks.every(net.blocks) if isinstance(part, blocks.Attention)]
    if not attention and not _multiplies(net.blocks):
        return stated
    share = 4 if any(part.scaling == "root" for part in attention) else 16
    small = max(4, each // (2 * share) * 2)
    if each < 2 * small:
        return 4 * stated
    few = jax.tree.map(lambda leaf: leaf[some(side["x"].shape[0])], side)
    key, less = jax.random.key(kernel.seed), dataclasses.replace(net, each=small)
    one = _estimate(net, kernel.batches, key, few, few)
    two = _estimate(less, kernel.particles // small, jax.random.fold_in(key, 1), few, few)
    (values, error), (others, spread) = (tuple(np.asarray(a, np.float64) for a in both) for both in (one, two))
    off = np.abs(others - values) + 2 * np.hypot(error, spread)
    return max(stated, 2 * largest(values, off) / (each / small - 1))


def _multiplies(parts: tuple[blocks.Block, ...]) -> bool:
    layers = (part.cell for part in blocks.every(parts) if isinstance(part, blocks.Recurrent))
    return any(isinstance(cell, cells.ControlledResNet) for cell in layers)


def steps(kernel: PyTree, side: Side) -> int:
    """Particles times gates times steps."""
    return _gates(kernel.network().blocks) * kernel.particles * side["x"].shape[1]


def _gates(parts: tuple[blocks.Block, ...]) -> int:
    """Products with matrices a token passes, each there and back."""
    return sum(_products(part) for part in blocks.every(parts) if not isinstance(part, blocks.Residual))


def _products(part: blocks.Block) -> int:
    if isinstance(part, blocks.Recurrent):
        several = {cells.LRU: 4, cells.ControlledResNet: 5}
        return several.get(type(part.cell), sampling.gates(part.cell))
    return 16 if isinstance(part, blocks.Attention) and part.scaling == "root" else 1


def _sampler(kernel: PyTree) -> tuple[Network, int, Array]:
    """What an estimate needs: a second seed compiles nothing."""
    return kernel.network(), kernel.batches, jax.random.key(kernel.seed)


@partial(jax.jit, static_argnums=(1, 2))
def _prepare(net: Network, read: str, input_scale: str, x: Array, lengths: Array) -> tuple[Side, Array]:
    inside = jnp.arange(x.shape[1], dtype=lengths.dtype)[None, :] < lengths[:, None]
    weights = read_weights(read, inside, lengths, x.dtype)
    x = x * (x.shape[2] ** -0.5 if input_scale == "dim" else 1.0)
    most = [jnp.max(jnp.asarray(leaf, x.dtype)) ** 2 for leaf in jax.tree.leaves(net)]
    variance = jnp.stack(most).max() * (jnp.sum(x * x, axis=2) + 1)
    return {"x": x, "read": weights, "inside": inside}, jnp.isfinite(variance).all()


@partial(jax.jit, static_argnums=1)
def _estimate(net: Network, batches: int, key: Key, left: Side, right: Side | None) -> tuple[Array, Array]:
    """Mean over the batches and its standard error: (n, m), or of each sequence with itself, (n,), without `right`."""
    given = left["x"].dtype
    left, right = widened(left), None if right is None else widened(right)
    n, dtype = left["x"].shape[0], left["x"].dtype

    def add(carry: tuple[Array, Array], batch: Array) -> tuple[tuple[Array, Array], None]:
        mean, squares = carry
        draws = net.draw(jax.random.fold_in(key, batch), left)
        values = diagonal(net, draws, left) if right is None else block(net, draws, left, right)
        step = values - mean
        mean = mean + step / (batch + 1).astype(dtype)
        return (mean, squares + step * (values - mean)), None

    zero = jnp.zeros((n,) if right is None else (n, right["x"].shape[0]), dtype)
    (mean, squares), _ = jax.lax.scan(jax.checkpoint(add), (zero, zero), jnp.arange(batches, dtype=jnp.int32))
    count = batches * (batches - 1)
    return mean.astype(given), jnp.sqrt(jnp.maximum(squares, 0) / count).astype(given)


# ----------------------------------------------------------------------------------------------------- one batch


@struct
class Batch(Kernel):
    """One batch of a kernel of particles: an estimate of it on its own, independent of the other batches.

    Args:
        kernel: the kernel, with seed 0.
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

    def drawn(self, side: Side) -> tuple[Network, Draws]:
        """The network and the random numbers of this batch."""
        net = self.kernel.network()
        return net, net.draw(jax.random.fold_in(self.key, self.index), side)


def widened(side: Side) -> Side:
    """In float32 at least."""
    if jnp.finfo(side["x"].dtype).bits >= 32:
        return side
    return jax.tree.map(lambda a: a.astype(jnp.float32) if jnp.issubdtype(a.dtype, jnp.floating) else a, side)


@jax.jit
def _tile(batch: Batch, left: Side, right: Side) -> Array:
    given, (left, right) = left["x"].dtype, (widened(left), widened(right))
    return block(*batch.drawn(left), left, right).astype(given)


@jax.jit
def _diag(batch: Batch, side: Side) -> Array:
    given, side = side["x"].dtype, widened(side)
    return diagonal(*batch.drawn(side), side).astype(given)


@jax.jit
def _square(batch: Batch, side: Side) -> Array:
    given, side = side["x"].dtype, widened(side)
    net, draws = batch.drawn(side)
    n = side["x"].shape[0]
    index = _parts(n, _HELD // net.numbers(draws, side))
    if len(index) == 1:
        return net.contract(_features(net, draws, side), None, (side, side)).astype(given)

    def pair(at: tuple[Array, Array]) -> Array:
        one, two = (jax.tree.map(lambda leaf, i=i: leaf[jnp.asarray(index)[i]], side) for i in at)
        return net.contract(_features(net, draws, one), _features(net, draws, two), (one, two))

    one, two = np.triu_indices(len(index))
    blocks = jax.lax.map(pair, (jnp.asarray(one), jnp.asarray(two)))
    chunks, size = index.shape
    whole = jnp.zeros((chunks, size, chunks, size), blocks.dtype).at[one, :, two].set(blocks)
    return mirrored(whole.reshape(chunks * size, -1)[:n, :n]).astype(given)


def block(net: Network, draws: Draws, left: Side, right: Side) -> Float[Array, "n m"]:
    """The kernel by one batch of particles, a part of the sequences on either side at a time."""
    most = _HELD // net.numbers(draws, left)

    @jax.checkpoint
    def rows(one: Side) -> Array:
        held = _features(net, draws, one)
        columns = jax.checkpoint(lambda two: net.contract(held, _features(net, draws, two), (one, two)).T)
        return _chunked(columns, right, most).T

    return _chunked(rows, left, most)


def diagonal(net: Network, draws: Draws, side: Side) -> Float[Array, " n"]:
    """The kernel of each sequence with itself by one batch of particles."""

    @jax.checkpoint
    def each(one: Side) -> Array:
        features, alone = jax.tree.map(lambda leaf: leaf[:, None], (_features(net, draws, one), one))
        return jax.vmap(lambda f, s: net.contract(f, None, (s, s))[0, 0])(features, alone)

    return _chunked(each, side, _HELD // net.numbers(draws, side))


def _features(net: Network, draws: Draws, side: Side) -> Features:
    """The features of all sequences, so many run at a time as fit in memory."""
    return _chunked(lambda one: net.run(draws, one), side, _at_once(net, side))


def _at_once(net: Network, side: Side) -> int:
    """How many sequences are run at a time, by the arrays (t, particles) that each layer holds for one."""
    _, t, d = side["x"].shape
    return _RUN // max(1, t * net.each * sum(_arrays(part, t, d, net.each) for part in blocks.every(net.blocks)))


def _arrays(part: blocks.Block, t: int, d: int, p: int) -> int:
    """8 to 14 for most; more for heads, for derivatives by modes and for pairs of states and coordinates."""
    if isinstance(part, blocks.Residual):
        return 0
    more = 0
    if isinstance(part, blocks.Attention) and part.scaling == "root":
        more = (t + p // 8) // 2  # scores of p/8 heads, queries and keys of p/64 particles' worth
    cell = part.cell if isinstance(part, blocks.Recurrent) else None
    if isinstance(cell, cells.S4D):
        more = 2 * cell.states // t
    if isinstance(cell, cells.ControlledResNet):
        more = 4 * d
    return 16 + more


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
