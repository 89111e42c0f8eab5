"""Does a study fit into memory, and how large is it? Said before anything is computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ntkseq import _memory
from ntkseq.studies.tangent.inputs import Problem
from ntkseq.studies.tangent.spec import Study

MATRICES = 20
"""Matrices n x n in float64 that eigenvectors, predictor and bounds hold at once (17.7 were seen at n = 2000)."""
SAID = 1 << 30
"""Bytes from which on the size is said."""


def need(n: int, m: int, itemsize: int, kernels: int) -> int:
    """Bytes at the most: what is worked on, and the matrices of all kernels.

    Args:
        n, m: training and test examples.
        itemsize: bytes of a number of the kernel.
        kernels: how many are held.
    """
    return 8 * MATRICES * n * n + kernels * itemsize * n * (n + m)


def check(study: Study, posed: Problem, kernels: int, say: Callable[[str], Any] | None) -> None:
    """Say how much memory a large study takes.

    Raises:
        ValueError: it takes more than there is; the message says how many examples fit.
    """
    n, m, size = len(posed.train.y), len(posed.test.y), np.dtype(study.dtype).itemsize
    bytes_, free = need(n, m, size, kernels), _memory.available(jax.devices("cpu")[0])
    if bytes_ > free:
        fit = int(n * (free / bytes_) ** 0.5)
        digits = max(len(str(fit)) - 2, 0)
        fewer = max(fit // 10**digits * 10**digits, 2)
        raise ValueError(
            f"{posed.name}: {n} training examples take about {_memory.text(bytes_)} of memory; {_memory.text(free)} "
            f"are free. Take fewer, --n-train {fewer}, or ntkseq gram, which keeps the matrix on disk."
        )
    if say is not None and bytes_ > SAID:
        say(f"about {_memory.text(bytes_)} of memory for matrices {n} x {n}; {_memory.text(free)} are free")
