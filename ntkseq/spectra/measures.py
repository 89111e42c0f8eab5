"""Does a spectrum point at the labels?"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from ntkseq import _checks
from ntkseq._types import ArrayLike


def alignment_curve(vectors: Float[np.ndarray, "n m"], y: ArrayLike) -> Float[np.ndarray, " m"]:
    """The share of |y|^2 that lies in the span of the first k eigenvectors, for k = 1..m.

    c_k = sum_{i<=k} (v_i . y)^2 / |y|^2

    Within a group of equal eigenvalues the order of the vectors, and so the curve, is arbitrary; at its end it is not.

    Args:
        vectors: eigenvectors as columns, largest eigenvalue first.
        y: labels (n,), used as given: centre them first if a constant should not count.

    Raises:
        ValueError: y of another length, not finite, or all zero.
    """
    return np.cumsum(_shares(vectors, y))


def alignment(values: Float[np.ndarray, " m"], vectors: Float[np.ndarray, "n m"], y: ArrayLike) -> float:
    """Kernel-target alignment: the cosine between K and y y^T in the Frobenius inner product.

    A = y^T K y / (|y|^2 |K|_F) = sum lambda_i (v_i . y)^2 / (|y|^2 sqrt(sum lambda_i^2)), at most 1; nan for K = 0.

    Args:
        values: all eigenvalues of K.
        vectors: the eigenvectors in the same order, as columns.
        y: labels (n,), used as given.

    Reference: cristianini2001, the definition of alignment.
    """
    shares = _shares(vectors, y)
    largest = np.abs(values).max()
    if largest == 0:
        return float("nan")
    scaled = values / largest
    return float(shares @ scaled / np.linalg.norm(scaled))


def _shares(vectors: np.ndarray, y: Any) -> np.ndarray:
    y = _checks.labels("y", y, vectors.shape[0])
    largest = np.abs(y).max()
    if largest == 0:
        raise ValueError("y must not be all zero: its direction is asked for. Pass labels such as -1/+1.")
    y = y / largest
    return (vectors.T @ y) ** 2 / (y @ y)
