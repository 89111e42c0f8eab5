"""How is the Gram matrix between all outputs of a network computed?"""

from __future__ import annotations

import jax
import numpy as np

from ntkseq import _devices
from ntkseq.grams import sampling, sides
from ntkseq.grams.base import DenseGram
from ntkseq.grams.facts import flat

_ROWS = 512  # where the kernel has no wish


def all_outputs(pair: sides.Sides, tile: int | None) -> DenseGram:
    """The matrix of all outputs: in one piece, or where the examples are many, some rows of it after the other."""
    kernel, left, right = pair.kernel, pair.left, pair.right
    rows, n = tile or kernel.tile_rows(left) or _ROWS, len(pair.diagonal) // (pair.outputs or 1)
    if pair.symmetric and n <= rows:
        blocks = [kernel.square_side(left)]
    else:
        cut = lambda start: jax.tree.map(lambda leaf: leaf[start : start + rows], left)  # noqa: E731
        blocks = [kernel.tile(cut(start), right) for start in range(0, n, rows)]
    values = np.concatenate([flat(block) for block in blocks])
    if pair.symmetric:  # its halves may differ in the last digit: keep the upper one
        for start in range(0, len(values), _ROWS):
            part, before = slice(start, start + _ROWS), slice(0, start)
            values[part, before] = values[before, part].T
            own = values[part, part]
            own[:] = np.triu(own) + np.triu(own, 1).T
        np.fill_diagonal(values, np.asarray(pair.diagonal))
    if not np.isfinite(values).all():
        raise sides.overflow(values.dtype)
    e, held = pair.entry_rounding(), _devices.placed(values, pair.diagonal)
    pair.remember(held, e)
    sampled = (
        sampling.Sampling(why="the kernel between all outputs is not taken in batches") if kernel.sampled else None
    )
    known = {"frobenius": True, "entrywise": e, "estimated": kernel.estimated, "sampling": sampled}
    return DenseGram(held, pair.rounding(e), pair.symmetric, **known)
