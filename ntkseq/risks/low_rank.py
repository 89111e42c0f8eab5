"""Through how few numbers do the coordinates act on each other in MAML's second moments? Five."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

RANK = 5
Table = Float[np.ndarray, "5 5"]


def mixing(spectrum: Float[np.ndarray, " d"], beta: float, n1: int, n2: int) -> tuple[np.ndarray, Table]:
    """P (d, 5) and M (5, 5), symmetric, with Q_ij = (P M P')_ij for i != j. (maml.18)

    Off its diagonal, Q_ij is lam_i lam_j times a polynomial in lam_i and lam_j of degree 4 in each; its coefficients
    are sums over all coordinates. P holds the powers 1 .. 5 of lam/lam_1, so that M has entries of the size of Q.
    """
    top = float(spectrum.max())
    lam = spectrum / top
    b, n = beta * top, float(n1)  # Q has the unit lam^2 and depends on beta lam
    s1, s2 = float(np.sum(lam**2)), float(np.sum(lam**4))
    pairs, both = _pairs(b, n, s1, s2), _both(b, n, s1, s2)
    M = top**2 * ((1 + 1 / n2) * pairs + both / n2)
    return lam[:, None] ** np.arange(1, RANK + 1), M


def _pairs(b: float, n: float, s1: float, s2: float) -> Table:
    """E[K_ij^2]/(x y) as coefficients of x^p y^q, x = lam_i, y = lam_j. (maml.8)"""
    n2, n24 = n * (n + 2), n * (n + 2) * (n + 4)
    W_V = ((n + 1) * _sum(2) + s1 * _sum(0) / 2) / n**2
    V_V = (
        n24 * _sum(4) + 2 * n * (n + 2) ** 2 * _product(2) + 2 * n2 * _rest_times_squares(s1)
        + n * (n + 1) * _rest(s2, 4) + n * _rest_squared(s1)
    ) / n**4  # fmt: skip
    square = (_sum(2) + 2 * _product(1)) / n  # (x + y)^2 / n
    return b**2 * square - 2 * b**3 * (_times_x(W_V) + _times_x(W_V).T) + b**4 * V_V


def _both(b: float, n: float, s1: float, s2: float) -> Table:
    """E[K_ii K_jj]/(x y) as coefficients of x^p y^q, i != j."""
    n2, n24 = n * (n + 2), n * (n + 2) * (n + 4)
    V = ((n + 1) * _sum(2) + s1 * _sum(0)) / n  # E V_ii + E V_jj
    W_V = np.zeros((RANK, RANK))  # E W_ii V_jj
    W_V[0, 0], W_V[2, 0], W_V[0, 2] = s1 / n, 2 / n**2, (n + 1) / n
    V_V = (
        (n2**2 + 3 * n2) * _product(2) + n24 * _sum(4) + n2 * (n + 1) * _rest_times_squares(s1)
        + 2 * n * _rest(s2, 4) + n**2 * _rest_squared(s1)
    ) / n**4  # fmt: skip
    found = _sum(0) / 2 - 2 * b * _sum(1) + b**2 * (V + 4 * _product(1))
    return found - 2 * b**3 * (_times_x(W_V) + _times_x(W_V).T) + b**4 * V_V


def _sum(p: int) -> Table:
    """x^p + y^p; for p = 0: 2."""
    found = np.zeros((RANK, RANK))
    found[p, 0] += 1
    found[0, p] += 1
    return found


def _product(p: int) -> Table:
    """x^p y^p."""
    found = np.zeros((RANK, RANK))
    found[p, p] = 1
    return found


def _rest(total: float, p: int) -> Table:
    """The sum over the other coordinates: total - x^p - y^p."""
    return total * _sum(0) / 2 - _sum(p)


def _rest_times_squares(s1: float) -> Table:
    """(s1 - x^2 - y^2)(x^2 + y^2)."""
    return s1 * _sum(2) - _sum(4) - 2 * _product(2)


def _rest_squared(s1: float) -> Table:
    """(s1 - x^2 - y^2)^2."""
    return s1**2 * _sum(0) / 2 - 2 * s1 * _sum(2) + _sum(4) + 2 * _product(2)


def _times_x(table: Table) -> Table:
    """x times a polynomial that has no x^4."""
    return np.concatenate([np.zeros((1, RANK)), table[:-1]])
