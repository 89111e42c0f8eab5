"""How are examples prepared that take much memory? A block of them at a time, each block by one and the same program.

What a program makes of an example may be rounded otherwise beside others, or in a batch of another size. Blocks of one
size, the last one filled up, have the same bits wherever they lie afterwards: in memory, on disk, in another process.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq import _devices, _precision, _vectors
from ntkseq._types import Inputs, Lengths, PyTree
from ntkseq.grams import tiles
from ntkseq.kernels import lists
from ntkseq.kernels.base import Kernel, Side

_TIMES = 8
"""Blocks that a program is taken to need for what it holds meanwhile, where the device does not say."""


class Blocks:
    """A set of examples in blocks of some rows; the last example is repeated until the last block is full.

    Attributes:
        x, lengths: the examples as the kernel reads them and JAX holds them; of an array of NumPy no copy where it has
            to be none.
        rows: examples of a block.
        n, count: how many examples, and blocks.
    """

    def __init__(self, x: Inputs, lengths: Lengths, rows: int) -> None:
        self.x, self.lengths = jax.tree.map(_canonical, x), None if lengths is None else np.asarray(lengths)
        self.rows, self.n = rows, len(jax.tree.leaves(self.x)[0])
        self.count = -(-self.n // rows)

    def at(self, k: int) -> tuple[Any, Any]:
        """The examples of block k, and their lengths."""
        index = np.minimum(np.arange(k * self.rows, (k + 1) * self.rows), self.n - 1)
        return jax.tree.map(lambda leaf: leaf[index], (self.x, self.lengths))

    def inside(self, k: int) -> int:
        """How many examples of block k are no repetitions."""
        return min(self.rows, self.n - k * self.rows)


class Programs:
    """What is computed of blocks of one shape: prepared examples, their diagonal, the tile of two blocks.

    A pickle is without the compiled programs.

    Attributes:
        kernel: of the matrix.
        like, diagonal: a prepared block and the diagonal of one, in shapes and dtypes.
        bytes: of a prepared block.
    """

    def __init__(self, kernel: Kernel, blocks: Blocks) -> None:
        self.kernel, self.x64, self.rows = kernel, _precision.x64(), blocks.rows
        first = jax.tree.map(lambda leaf: leaf[:1], (blocks.x, blocks.lengths))
        self.given = jax.tree.map(lambda one: jax.ShapeDtypeStruct((blocks.rows, *one.shape[1:]), one.dtype), first)
        self.like = jax.eval_shape(_prepare, kernel, *self.given)
        self.diagonal = jax.eval_shape(_own, kernel, self.like)
        self.bytes = sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(self.like))

    def __getstate__(self) -> dict[str, Any]:
        numpy = jax.tree.map(lambda leaf: np.asarray(leaf) if isinstance(leaf, jax.Array) else leaf, self.kernel)
        compiled = ("_prepared", "_tiled", "place")
        return {name: value for name, value in self.__dict__.items() if name not in compiled} | {"kernel": numpy}

    def __setstate__(self, state: dict[str, Any]) -> None:
        with _precision.setting(state["x64"]):
            numpy = lambda leaf: jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf  # noqa: E731
            self.__dict__.update(state | {"kernel": jax.tree.map(numpy, state["kernel"])})

    @cached_property
    def place(self) -> Any:
        """Where blocks lie, a sharding."""
        leaves = [leaf for leaf in jax.tree.leaves(self.kernel) if isinstance(leaf, jax.Array)]
        return (leaves[0] if leaves else jnp.zeros(())).sharding

    @property
    def on_cpu(self) -> bool:
        """Whether blocks lie in the memory of the host."""
        return all(device.platform == "cpu" for device in self.place.device_set)

    def prepared(self, x: PyTree, lengths: Any) -> Side:
        """A block of examples, prepared."""
        return self._prepared(self.kernel, x, lengths)

    def own(self, side: Side) -> jax.Array:
        """The kernel of each example of a prepared block with itself."""
        return _own(self.kernel, side)

    def tile(self, left: Side, right: Side) -> np.ndarray:
        """The kernel between two prepared blocks, (rows, rows)."""
        return np.asarray(self._tiled(self.kernel, left, right, np.zeros((1, 2), np.int32)))

    def compile(self) -> None:
        """Compile the program of a tile: threads that start together would compile it each."""
        _ = self._tiled

    @property
    def making(self) -> int:
        """Bytes that a block takes while it is made."""
        return self.bytes + self._beside(self._prepared)

    @property
    def beside(self) -> int:
        """Bytes that the tile of two blocks takes beside them while it is computed."""
        return self.rows**2 * self.diagonal.dtype.itemsize + self._beside(self._tiled)

    @property
    def meeting(self) -> int:
        """Bytes that two blocks and their tile take while it is computed."""
        return 2 * self.bytes + self.beside

    def _beside(self, program: Any) -> int:
        said = program.memory_analysis()
        return _TIMES * self.bytes if said is None else int(said.temp_size_in_bytes)

    @cached_property
    def _prepared(self) -> Any:
        with _precision.setting(self.x64):
            return _prepare.lower(self.kernel, *self.given).compile()

    @cached_property
    def _tiled(self) -> Any:
        given = self.kernel, self.like, self.like, np.zeros((1, 2), np.int32)
        with _precision.setting(self.x64):
            return _tile.compiled(*given) if self.on_cpu else _tile.plain.lower(*given).compile()


def whole(kernel: Kernel, x: Inputs, lengths: Lengths, rows: int) -> tuple[Side, jax.Array] | None:
    """All examples and their diagonal, block by block; None where a batch is as good, or there is no memory for all.

    Block by block they have the bits that a stored matrix with tiles of so many rows is made of.
    """
    if (footprint := kernel.footprint(x, lengths)) is None:
        return None
    blocks = Blocks(lists.read(kernel, x), lengths, rows)
    if 2 * blocks.count * rows * footprint.each > footprint.memory:
        return None
    programs = Programs(kernel, blocks)
    parts = [programs.prepared(*blocks.at(k)) for k in range(blocks.count)]
    joined = lambda *leaves: jnp.concatenate(leaves)[: blocks.n]  # noqa: E731
    return jax.tree.map(joined, *parts), joined(*map(programs.own, parts))


@jax.jit
def _prepare(kernel: Kernel, x: PyTree, lengths: Any) -> Any:
    return kernel.prepare(x, lengths)


@jax.jit
def _own(kernel: Kernel, side: PyTree) -> jax.Array:
    return kernel.diag_side(side)


def _tile_of(kernel: Kernel, left: PyTree, right: PyTree, pairs: jax.Array) -> jax.Array:
    """The program by which a matrix in memory is computed, of one pair of blocks: the same equations, the same bits.

    It copies both blocks; without that XLA may take their rows for the product in another order.
    """
    return tiles.tiles_of_pairs(kernel, left, right, pairs, jax.tree.leaves(left)[0].shape[0])[0]


_tile = _vectors.Wide(_tile_of)


def _canonical(leaf: Any) -> Any:
    if isinstance(leaf, jax.Array):
        return _devices.together("x", leaf)
    leaf = np.asarray(leaf)
    return leaf.astype(jax.dtypes.canonicalize_dtype(leaf.dtype), copy=False)
