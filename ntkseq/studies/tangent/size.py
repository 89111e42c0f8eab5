"""Does a study fit into memory, and how long does it take? Said before anything long."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ntkseq import _memory
from ntkseq.grams import estimates
from ntkseq.reports.progress import ago
from ntkseq.studies.tangent import tuning
from ntkseq.studies.tangent.inputs import Problem
from ntkseq.studies.tangent.spec import Study

MATRICES = 20
"""Matrices n x n in float64 that eigenvectors, predictor and bounds hold at once (17.7 were seen at n = 2000)."""
SAID = 1 << 30
"""Bytes from which on the size is said."""
SHORT = 10.0
"""Seconds below which nothing is said of time."""
DENSE = 1000
"""Examples from which on spectra and bounds take long."""
SMALL = 384
"""Rows of the matrix whose spectrum is timed."""
SPECTRA = 12
"""Times of a spectrum that spectrum, predictor and bounds take together (8.7 and 16 were seen at n = 1400)."""


def need(n: int, m: int, itemsize: int, kernels: int) -> int:
    """Bytes at the most: what is worked on, and the matrices of all kernels.

    Args:
        n, m: training and test examples.
        itemsize: bytes of a number of the kernel.
        kernels: how many are held.
    """
    return 8 * MATRICES * n * n + kernels * itemsize * n * (n + m)


def duration(study: Study, posed: Problem) -> float | None:
    """Seconds that a long study takes, measured on a few tiles and one small spectrum; None for a short one.

    Within `estimates.FACTOR` either way. Programs that are compiled on the way are those of the study.
    """
    n, m = len(posed.train.y), len(posed.test.y)
    dense = _dense(n) if n >= DENSE else 0.0
    tiles = 0.0
    for choice in study.kernels:
        kernel = choice.make(posed.train.x.shape[1:])
        x, lengths = choice.inputs(posed.train.x, posed.train.lengths)
        found = estimates.seconds(kernel, x, lengths)
        tiles += 0.0 if found is None else found * ((len(tuning.grid(study)) if study.tune else 1) + 2 * m / n)
    total = tiles + dense * len(study.kernels)
    return total if total >= SHORT else None


def _dense(n: int) -> float:
    """Seconds of eigenvectors, predictor and bounds of n examples, by those of one small matrix."""
    A = np.random.default_rng(0).standard_normal((SMALL, SMALL))
    A = A + A.T
    times = []
    for _ in range(3):
        start = time.perf_counter()
        np.linalg.eigh(A)
        times.append(time.perf_counter() - start)
    return SPECTRA * sorted(times)[1] * (n / SMALL) ** 3


def check(study: Study, posed: Problem, kernels: int, say: Callable[[str], Any] | None) -> None:
    """Say how much memory a large study takes, and how long a long one.

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
    if say is None:
        return
    said = [] if bytes_ <= SAID else [f"{_memory.text(bytes_)} of memory, {_memory.text(free)} are free"]
    if (long := duration(study, posed)) is not None:
        said.insert(0, about(long))
    if said:
        say(f"estimate: {'; '.join(said)}")


def about(seconds: float) -> str:
    """A time that is known within a factor."""
    low, high = seconds / estimates.FACTOR, seconds * estimates.FACTOR
    return f"{ago(seconds)} ({ago(low)} to {ago(high)}) once compiled, if the machine stays as busy"
