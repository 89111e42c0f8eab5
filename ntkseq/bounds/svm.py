"""Which function of least norm has margin 1 on every example? The hard-margin support vector machine, with its gap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from jaxtyping import Float

_PATIENCE = 3  # full exchanges without progress before single ones, which cannot cycle


@dataclass(frozen=True, eq=False)
class HardMargin:
    """The least squared norm over functions with y_i f(x_i) >= 1, between its dual and its primal value.

    Attributes:
        dual: coefficients of f = sum_j dual_j K(., x_j).
        lower: weak duality, (1'a)^2 / a'Qa.
        upper: the squared norm of f, scaled up until the smallest margin is 1.
        support: the number of support vectors.
    """

    dual: Float[np.ndarray, " n"]
    lower: float
    upper: float
    support: int


def hard_margin(
    matrix: Float[np.ndarray, "n n"], y: Float[np.ndarray, " n"], *, rounding: float = 0.0, reg: float = 0.0
) -> HardMargin:
    """Solve max_{a >= 0} 2 1'a - a'Qa with Q = diag(y) (K + reg) diag(y); its value is min y~'K^-1 y~, y~_i y_i >= 1.

    Block principal pivoting (exchange every index with a wrong sign; fall back to one at a time, which is finite for a
    positive definite Q). Both ends of the reported interval come from products with K alone and allow for `rounding`,
    so they stand however well the pivoting went.

    Raises:
        numpy.linalg.LinAlgError: K + reg is not positive definite.
    """
    n = len(y)
    Q = y[:, None] * (matrix + reg * np.eye(n)) * y[None, :]
    rows = np.abs(Q).sum(axis=1)
    eps = float(np.finfo(np.float64).eps)
    free = np.ones(n, bool)
    a = np.zeros(n)
    fewest, patience = n + 1, _PATIENCE
    for _ in range(n + 100):  # single exchanges may need many; the gap tells if this was not enough
        a = np.zeros(n)
        if free.any():
            block = np.ix_(free, free)
            a[free] = scipy.linalg.cho_solve(scipy.linalg.cho_factor(Q[block]), np.ones(int(free.sum())))
        slack = Q @ a - 1.0
        noise = n * eps * (1.0 + rows * np.abs(a).max())
        wrong = np.where(free, a < 0.0, slack < -noise)
        count = int(wrong.sum())
        if count == 0:
            break
        if count < fewest:
            fewest, patience = count, _PATIENCE
            free ^= wrong
        elif patience:
            patience -= 1
            free ^= wrong
        else:
            last = int(np.flatnonzero(wrong)[-1])
            free[last] = ~free[last]
    a = np.maximum(a, 0.0)
    reached, loose = Q @ a, np.abs(Q) @ a
    size = float(a @ a)
    lost = 2 * (n + 4) * eps  # of sums of n products and of the few operations behind them, relative to absolute values
    # a'Qa of the exact K is at most this, and its margins at least that
    energy = float(a @ reached) + lost * float(a @ loose) + rounding * size
    smallest = float((reached - lost * loose).min()) - rounding * float(np.sqrt(size))
    whole = float(a.sum())  # no square: it may leave the range
    lower = whole / energy * whole * (1 - lost) if energy > 0 else 0.0
    upper = energy / smallest / smallest * (1 + lost) if smallest > 0 else float("inf")
    return HardMargin(dual=y * a, lower=lower, upper=max(upper, lower), support=int(np.count_nonzero(a)))
