"""How do processes that do not speak to each other fill one store? Each its share, then whatever is still missing.

A chunk is there or not, and has the same bits whoever computes it. So no process waits for another, and none is told
that another died: who is done with its share goes on with what is missing, until nothing is. Twice is computed only
what was at work elsewhere at that time.
"""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ntkseq.grams import shares
from ntkseq.grams.sides import Sides
from ntkseq.grams.stores import claims, filling
from ntkseq.grams.stores.chunks import Chunks

WAIT = 45
"""Seconds that a process waits for the first one to begin the store."""


def fill(
    chunks: Chunks,
    pair: Sides,
    which: np.ndarray,
    workers: int | None,
    tick: Callable[[int], Any],
    *,
    index: int,
    count: int,
    by: filling.Fill = filling.fill,
) -> None:
    """Compute and write the share of one process, then chunks of the others that are not there yet, until all are.

    Args:
        chunks, pair, which, workers, tick: as of `filling.fill`; `tick` counts the chunks of this process.
        index, count: which process, of how many.
        by: who computes chunks in this process.

    Raises:
        ValueError: values that overflow the dtype.
        OSError: a chunk cannot be written.
    """
    by(chunks, pair, shares.share(which, index, count), workers, tick)
    order = np.random.default_rng(index)  # not the same for all, who would compute the same chunk at the same time
    while len(left := chunks.missing()):
        by(chunks, pair, order.permutation(left), workers, tick)


def begun(path: pathlib.Path, there: Callable[[], bool]) -> None:
    """Wait until another process has begun the store at `path`.

    Args:
        path: of the store.
        there: says whether it has.

    Raises:
        OSError: it has not, and is not about to.
    """
    waited = 0.0
    while not there():
        if waited >= WAIT and not claims.writer(path):
            raise OSError(
                f"no process has begun the store {path} within {WAIT} s. The first of them (process 0) does: see "
                "whether it runs and what it says, and that all processes see one folder under that path."
            )
        time.sleep(0.1)
        waited += 0.1
