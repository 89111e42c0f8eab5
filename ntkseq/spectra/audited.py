"""How far do the errors of this very matrix move its lowest eigenvalues? A sample of them, drawn where those live.

Let E = computed - float64, |E_ij| <= e d_i d_j, and |E|_F <= B (`grams.audit`). Split the eigenvectors into the k
lowest, U, and the others, W, and let Y = U C with weights C = diag(c_1, ..., c_k), 0 < c_j <= 1. Draw pairs (i, j) with
probability q = s_i s_j / S^2, s_i = d_i |Y_i|, S = sum s. Then

    X = E_ij (Y_i Y_j^T + Y_j Y_i^T) / (2 q),   E X = Y^T E Y,   |X| <= e S^2 |z|,   z = E_ij / (e d_i d_j),

and with v a bound of E z^2, from the mean of m such, matrix Bernstein says for M, the mean of X: with high probability

    |Y^T E Y - M| <= D = e S^2 (sqrt(2 v L / m) + (1 + sqrt v) L / (3 m)),   L = log(2 k / delta).       (numerics.13)

The float64 matrix is diag(lambda) - [U W]^T E [U W] in the basis [U W], with |U^T E W|_F <= B / sqrt 2. As a quadratic
form it lies above the matrix of two blocks

    lambda_U - C^-1 (M + D) C^-1 - t   and   lambda_W - B - B^2 / (2 t),   t > 0,

and by Cauchy its i-th eigenvalue is at most that of lambda_U - C^-1 (M - D) C^-1. The weights fall with the distance
from the least eigenvalue, D / c_j^2 = D + (lambda_j - lambda_1) / 10: what is far above may move further.
"""

from __future__ import annotations

import numpy as np
import scipy  # its parts load when they are first used
from jaxtyping import Float

from ntkseq.grams.auditing import Audit, above
from ntkseq.spectra.entrywise import counts

_SHARE = 0.1  # of the distance from the least eigenvalue, by which another may be moved
_MOST = 1024  # lowest eigenvectors that are followed one by one: a k x k matrix and its eigenvalues, twice


def bounds(
    values: Float[np.ndarray, " n"],
    vectors: Float[np.ndarray, "n n"],
    audit: Audit,
    unit: float,
    norm: float,
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Lower and upper bounds of the exact eigenvalues, in the order of `values`.

    They hold but for probability audit.delta / 2 over the pairs drawn; the other half is that of `norm`.

    Args:
        values: eigenvalues of the computed matrix, ascending.
        vectors: its eigenvectors as columns.
        audit: of the matrix.
        unit: what the matrix was multiplied with before `values` were computed.
        norm: bounds |computed - exact| in Frobenius norm, multiplied likewise.
    """
    n, m = values.size, audit.pairs
    sizes = audit.size * np.sqrt(unit)
    exact = audit.reference.rounding * float(np.sum(sizes**2))
    norm = norm + exact  # from float64, not from the exact matrix
    k, weights = _plan(values, vectors, sizes, audit, norm)
    low = vectors[:, :k]
    rows = np.sqrt(low**2 @ weights)
    sample = audit.draw(audit.size * rows, stream=1)
    reach = audit.entrywise * float(sizes @ rows) ** 2
    if reach == 0.0:  # of a matrix of zeros
        return values - norm, values + norm
    off = _deviation(above(sample.square, m, audit.delta / 4), m, k, audit.delta / 4) * reach * (1.0 + 1e-9)
    # E_ij / q = e S^2 z / (|Y_i| |Y_j|), and C^-1 Y^T = U^T
    drawn = reach / m * sample.error / (rows[sample.i] * rows[sample.j])
    mean = low.T @ (scipy.sparse.coo_array((drawn, (sample.i, sample.j)), shape=(n, n)).tocsr() @ low)
    centre = np.diag(values[:k]) - 0.5 * (mean + mean.T)
    least, most = (np.linalg.eigvalsh(centre + sign * np.diag(off / weights)) for sign in (-1, 1))
    lower, upper = values - norm, values + norm
    upper[:k] = np.minimum(upper[:k], most + exact)
    if k == n:
        return np.maximum(lower, least - exact), upper
    rest = values[k:] - norm
    for one in least[: min(k, 32)]:
        t = _coupling(rest[0] - one, norm)
        below = np.append(least - t, rest - (0.5 * norm**2 / t if t > 0 else 0.0))
        lower = np.maximum(lower, np.sort(below) - exact)
    return lower, upper


def _coupling(gap: float, norm: float) -> float:
    """t with gap + t = norm^2 / (2 t): what lies `gap` above comes down to no less than what goes down by t."""
    root = float(np.hypot(gap, np.sqrt(2.0) * norm))
    return 0.5 * (root - gap) if gap < 0 or root == 0 else norm**2 / (gap + root)


def _deviation(second: float, m: int, k: int, delta: float) -> float:
    """sqrt(2 v L / m) + (1 + sqrt v) L / (3 m): how far the mean of m symmetric k x k matrices is from its expectation.

    Each has norm <= 1, and the squares have mean <= v; the expectation has norm <= sqrt v.
    """
    log = float(np.log(2.0 * k / delta))
    return float(np.sqrt(2.0 * second * log / m) + (1.0 + np.sqrt(second)) * log / (3.0 * m))


def _plan(
    values: np.ndarray, vectors: np.ndarray, sizes: np.ndarray, audit: Audit, norm: float
) -> tuple[int, np.ndarray]:
    """k and c^2, for which the least eigenvalue is expected to be known best, before any pair is drawn."""
    n, trace = values.size, float(np.sum(sizes**2))
    second = min(1.0, (norm / (audit.entrywise * trace)) ** 2) if trace > 0 else 0.0
    squares = vectors[:, : min(n, _MOST)] ** 2
    best, found = np.inf, (1, np.ones(1))
    for k in [*counts(min(n, _MOST)), min(n, _MOST)]:
        apart, weights = _SHARE * (values[:k] - values[0]), np.ones(k)
        known = 0.0
        for _ in range(6):
            known = audit.entrywise * float(sizes @ np.sqrt(squares[:, :k] @ weights)) ** 2
            known *= _deviation(second, audit.pairs, k, audit.delta / 4)
            weights = known / (known + apart) if known > 0 else np.ones(k)
        cost = known + (_coupling(float(values[k] - values[0]) - norm, norm) if k < n else 0.0)
        if cost < best:
            best, found = cost, (k, weights)
    return found
