"""Which spectra are known exactly? Matrices with known eigenvalues, and an exact inertia count in rationals."""

from __future__ import annotations

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq.grams.base import DenseGram


def reflected(eigenvalues: np.ndarray, rng: np.random.Generator, times: int = 2) -> np.ndarray:
    """H ... H D H ... H with H = I - (2/n) v v^T, v of signs, n a power of two: exact in float64 for short D."""
    n = eigenvalues.size
    assert n & (n - 1) == 0, "2/n must be exact"
    A = np.diag(eigenvalues).astype(object)
    A = np.array([[Fraction(float(value)) for value in row] for row in A.astype(np.float64)], dtype=object)
    for _ in range(times):
        v = rng.choice([-1, 1], size=n)
        w = A @ v  # (I - c v v^T) A (I - c v v^T) = A - c (v w^T + w v^T) + c^2 (v . w) v v^T
        c = Fraction(2, n)
        A = A - c * (np.outer(v, w) + np.outer(w, v)) + c * c * (v @ w) * np.outer(v, v)
    out = A.astype(np.float64)
    assert all(Fraction(float(x)) == y for x, y in zip(out.ravel(), A.ravel(), strict=True)), "not exact in float64"
    return out


def declared(A: np.ndarray, rounding: float) -> DenseGram:
    """A float64 Gram that declares its rounding, also where x64 is off."""
    with jax.enable_x64(True):
        return DenseGram(jnp.asarray(A, jnp.float64), rounding=rounding)


def second_difference(n: int) -> tuple[np.ndarray, np.ndarray]:
    """The matrix (-1, 2, -1) and its eigenvalues 4 sin^2(k pi / (2 (n + 1)))."""
    A = 2.0 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    return A, np.sort(4.0 * np.sin(np.arange(1, n + 1) * np.pi / (2 * (n + 1))) ** 2)[::-1]


def brownian(n: int) -> tuple[np.ndarray, np.ndarray]:
    """min(i, j), the Gram matrix of Brownian motion, and its eigenvalues 1 / (4 sin^2((2k - 1) pi / (2 (2n + 1))))."""
    index = np.arange(1, n + 1)
    k = index
    return np.minimum(index[:, None], index).astype(np.float64), 0.25 / np.sin((2 * k - 1) * np.pi / (4 * n + 2)) ** 2


def inertia(A: np.ndarray, shift: float | Fraction) -> tuple[int, int]:
    """How many eigenvalues of A lie below `shift`, and how many above it, exactly (Sylvester's law, rationals)."""
    n = A.shape[0]
    M = [[Fraction(float(A[i, j])) - (Fraction(shift) if i == j else 0) for j in range(n)] for i in range(n)]
    below = above = 0
    while M:
        m = len(M)
        pivot = next((i for i in range(m) if M[i][i] != 0), None)
        if pivot is None:
            pair = next(((i, j) for i in range(m) for j in range(i) if M[i][j] != 0), None)
            if pair is None:
                break  # the rest is zero: eigenvalues equal to the shift
            i, j = pair
            for c in range(m):  # a congruence that puts 2 M_ij on the diagonal
                M[i][c] += M[j][c]
            for r in range(m):
                M[r][i] += M[r][j]
            pivot = i
        p = M[pivot][pivot]
        below, above = below + (p < 0), above + (p > 0)
        rest = [i for i in range(m) if i != pivot]
        M = [[M[i][j] - M[i][pivot] * M[pivot][j] / p for j in rest] for i in rest]
    return below, above


def holds(A: np.ndarray, values: np.ndarray, errors: np.ndarray) -> bool:
    """Whether each exact eigenvalue of A lies within errors of values (descending), decided exactly."""
    n = values.size
    for i, (value, error) in enumerate(zip(values, errors, strict=True)):
        lower, upper = Fraction(float(value)) - Fraction(float(error)), Fraction(float(value)) + Fraction(float(error))
        # the (i + 1)-th largest is >= lower: at most n - i - 1 lie below; it is <= upper: at most i lie above
        if inertia(A, lower)[0] > n - i - 1 or inertia(A, upper)[1] > i:
            return False
    return True
