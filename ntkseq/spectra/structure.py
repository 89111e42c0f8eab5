"""Means of a Gram matrix within and between classes."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from ntkseq import _checks, _display
from ntkseq._types import ArrayLike, GramLike
from ntkseq.grams.arrays import products


@dataclasses.dataclass(frozen=True, eq=False)
class ClassStructure:
    """Means of a kernel within and between classes, and how its spread is split.

    With m_a the mean feature of class a and m that of all examples, the trace of the centred kernel is

        sum_i |phi_i - m|^2 = within + between,
        between = sum_a n_a |m_a - m|^2,   within = sum_i |phi_i - m_class(i)|^2

    Attributes:
        classes: the labels, (c,).
        counts: examples of each, (c,).
        means: mean kernel value between classes, (c, c); within a class over different examples, nan for one alone.
        within, between: the two parts of the trace.
    """

    classes: np.ndarray
    counts: np.ndarray
    means: Float[np.ndarray, "c c"]
    within: float
    between: float

    __repr__ = _display.printed

    @property
    def ratio(self) -> float:
        """between / (within + between), in [0, 1]; nan if all examples are one."""
        whole = self.within + self.between
        return self.between / whole if whole > 0 else float("nan")

    def __str__(self) -> str:
        rows = [f"Class structure: {self.ratio:.3g} of the spread lies between the classes"]
        for name, count, row in zip(self.classes, self.counts, self.means, strict=True):
            rows.append(f"  {name!s:<12} n = {count:<6d} " + " ".join(f"{value:10.4g}" for value in row))
        return "\n".join(rows)


def classwise(K: GramLike, labels: ArrayLike) -> ClassStructure:
    """Mean kernel values between classes, and the split of the centred kernel's trace.

    Args:
        K: a Gram or an array (n, n), symmetric; a lazy one takes one product with a block of c vectors.
        labels: (n,), numbers or strings, two classes or more.

    Raises:
        ValueError: labels of another shape, or one class only.

    Example:
        >>> import numpy as np
        >>> K = np.kron(np.eye(2), np.ones((3, 3))) + np.eye(6)
        >>> structure = classwise(K, ["a"] * 3 + ["b"] * 3)
        >>> structure.means.round(2).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    gram = products(K)
    n = gram.shape[0]
    labels = _checks.names("labels", labels)
    if labels.shape != (n,):
        raise ValueError(f"labels must have shape ({n},), one per example of the Gram matrix; got {labels.shape}.")
    classes, which, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if classes.size < 2:
        raise ValueError(f"labels must hold two classes or more; got {classes.size}.")
    member = (which[:, None] == np.arange(classes.size)).astype(np.float64)
    sums = member.T @ gram.times(member)  # (c, c)
    own = np.asarray(gram.diag(), np.float64)
    block = sums / np.outer(counts, counts)
    within = float(own.sum() - np.sum(np.diagonal(sums) / counts))
    between = float(np.sum(np.diagonal(sums) / counts) - sums.sum() / n)
    alone = counts < 2
    pairs = np.where(alone, 1, counts * (counts - 1))
    inner = np.where(alone, np.nan, (np.diagonal(sums) - member.T @ own) / pairs)
    block[np.diag_indices(classes.size)] = inner
    return ClassStructure(classes, counts, block, max(within, 0.0), max(between, 0.0))
