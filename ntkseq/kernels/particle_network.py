"""What is the kernel of a network of blocks by one batch of particles? Its features, and their contraction."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ntkseq import blocks
from ntkseq._struct import static, struct
from ntkseq._types import DType, Key
from ntkseq.kernels import particle_blocks
from ntkseq.kernels import particle_pairs as pairs
from ntkseq.kernels.base import Side
from ntkseq.kernels.particle_rules import Here, Size, Stream
from ntkseq.kernels.particles import product


class Draws(NamedTuple):
    """The random numbers of one batch, shared by all sequences."""

    blocks: tuple[Any, ...]
    signs: Float[Array, " p"]
    """Of the read-out: the kernel is quadratic in it; only its second moments count, and those of signs are exact."""


class Features(NamedTuple):
    """All that the kernel needs of each sequence."""

    vectors: tuple[Float[Array, "n p"], ...]
    streams: tuple[Stream, ...]


@struct
class Network:
    """Blocks in a row and their read-out, by `each` particles in every layer.

    Args:
        blocks: the blocks; at least one maps the features to the width.
        sigma_r: standard deviation of the read-out.
        each: the number of particles.
        readout: whether the read-out is trained; its share is the covariance of the outputs.
        tangent: whether the tangent kernel is wanted, or this covariance alone.
        raw: whether gradients are taken without their sigma.
    """

    blocks: tuple[blocks.Block, ...]
    sigma_r: Any
    each: int = static()
    readout: bool = static()
    tangent: bool = static()
    raw: bool = static()

    def in_dtype(self, dtype: DType) -> Network:
        """The same network, its numbers in the dtype of the data."""
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), self)

    def draw(self, key: Key, side: Side) -> Draws:
        """The random numbers of one batch for examples like these."""
        x = side["x"]
        size = Size(x.shape[2], self.each, x.shape[1], x.dtype, first=True)
        bits = jax.random.bits(jax.random.fold_in(key, len(self.blocks)), (self.each,), jnp.uint32)
        signs = jnp.where(bits >> 31 == 0, 1, -1).astype(x.dtype)  # rademacher's depend on JAX's 64-bit mode
        return Draws(particle_blocks.draw(self.blocks, key, size), signs)

    def run(self, draws: Draws, side: Side) -> Features:
        """The features of examples: x (n, t, d), the tokens, scaled; read (n, t), weights; inside (n, t)."""
        net = self.in_dtype(side["x"].dtype)
        here = Here(side["inside"], first=True, raw=self.raw)
        h, saved = particle_blocks.forward(net.blocks, draws.blocks, side["x"], here)
        pooled = product("ntp,nt->np", h, side["read"])
        head = (pooled if self.raw and self.tangent else net.sigma_r * pooled,) if self.readout else ()
        if not self.tangent:
            return Features(head, ())
        dh = net.sigma_r * side["read"][..., None] * draws.signs[None, None]
        found = particle_blocks.back(net.blocks, draws.blocks, saved, dh, here)
        return Features(head + found.vectors, found.streams)

    def silent(self, draws: Draws, side: Side) -> Bool[Array, " n"]:
        """Which sequences have a token of variance 0 at a LayerNorm that divides by it."""
        net = self.in_dtype(side["x"].dtype)
        here = Here(side["inside"], first=True, raw=self.raw)
        saved = particle_blocks.forward(net.blocks, draws.blocks, side["x"], here)[1]
        return particle_blocks.silent(net.blocks, saved, side["inside"])

    def numbers(self, draws: Draws, side: Side) -> int:
        """How many numbers the features of an example are, 1 at least: where nothing is trained there are none."""
        one = jax.eval_shape(self.run, draws, jax.tree.map(lambda leaf: leaf[:1], side))
        return max(1, sum(leaf.size for leaf in jax.tree.leaves(one)))

    def contract(self, left: Features, right: Features | None, like: tuple[Side, Side]) -> Float[Array, "n m"]:
        """The kernel from the features of two sets of examples, or of one with itself: then exactly symmetric."""
        two = left if right is None else right
        total = jnp.zeros((like[0]["x"].shape[0], like[1]["x"].shape[0]), like[0]["x"].dtype)
        for a, b in zip(left.vectors, two.vectors, strict=True):
            total = total + product("np,mp->nm", a, b) / self.each
        for a, b in zip(left.streams, two.streams, strict=True):
            for i, m in enumerate(a.crossed):
                other = None if right is None else pairs.Fed(b.crossed[i], b.da)
                total = total + pairs.crossed(pairs.Fed(m, a.da), other)
            if a.exact is not None and b.exact is not None:
                total = total + pairs.complete((a.exact, a.da), None if right is None else (b.exact, b.da))
        return pairs.mirrored(total) if right is None else total
