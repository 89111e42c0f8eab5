"""The Gram matrix of features without their mean."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks, _precision
from ntkseq._types import ArrayLike, GramLike, Index
from ntkseq.grams.arrays import at_hand, symmetric
from ntkseq.grams.base import DenseGram, Gram, column_block, rows_by_products
from ntkseq.grams.sampling import kept

_WHY = "the matrix was centred"
_EPS = float(np.finfo(np.float64).eps)


def centred(K: GramLike) -> Gram:
    """The Gram matrix of the features with their mean removed: H K H, H = I - 1 1'/n.

    Args:
        K: a Gram or an array (n, n), symmetric. A lazy one stays lazy: two small sums around each product.

    Returns:
        A `grams.DenseGram` in host float64, or a `CentredGram`; its rounding is that of K, since |H| = 1.

    Raises:
        ValueError: not a symmetric matrix of finite floats.

    Example:
        >>> import numpy as np
        >>> float(np.asarray(centred(np.eye(4) + 3.0)).sum())
        0.0
    """
    if isinstance(K, Gram) and not at_hand(K):
        _checks.square("K", K.shape, K.symmetric)
        return CentredGram(K)
    held = symmetric(K)
    rounding = 4.0 * len(held.matrix) ** 0.5 * _EPS * float(np.linalg.norm(held.matrix))
    known = kept(held.gram, _WHY)
    return DenseGram(without_mean(held.matrix), held.rounding + rounding, frobenius=held.gram.frobenius, **known)


def without_mean(A: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """H A H of a symmetric matrix, exactly symmetric."""
    A = A - A.mean(axis=0)
    A = A - A.mean(axis=1, keepdims=True)
    return 0.5 * (A + A.T)


@dataclasses.dataclass(eq=False)
class CentredGram(Gram):
    """H K H of a Gram that is not held. Made by `centred`."""

    of: Gram
    _means: np.ndarray | None = None
    symmetric = True
    held = False
    dtype = np.dtype(np.float64)

    def __post_init__(self) -> None:
        same = {name: getattr(self.of, name) for name in ("rounding", "frobenius", "by_product")}
        for name, value in (same | kept(self.of, _WHY)).items():
            setattr(self, name, value)

    @property
    def shape(self) -> tuple[int, int]:
        return self.of.shape

    def times(self, V: ArrayLike) -> Float[np.ndarray, "n ..."]:
        V, single = column_block(V, self.shape)
        out = self.of.times(V - V.mean(axis=0))
        out -= out.mean(axis=0)
        return out[:, 0] if single else out

    def norm_fro(self) -> float:
        """|H K H|_F^2 = |K|_F^2 - 2 |K 1|^2/n + (1'K1)^2/n^2."""
        n, sums = self.shape[0], self.means() * self.shape[0]
        square = self.of.norm_fro() ** 2 - 2.0 * float(sums @ sums) / n + float(sums.sum() / n) ** 2
        return float(np.sqrt(max(square, 0.0)))

    def norm_error(self) -> float:
        """The squares that cancel are off by 8 n eps |K|_F^2 at most."""
        square, off = self.norm_fro() ** 2, 8.0 * self.shape[0] * _EPS * self.of.norm_fro() ** 2
        return math.sqrt(square + off) - math.sqrt(max(square - off, 0.0)) if math.isfinite(off) else 0.0

    def means(self) -> Float[np.ndarray, " n"]:
        """The mean of each row of K; one product, once."""
        if self._means is None:
            self._means = self.of.times(np.ones(self.shape[0])) / self.shape[0]
        return self._means

    def known_trace(self) -> float | None:
        return None if self.of.known_trace() is None else super().known_trace()

    def diag(self) -> Float[Array | np.ndarray, " k"]:
        means = self.means()
        return _precision.handed(np.asarray(self.of.diag(), np.float64) - 2.0 * means + means.mean())

    def rows(self, which: Index) -> Float[Array | np.ndarray, "k m"]:
        return _precision.handed(rows_by_products(self, which))

    def dense(self) -> Float[np.ndarray, "n n"]:
        return without_mean(symmetric(self.of, whole=True).matrix)
