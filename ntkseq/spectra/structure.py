"""What does a Gram matrix say about its classes, and what is left of it without the mean?"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks
from ntkseq.grams.arrays import as_gram
from ntkseq.grams.base import Dense, Gram, column_block
from ntkseq.grams.sampling import kept


def centred(K: Any) -> Gram:
    """The Gram matrix of the features with their mean removed: H K H, H = I - 1 1'/n.

    Args:
        K: a Gram or an array (n, n), symmetric. A lazy one stays lazy: two small sums around each product.

    Returns:
        A `grams.Dense` in host float64, or a `Centred`; its rounding is that of K, since |H| = 1.

    Raises:
        ValueError: not a symmetric matrix of finite floats.
    """
    if isinstance(K, Gram) and not isinstance(K, Dense):
        if K.shape[0] != K.shape[1] or not K.symmetric:
            raise ValueError(f"K must be square and symmetric to be centred; got shape {K.shape}.")
        return Centred(K)
    gram, A = as_gram(K), _checks.symmetric("K", K)
    A = A - A.mean(axis=0)
    A = A - A.mean(axis=1, keepdims=True)
    own = 4.0 * len(A) ** 0.5 * float(np.finfo(np.float64).eps) * float(np.linalg.norm(np.asarray(gram.dense())))
    rounding = float(gram.rounding) + own
    known = kept(gram, "the matrix was centred")
    return Dense(0.5 * (A + A.T), rounding=rounding, frobenius=gram.frobenius, **known)  # pyright: ignore


@dataclasses.dataclass(eq=False)
class Centred(Gram):
    """H K H of a Gram that is not held. Made by `centred`."""

    whole: Gram
    symmetric = True
    _means: np.ndarray | None = None

    def __post_init__(self) -> None:
        self.rounding = self.whole.rounding
        self.frobenius = self.whole.frobenius
        for name, value in kept(self.whole, "the matrix was centred").items():
            setattr(self, name, value)

    @property
    def shape(self) -> tuple[int, int]:
        return self.whole.shape

    def times(self, V: Any) -> Float[np.ndarray, "n ..."]:
        V, single = column_block(V, self.shape)
        out = self.whole.times(V - V.mean(axis=0))
        out -= out.mean(axis=0)
        return out[:, 0] if single else out

    def norm_fro(self) -> float:
        """|H K H|_F^2 = |K|_F^2 - 2 |K 1|^2/n + (1'K1)^2/n^2."""
        n, sums = self.shape[0], self.means() * self.shape[0]
        square = self.whole.norm_fro() ** 2 - 2.0 * float(sums @ sums) / n + float(sums.sum() / n) ** 2
        return float(np.sqrt(max(square, 0.0)))

    def means(self) -> Float[np.ndarray, " n"]:
        """The mean of each row of K; one product, once."""
        if self._means is None:
            self._means = self.whole.times(np.ones(self.shape[0])) / self.shape[0]
        return self._means

    def diag(self) -> Float[Array, " k"]:
        import jax.numpy as jnp

        means = self.means()
        values = np.asarray(self.whole.diag(), np.float64) - 2.0 * means + means.mean()
        return jnp.asarray(values, jnp.result_type(float))

    def rows(self, which: Any) -> Float[Array, "k m"]:
        import jax.numpy as jnp

        index = np.arange(self.shape[0])[which].reshape(-1)
        unit = np.zeros((self.shape[0], len(index)))
        unit[index, np.arange(len(index))] = 1.0
        return jnp.asarray(self.times(unit).T, jnp.result_type(float))

    def dense(self) -> np.ndarray:
        return np.asarray(centred(np.asarray(self.whole, np.float64)).dense())


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


def classwise(K: Any, labels: Any) -> ClassStructure:
    """Mean kernel values between classes, and the split of the centred kernel's trace.

    Args:
        K: a Gram or an array (n, n), symmetric; a lazy one takes one product with a block of c vectors.
        labels: (n,), numbers or strings, two classes or more.

    Raises:
        ValueError: labels of another shape, or one class only.
    """
    gram = as_gram(K)
    n = gram.shape[0]
    if isinstance(gram, Dense):
        _checks.symmetric("K", gram)
    labels = _checks.names("labels", labels)
    if labels.shape != (n,):
        raise ValueError(f"labels must have shape ({n},), one per example of the Gram matrix; got {labels.shape}.")
    classes, which, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if classes.size < 2:
        raise ValueError(f"labels must hold two classes or more; got {classes.size}.")
    member = (which[:, None] == np.arange(classes.size)).astype(np.float64)
    sums = member.T @ gram.times(member)  # (c, c)
    held = isinstance(gram, Dense)
    own = np.asarray(gram.array, np.float64).diagonal() if held else np.asarray(gram.diag(), np.float64)
    block = sums / np.outer(counts, counts)
    within = float(own.sum() - np.sum(np.diagonal(sums) / counts))
    between = float(np.sum(np.diagonal(sums) / counts) - sums.sum() / n)
    alone = counts < 2
    pairs = np.where(alone, 1, counts * (counts - 1))
    inner = np.where(alone, np.nan, (np.diagonal(sums) - member.T @ own) / pairs)
    block[np.diag_indices(classes.size)] = inner
    return ClassStructure(classes, counts, block, max(within, 0.0), max(between, 0.0))
