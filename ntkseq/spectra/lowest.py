"""Where do the least eigenvalues lie, given inexact Ritz pairs at the lower end and entries that are rounded?"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ntkseq.grams.base import Gram
from ntkseq.spectra.entrywise import SHARES


def moved(residual: float, gap: float) -> float:
    """How far an eigenvalue is moved by coupling to others that are `gap` away: numerics.10, or Weyl."""
    return min(residual, residual**2 / gap) if gap > 0 else residual


def bounds(
    K: Gram,
    values: Float[np.ndarray, " b"],
    vectors: Float[np.ndarray, "n b"],
    *,
    residual: float,
    edge: float,
    product: float,
) -> tuple[Float[np.ndarray, " b"], Float[np.ndarray, " b"]]:
    """Lower and upper bounds of the b least eigenvalues of the exact matrix, ascending.

    By the norm of the rounding (numerics.6, numerics.10); where errors are known entry by entry, also by what the
    leading 1, 2, ... of the vectors see of them (numerics.16).

    Args:
        K: the Gram.
        values, vectors: Ritz pairs, ascending.
        residual: |K V - V diag(values)|_2.
        edge: on the complement of the vectors K is at least this.
        product: bound of the rounding of a product with a unit vector.
    """
    b, rounding = values.size, float(K.rounding)
    lower = np.array([_below(value, edge, residual) for value in values]) - rounding
    upper = values + rounding
    e, n = K.entrywise, len(vectors)
    diagonal = np.zeros(0) if e is None or not b else np.asarray(K.diag(), np.float64)
    if e is not None and diagonal.size and (diagonal >= 0).all():
        wider = 1.0 + 8.0 * n * float(np.finfo(np.float64).eps)
        d, whole = np.sqrt(diagonal), wider * float(np.sum(diagonal))
        sizes = np.sqrt(np.cumsum(vectors**2, axis=1))  # of the rows of the first 1, 2, ... vectors
        seen = e * wider * (d @ sizes) ** 2  # e a^2
        upper = np.minimum(upper, values + seen)
        for j in range(1, b + 1):
            rest = _below(values[j], edge, residual) if j < b else edge
            for p in SHARES:
                far = rest - e * whole / (1.0 - p)
                low = [_below(value - seen[j - 1] / p, far, residual) for value in values[:j]]
                lower[:j] = np.maximum(lower[:j], low)
    return lower - product, upper + product


def _below(value: float, edge: float, residual: float) -> float:
    """A lower bound of the eigenvalue of a Ritz value, coupled by `residual` to others above `edge`."""
    return min(value, edge) - moved(residual, edge - value)
