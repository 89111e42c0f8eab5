"""Which parts of a Gram matrix does each of several processes compute? Even shares that have none in common."""

from __future__ import annotations

import numpy as np

from ntkseq import _checks


def share(pairs: np.ndarray, index: int, count: int) -> np.ndarray:
    """The share (k, 2) of process `index` among `count` of the block index pairs (all, 2) of a matrix.

    A piece of the list, which goes along the rows: neighbours share their examples. Of two shares one is longer by one
    pair at most; all processes that have the same list agree without a word.

    Raises:
        ValueError: no process of that number.
    """
    count = _checks.positive_int("process_count", count)
    index = _checks.integer("process_index", index, 0, count - 1)
    start, stop = (len(pairs) * k // count for k in (index, index + 1))
    return pairs[start:stop]
