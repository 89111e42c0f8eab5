"""Is a matrix positive definite for certain? A Cholesky factorisation in floating point that proves it."""

from __future__ import annotations

import numpy as np
import scipy.linalg
from jaxtyping import Float

from ntkseq import _checks
from ntkseq._types import GramLike
from ntkseq.grams.arrays import symmetric

_U = 0.5 * float(np.finfo(np.float64).eps)


def positive_definite(K: GramLike) -> bool:
    """Whether the exact matrix behind K is proven to have only positive eigenvalues.

    True is a proof, as far as `K.rounding` bounds |K - exact|: the factorisation of K - (rounding + c) I runs through
    in floating point, where c bounds everything that it may round away. False says nothing: see `spectrum(K)`. Costs
    n^3 / 3, a thirtieth of all eigenvalues.

    Args:
        K: a Gram or an array (n, n), symmetric.

    Raises:
        ValueError: not a symmetric matrix of finite floats.

    Reference: rump2006 (the shift).

    Example:
        >>> import numpy as np
        >>> positive_definite(np.array([[2.0, 1.0], [1.0, 2.0]])), positive_definite(np.ones((2, 2)))
        (True, False)
    """
    held = symmetric(K)
    return above(held.matrix, _checks.nonnegative("rounding of K", held.rounding))


def above(A: Float[np.ndarray, "n n"], bound: float) -> bool:
    """Whether every eigenvalue of the symmetric float64 matrix A is proven to be larger than `bound`, >= 0 or not.

    If the Cholesky factorisation of B, computed in any order of the sums, runs through, then
    lambda_min(B) > -gamma / (1 - gamma) tr(B) with gamma = (n + 1) u / (1 - (n + 1) u); the diagonal A_ii - shift is
    rounded once more. Underflow adds a multiple of the least normal number.
    """
    n = A.shape[0]
    diagonal = np.diagonal(A)
    if not (diagonal > bound).all():  # a diagonal entry is no less than the least eigenvalue
        return False
    largest = float(np.abs(diagonal).max())
    gamma = (n + 2) * _U / (1.0 - (n + 2) * _U)
    lost = gamma / (1.0 - gamma) * float(np.sum(np.abs(diagonal) + abs(bound))) * (1.0 + 4 * n * _U)
    lost += 2.0 * _U * (largest + abs(bound)) + 4.0 * n * (n + largest) * float(np.finfo(np.float64).tiny)
    B = np.array(A, order="F")
    shift = np.nextafter(bound + lost, np.inf)
    B[np.diag_indices(n)] = diagonal - shift
    try:
        factor = scipy.linalg.cholesky(B, lower=True, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError:
        return False
    return bool(np.isfinite(np.diagonal(factor)).all())
