"""How far do errors that are small entry by entry move each eigenvalue? Not by their norm, where vectors are localised.

Let |E_ij| <= e d_i d_j, as a kernel states it with d_i = sqrt(K_ii), and split the eigenvectors into the k lowest, U,
and the others. For a vector v = U alpha + w, with |(U alpha)_i| <= |U_i| |alpha| for the rows U_i of U,

    |v^T E v| <= e (sum_i d_i |v_i|)^2 <= e (a |alpha| + b |w|)^2 <= e (a^2 / p) |alpha|^2 + e (b^2 / (1 - p)) |w|^2,
    a = sum_i d_i |U_i|,   b^2 = sum_i d_i^2,   0 < p < 1.                                              (numerics.11)

So the exact matrix lies, in the order of quadratic forms, between two matrices with the same eigenvectors and moved
eigenvalues: by e a^2 / p the lowest, by e b^2 / (1 - p) the others; sorted, they bound the exact ones one by one. Each
of the k may also be a part of its own, moved by e k a_j^2 / p, a_j that of its vector alone. Near duplicates have a
least eigenvector on two examples: a^2 is 2 d^2 there, and b^2 is n d^2.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

SHARES = (0.5, 0.9, 0.99)
"""p of numerics.11 and numerics.16, of which the best counts."""


def bounds(
    values: Float[np.ndarray, " n"],
    vectors: Float[np.ndarray, "n n"],
    diagonal: Float[np.ndarray, " n"],
    e: float,
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Lower and upper bounds of the exact eigenvalues, in the order of `values`.

    Args:
        values: eigenvalues of the computed matrix, ascending.
        vectors: its eigenvectors as columns.
        diagonal: of the matrix, >= 0.
        e: |computed_ij - exact_ij| <= e sqrt(diagonal_i diagonal_j).
    """
    n = values.size
    d = np.sqrt(diagonal)
    whole = e * float(np.sum(diagonal))
    lower, upper = values - whole, values + whole
    squares = np.zeros(n)
    alone = (d @ np.abs(vectors)) ** 2 * (1.0 + 8 * n * np.finfo(np.float64).eps)
    done = 0
    for k in counts(n):
        squares += np.sum(vectors[:, done:k] ** 2, axis=1)
        done = k
        a2 = float(d @ np.sqrt(squares)) ** 2 * (1.0 + 8 * n * np.finfo(np.float64).eps)
        for p in SHARES:
            moved = np.full(n, whole / (1.0 - p))
            for low in (e * a2 / p, e * k * alone[:k] / p):
                moved[:k] = low
                lower = np.maximum(lower, np.sort(values - moved))
                upper = np.minimum(upper, np.sort(values + moved))
    return lower, upper


def counts(n: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, ... below n."""
    found, k = [], 1.0
    while k < n:
        found.append(int(k))
        k = max(k * 2**0.5, k + 1)
    return found
