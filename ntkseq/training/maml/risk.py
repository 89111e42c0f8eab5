"""What is the exact risk of MAML's averaged SGD on mixed linear regression, at every horizon?

The diagonal of E[delta delta'] in the eigenbasis of Sigma obeys a closed linear recursion, since Gaussian coordinates
have symmetric signs. It is run in blocks of horizons: a block is a power of the matrix times the block before, so the
work is products of matrices, which a step-by-step loop cannot use.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float

from ntkseq import _checks
from ntkseq.training.maml.problem import MixedRegression

BLOCK = 128


@dataclasses.dataclass(frozen=True, eq=False)
class Risk:
    """The excess risk of the averaged iterate at the horizons 1 .. T; `bias[t]` belongs to horizon t + 1.

    Attributes:
        bias: what the start costs, (T,).
        variance: what noise and the difference of tasks cost, (T,); 0 at horizon 1.
        stable: whether the step size is stable in mean square; if not, the risk grows without bound.
    """

    bias: Float[np.ndarray, " T"]
    variance: Float[np.ndarray, " T"]
    stable: bool

    @property
    def total(self) -> Float[np.ndarray, " T"]:
        """Their sum: exactly the excess risk, there is no cross term."""
        return self.bias + self.variance

    def stopping(self, eps: float) -> int | None:
        """The first horizon with a risk below eps; None if there is none up to T."""
        eps = _checks.nonnegative("eps", eps, positive=True)
        below = np.flatnonzero(self.total < eps)
        return int(below[0]) + 1 if below.size else None


def risk(problem: MixedRegression, steps: int) -> Risk:
    """The exact excess risk at every horizon 1 .. steps, for Gaussian inputs.

        c_{t+1} = (1 - 2 alpha mu) c_t + alpha^2 (Q c_t + pi),   c_0 = start^2                                 (maml.9)
        R_T = mu_te . s_T / (2 T^2),   s_{t+1} = s_t + c_t + 2 u_t,   u_{t+1} = (1 - alpha mu) (u_t + c_t)

    bias: with pi = 0; variance: with c_0 = 0. Source: derived; checked against quadrature, loops and simulation.

    Args:
        problem: see `MixedRegression`.
        steps: T, the last horizon.

    Raises:
        ValueError: steps below 1.

    Example:
        >>> problem = MixedRegression([1.0, 0.5, 0.25], 1.0, noise=0.5, n1=4, n2=3, beta_tr=0.3, alpha=0.05)
        >>> curve = risk(problem, 500)
        >>> curve.total.shape, curve.stopping(0.1)
        ((500,), 111)
    """
    steps = _checks.positive_int("steps", steps)
    if not problem.d:
        return Risk(np.zeros(steps), np.zeros(steps), True)
    alpha, mu = problem.alpha, problem.mu_tr
    noise = np.stack([np.zeros(problem.d), alpha**2 * problem.moments.pi])
    start = np.stack([problem.start**2, np.zeros(problem.d)])
    with np.errstate(over="ignore", invalid="ignore"):
        A = alpha**2 * problem.moments.Q
        A[np.diag_indices(problem.d)] += 1 - 2 * alpha * mu
        sums = _sums(A, noise, start, 1 - alpha * mu, problem.mu_te, steps)
        values = 0.5 * sums / np.arange(1, steps + 1, dtype=np.float64) ** 2
    values = np.where(np.isfinite(values), values, np.inf)
    stable = bool(alpha == 0 or alpha < problem.alpha_max)
    return Risk(values[0], values[1], stable)


def limit(problem: MixedRegression) -> float:
    """lim T R_T for a fixed stable step size; inf from `alpha_max` on. (maml.11)

    sum_i mu_te,i (2 - alpha mu_i)/(2 alpha mu_i) c_i,     (2 diag(mu) - alpha Q) c = alpha pi
    """
    alpha, mu = problem.alpha, problem.mu_tr
    if not problem.d:
        return 0.0
    if alpha == 0 or not alpha < problem.alpha_max:
        return float("inf")
    c = np.linalg.solve(2 * np.diag(mu) - alpha * problem.moments.Q, alpha * problem.moments.pi)
    return float(np.sum(problem.mu_te * (2 - alpha * mu) / (2 * alpha * mu) * c))


def _sums(A: Any, noise: Any, start: Any, a: Any, weights: Any, steps: int) -> Float[np.ndarray, "two T"]:
    """weights . s_t for t = 1 .. steps, of two recursions at once; noise and start (2, d).

    Within a block u_{t+r} = a^r u_t + sum_{k<r} a^{r-k} c_{t+k}, so weights . u is a product of the powers of a with
    the block of c, added up along its diagonals.
    """
    d = len(a)
    size = min(BLOCK, steps)
    powers = a[None, :] ** np.arange(size + 1)[:, None]  # (size + 1, d)
    lags = np.arange(size)[:, None] - np.arange(size)[None, :]  # r - k
    block = np.empty((2, d, size))
    block[:, :, 0] = start
    for k in range(1, size):
        block[:, :, k] = block[:, :, k - 1] @ A + noise  # A is symmetric
    jump, pushed = _power(A, noise, size) if steps > size else (A, noise)
    u = np.zeros((2, d))
    terms = np.empty((2, steps))
    back = powers[:0:-1].T  # a^(size - k)
    for first in range(0, steps, size):
        if first:
            block = jump @ block + pushed[:, :, None]
        mixed = (powers[1:] * weights) @ block  # (2, lag - 1, k)
        within = np.where(lags > 0, mixed[:, lags - 1, np.arange(size)[None, :]], 0).sum(axis=2)
        rows = weights @ block + 2 * (u @ (powers[:-1] * weights).T + within)
        count = min(size, steps - first)
        terms[:, first : first + count] = rows[:, :count]
        u = powers[-1] * u + np.sum(back * block, axis=2)
    return np.cumsum(terms, axis=1)


def _power(A: np.ndarray, noise: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """A^count and sum_{j < count} A^j noise for each row of noise, by doubling. A is symmetric."""
    power, pushed = np.eye(len(A)), np.zeros_like(noise)
    for bit in bin(count)[2:]:
        pushed = pushed + pushed @ power
        power = power @ power
        if bit == "1":
            pushed = pushed @ A + noise
            power = A @ power
    return power, pushed
