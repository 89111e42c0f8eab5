"""What does adaptation do to the spectrum of a kernel between tasks? Theta, MAML and ANIL side by side."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from ntkseq import _checks, _display
from ntkseq._types import AnyKernel, Lengths
from ntkseq.grams.arrays import as_gram
from ntkseq.grams.base import DenseGram
from ntkseq.grams.entries import gram as gram_of
from ntkseq.kernels import tasks as taking
from ntkseq.kernels.base import Kernel
from ntkseq.kernels.inner import Inner
from ntkseq.kernels.meta import Meta
from ntkseq.spectra.dense import dense_spectrum
from ntkseq.spectra.full import FullSpectrum
from ntkseq.spectra.interval import Interval

SHOWN = ("none", "maml", "anil")


@dataclasses.dataclass(frozen=True, eq=False)
class Score:
    """The condition number of the kernel of a few tasks, averaged over meta-batches.

    Attributes:
        value: mean over the batches whose condition number is certainly finite; inf if there is none.
        error: its standard error over these batches, of what the draw of tasks does; NaN for one.
        conditions: of each batch, with what rounding leaves open.

    Reference: wang2022maml.
    """

    value: float
    error: float
    conditions: tuple[Interval, ...]

    __repr__ = _display.printed

    @property
    def resolved(self) -> int:
        """How many batches have a condition number that is certainly finite."""
        return sum(condition.finite for condition in self.conditions)

    def __str__(self) -> str:
        return f"{self.value:.4g} +- {self.error:.2g}, {self.resolved} of {len(self.conditions)} batches resolved"


@dataclasses.dataclass(frozen=True, eq=False)
class MetaSpectrum:
    """The spectrum of one meta-kernel between all queries, and how well its meta-batches are conditioned.

    Attributes:
        algorithm: whose kernel it is.
        gram: the matrix, (N q, N q).
        spectrum: of it.
        score: how well its meta-batches are conditioned.

    Reference: wang2020meta (the kernel); wang2022maml (the score).
    """

    algorithm: str
    gram: DenseGram
    spectrum: FullSpectrum
    score: Score

    __repr__ = _display.record


def meta_spectra(
    base: AnyKernel,
    inner: Inner,
    tasks: Any,
    *,
    algorithms: tuple[str, ...] = SHOWN,
    batch: int = 3,
    head: Any = None,
    lengths: Lengths = None,
) -> dict[str, MetaSpectrum]:
    """Spectra of the kernel before and after adaptation on the same tasks, by algorithm.

    Args:
        base: Theta, the kernel of the network.
        inner: the inner loop.
        tasks: `data.tasks.Tasks` or `((xs, ys), xq)`.
        algorithms: of `kernels.Meta` with a symmetric kernel; "none" is Theta itself.
        batch: tasks of one meta-batch, see `condition_score`.
        head: the kernel of the read-out alone, for "anil"; None: that of `base` with kind="nngp".
        lengths: as in `kernels.Meta.prepare`; None: `tasks.lengths`, if there is.

    Raises:
        ValueError: what the kernel refuses, fewer tasks than a batch.

    Reference: wang2020meta (the kernel); wang2022maml (the score).

    Example:
        >>> import jax
        >>> from ntkseq import kernels
        >>> from ntkseq.data.tasks import sinusoids
        >>> tasks = sinusoids(6, shots=3, queries=2, key=jax.random.key(0))
        >>> found = meta_spectra(kernels.Dense(sigma_w=1.4, sigma_b=0.5), kernels.GD(steps=5, lr=0.02), tasks)
        >>> found["maml"].spectrum.trace < found["none"].spectrum.trace  # what adaptation fits is gone
        True
    """
    lengths = getattr(tasks, "lengths", None) if lengths is None else lengths
    found = {}
    algorithms = _checks.listed("algorithms", algorithms, f"names, such as {SHOWN}")
    if not algorithms:
        raise ValueError(f"algorithms must name one or more of {SHOWN}; got none.")
    for algorithm in algorithms:
        _checks.choice("algorithms", algorithm, SHOWN)
    if head is not None:
        _checks.kind("head", head, Kernel)
    taking.parts(tasks)
    for algorithm in algorithms:
        kernel = Meta(base, inner, algorithm, head if algorithm == "anil" else None)
        gram = gram_of(kernel, tasks, lengths=lengths)
        queries = np.shape(tasks[1])[1]
        found[algorithm] = MetaSpectrum(
            algorithm, gram, dense_spectrum(gram), condition_score(gram, queries=queries, batch=batch)
        )
    return found


def condition_score(gram: DenseGram, *, queries: int, batch: int = 3) -> Score:
    """The condition number of the meta-kernel averaged over meta-batches, the score of MetaNTK-NAS.

    Small is said to mean a network that is quick to meta-train. The authors' code takes 5 ways, one support and one
    query example each, 3 tasks of a meta-batch.

    Args:
        gram: `ntkseq.gram(kernels.Meta(...), tasks)`.
        queries: per task.
        batch: tasks of a meta-batch; what is left over is left out.

    Raises:
        ValueError: fewer tasks than a batch, queries that do not divide the rows.

    Reference: wang2022maml.

    Example:
        >>> import jax, ntkseq
        >>> from ntkseq import kernels
        >>> from ntkseq.data.tasks import sinusoids
        >>> tasks = sinusoids(6, shots=3, queries=2, key=jax.random.key(0))
        >>> K = ntkseq.gram(kernels.Meta(kernels.Dense(sigma_b=0.5), kernels.GD(steps=5, lr=0.02)), tasks)
        >>> condition_score(K, queries=2).value >= 1
        True
    """
    queries, batch = _checks.positive_int("queries", queries), _checks.positive_int("batch", batch)
    gram = as_gram(gram, "gram")  # pyright: ignore[reportAssignmentType]
    n = gram.shape[0]
    if n % queries:
        raise ValueError(f"gram must have {queries} rows per task, one per query; got {n} rows.")
    if n < batch * queries:
        raise ValueError(f"batch must be at most the number of tasks, {n // queries}; got {batch}.")
    step = batch * queries
    parts = [gram.take(slice(i, i + step)) for i in range(0, n - step + 1, step)]
    conditions = tuple(dense_spectrum(part, vectors=False).condition for part in parts)
    # a batch with one example in two tasks is singular, and 1e16 as computed
    values = np.array([condition.estimate for condition in conditions if condition.finite])
    mean = float(values.mean()) if values.size else math.inf
    error = float(values.std(ddof=1)) / math.sqrt(values.size) if values.size > 1 else math.nan
    return Score(mean, error, conditions)
