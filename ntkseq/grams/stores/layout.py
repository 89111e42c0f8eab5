"""Which chunks does a stored Gram matrix have, of which tiles is each made, and how is one computed?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from ntkseq import _precision
from ntkseq.grams import tiles
from ntkseq.grams.sides import Sides, overflow

CHUNK = 512
"""Rows of a chunk: 1 MiB in float32, so that one file costs little beside the kernel and a lost one is no loss."""
ROWS = 128
"""Chunks in a row of the matrix, from which on they are larger: 50,000 examples are 98 x 98."""
_ONE_PIECE = 1024  # rows of a chunk of a kernel that wants whole matrix products
_LEAST = 64
_SHARE = 4  # chunks in a row of a small matrix, so that it can be resumed as well

Order = Callable[[np.ndarray], np.ndarray]
"""The same block index pairs (k, 2) in another order."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """A matrix in square chunks of `chunk` rows, each made of tiles of `tile` rows, `batch` of them per call.

    Chunk (i, j) holds rows [i chunk, (i+1) chunk) and columns [j chunk, (j+1) chunk). A symmetric matrix has those
    with j >= i, and those with i = j are whole.
    """

    shape: tuple[int, int]
    symmetric: bool
    dtype: np.dtype
    chunk: int
    tile: int
    batch: int

    @property
    def grid(self) -> tuple[int, int]:
        """Chunks in a column and in a row of the matrix."""
        return -(-self.shape[0] // self.chunk), -(-self.shape[1] // self.chunk)

    @property
    def chunks(self) -> np.ndarray:
        """(k, 2): the indices of all chunks, row by row."""
        rows, columns = self.grid
        i, j = np.triu_indices(rows) if self.symmetric else map(np.ravel, np.indices((rows, columns)))
        return np.stack([i, j], axis=1)

    def part(self, i: int, j: int) -> tuple[slice, slice]:
        """Rows and columns of the matrix that chunk (i, j) holds."""
        (n, m), c = self.shape, self.chunk
        return slice(i * c, min((i + 1) * c, n)), slice(j * c, min((j + 1) * c, m))

    def tiles(self, i: int, j: int) -> np.ndarray:
        """The tiles of chunk (i, j), as block index pairs (k, 2) of the whole matrix."""
        rows, columns = (range(part.start // self.tile, -(-part.stop // self.tile)) for part in self.part(i, j))
        own = self.symmetric and i == j
        return np.array([(r, c) for r in rows for c in columns if not own or c >= r], np.int32)

    def batches(self, i: int, j: int, order: Order | None = None) -> Iterator[np.ndarray]:
        """`tiles`, in this order, so many as one call takes, (batch, 2); the last pair is repeated."""
        own = self.tiles(i, j)
        yield from tiles.Plan(self.tile, self.batch, own if order is None else order(own)).batches()


def chosen(pair: Sides, tile: int | None, workers: int | None) -> Layout:
    """The layout of a new store: the tiles of `gram`, and chunks of about `CHUNK` rows of them."""
    rows = pair.kernel.tile_rows(pair.left)
    wanted = chunk_rows(max(pair.shape), rows is not None)
    if tile is None and rows is not None:
        tile = min(rows, wanted, _ONE_PIECE)
    task, _ = pair.task(tile, workers)
    size = task.plan.size
    chunk = size * max(1, wanted // size)
    return Layout(pair.shape, pair.symmetric, np.dtype(pair.diagonal.dtype), chunk, size, task.plan.batch)


def chunk_rows(most: int, one_piece: bool) -> int:
    """Rows of a chunk of a matrix of so many examples; one_piece: of a kernel that wants whole matrix products."""
    wanted = _ONE_PIECE if one_piece else CHUNK
    while wanted > _LEAST and _SHARE * wanted > most:
        wanted //= 2
    while wanted * ROWS < most:
        wanted *= 2
    return wanted


def batch_into(pair: Sides, layout: Layout, i: int, j: int, pairs: np.ndarray, values: np.ndarray) -> None:
    """Compute some tiles of chunk (i, j) and put them where they belong in `values` (chunk, chunk).

    As `host.run` does: of a tile on the diagonal the upper half counts.

    Raises:
        ValueError: values that overflow the dtype.
    """
    with _precision.setting(pair.x64):
        block = pair.tiles(pairs, layout.tile)
    place(layout, i, j, pairs, block, values)


def place(layout: Layout, i: int, j: int, pairs: np.ndarray, block: np.ndarray, values: np.ndarray) -> None:
    """Put computed tiles `block` (k, tile, tile) of chunk (i, j) where they belong in `values` (chunk, chunk).

    Raises:
        ValueError: values that overflow the dtype.
    """
    if not tiles.finite(block):
        raise overflow(block.dtype)
    tiles.place(values, layout.part(i, j), pairs, block, layout.symmetric)


def finished(pair: Sides, layout: Layout, i: int, j: int, values: np.ndarray) -> np.ndarray:
    """Chunk (i, j) with its exact diagonal and NaN beyond the matrix, once all of its tiles are there."""
    rows, columns = layout.part(i, j)
    down, right = rows.stop - rows.start, columns.stop - columns.start
    values[down:], values[:, right:] = np.nan, np.nan
    if layout.symmetric and i == j:
        index = np.arange(down)
        values[index, index] = np.asarray(pair.diagonal[rows])
    return values


def chunk(pair: Sides, layout: Layout, i: int, j: int) -> np.ndarray:
    """Chunk (i, j), (chunk, chunk), computed here, by one thread of this process; its arguments can be pickled.

    The same bits whoever computes it. Beyond the end of the matrix there is NaN.

    Raises:
        ValueError: values that overflow the dtype.
    """
    values = np.empty((layout.chunk, layout.chunk), layout.dtype)
    for pairs in layout.batches(i, j, pair.order):
        batch_into(pair, layout, i, j, pairs, values)
    return finished(pair, layout, i, j, values)
