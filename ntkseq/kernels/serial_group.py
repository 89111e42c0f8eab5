"""What does one group of draws give for a network of blocks with sampled attention? A kernel of its own."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkseq import blocks
from ntkseq._struct import struct
from ntkseq._types import Inputs, Lengths
from ntkseq.kernels.base import Kernel, Side
from ntkseq.kernels.matrix_normal import GROUPS
from ntkseq.kernels.parts import Parts
from ntkseq.kernels.root_attention import sampled


@struct
class Group(Kernel):
    """One of the independent groups of draws of a `Serial` with softmax attention at scaling "root".

    Args:
        kernel: the `Serial`.
        index: the number of the group.
    """

    kernel: Any
    index: Any

    def prepare(self, x: Inputs, lengths: Lengths = None) -> Side:
        return _sides(self.kernel.prepare(x, lengths), self.index)

    def tile(self, left: Side, right: Side) -> Float[Array, "n m"]:
        return self.kernel.of_group(left, right, self.index)

    def diag_side(self, side: Side) -> Float[Array, " n"]:
        return self.kernel.of_group(side, None, self.index)

    def entries_per_pair(self, side: Side) -> int:
        return 16 * side["std"].shape[1] ** 2

    def steps(self, side: Side) -> int:
        return self.kernel.steps(side)


def parts(kernel: Any, side: Side, entrywise: float) -> Parts:
    """The groups of a sampled `Serial`."""
    kernels = tuple(Group(kernel, jnp.int32(g)) for g in range(GROUPS))
    sides = tuple(_sides(side, g) for g in range(GROUPS))
    samples = min(part.samples for part in blocks.every(kernel.blocks) if sampled(part))
    return Parts(kernels, sides, samples, "draws", whole=False, entrywise=entrywise, bias=0.0)


def _sides(side: Side, group: Any) -> Side:
    return jax.tree.map(lambda leaf: leaf[:, group], side["groups"])
