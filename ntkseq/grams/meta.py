"""How is the Gram matrix of few-shot tasks computed, each pair of their points looked at once?"""

from __future__ import annotations

from typing import Any

import numpy as np

from ntkseq.grams.base import Dense
from ntkseq.grams.sampling import Sampling
from ntkseq.kernels.meta import Meta


def phi(kernel: Meta, tasks: Any, *, lengths: Any = None) -> Dense:
    """The meta-kernel between all queries of all tasks, task by task, with an upper estimate of its rounding.

    The numbers of `ntkseq.gram(kernel, tasks)`, quicker by (q (1 + s) / (q + s))^2, with the base kernel between all
    N (q + s) points in memory.

    Args:
        kernel: a `kernels.Meta`.
        tasks: `data.tasks.Tasks` or `((xs, ys), xq)`.
        lengths: as in `kernels.Meta.prepare`.

    Raises:
        ValueError: what the kernel refuses, or values that overflow where the inner loop diverges.

    Example:
        >>> import jax
        >>> from ntkseq import kernels
        >>> x = jax.random.normal(jax.random.key(0), (4, 5, 3))
        >>> phi(kernels.Meta(kernels.Dense(), kernels.GD(steps=2, lr=0.1)), ((x[:, :3], None), x[:, 3:])).shape
        (8, 8)
    """
    blocks = kernel.blocks(tasks, lengths=lengths)
    n = blocks.shape[0] * blocks.shape[1]
    values = np.asarray(blocks).reshape(n, n)
    if not np.isfinite(values).all():
        raise ValueError("the meta-kernel overflows: the inner loop diverges. Lower lr, or take kernels.Flow.")
    e = kernel.entry_rounding(kernel.prepare(tasks, lengths))
    # |E|_F <= e sqrt(sum_ij Phi_ii Phi_jj)
    rounding = e * float(np.trace(values.astype(np.float64)))
    known = Sampling(why="what is behind an inner loop is no mean of batches") if kernel.sampled else None
    return Dense(values, rounding=rounding, frobenius=True, entrywise=e, estimated=kernel.estimated, sampling=known)
