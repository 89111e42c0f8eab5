"""Which digits do the numbers of an array use, and what does one rounding of each say of a Gram matrix?"""

from __future__ import annotations

import math

import numpy as np


def once(A: np.ndarray, eps: float, tiny: float) -> float | None:
    """e with |error_ij| <= e sqrt(A_ii A_jj) if each entry is rounded once, where that can be said."""
    own = np.diagonal(A)
    if not (own >= 0).all() or (own[own > 0] < tiny / eps).any():
        return None
    size = np.sqrt(own)
    with np.errstate(under="ignore", invalid="ignore", over="ignore"):
        within = (np.abs(A) <= 1.001 * size[:, None] * size).all()  # of a semi-definite matrix they are
    return 0.51 * eps if within else None


def in_norm(entrywise: float, size: float) -> float:
    """|E|_F <= e sqrt(tr K tr K') from |E_ij| <= e sqrt(K_ii K'_jj); infinite where nothing is known of E."""
    return entrywise if math.isinf(entrywise) else entrywise * size


def single(A: np.ndarray) -> bool:
    """Whether float64 entries are those of a float32 array: more than half have 17 to 24 digits of 53, and no more."""
    if A.dtype != np.float64 or A.size < 2:
        return False
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return bool(2 * np.count_nonzero((A.astype(np.float32) == A) & long(A)) > np.count_nonzero(A))


def long(A: np.ndarray) -> np.ndarray:
    """Which entries, in float32, use some of the last 8 of their 24 digits."""
    return (np.ascontiguousarray(A, np.float32).view(np.uint32) & 0xFF) != 0
