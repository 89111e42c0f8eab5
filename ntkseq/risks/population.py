"""What is the exact risk of MAML's averaged SGD on mixed linear regression, at every horizon?

The diagonal of E[delta delta'] in the eigenbasis of Sigma obeys a closed linear recursion, since Gaussian coordinates
have symmetric signs. Coordinates act on each other through five numbers only, so a block of steps is a small triangular
system and products of matrices, where a loop over steps has d^2 work in each.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.linalg
from jaxtyping import Float

from ntkseq import _checks, _display
from ntkseq.risks import low_rank
from ntkseq.risks.problem import MixedRegression

BLOCK = 64
"""Steps at once: more make the triangular systems dearer, fewer the calls."""


@dataclasses.dataclass(frozen=True, eq=False)
class Risk:
    """The excess risk of the averaged iterate at the horizons 1 .. T; `bias[t]` belongs to horizon t + 1.

    Attributes:
        bias: what the start costs, (T,).
        variance: what noise and the difference of tasks cost, (T,); 0 at horizon 1.
        stable: whether the step size is stable in mean square; if not, the risk grows without bound.

    Reference: huang2022maml (the problem); the values are derived here.
    """

    bias: Float[np.ndarray, " T"]
    variance: Float[np.ndarray, " T"]
    stable: bool

    @property
    def total(self) -> Float[np.ndarray, " T"]:
        """Their sum: exactly the excess risk, there is no cross term."""
        return self.bias + self.variance

    def __repr__(self) -> str:
        last = f"bias {self.bias[-1]:.4g}, variance {self.variance[-1]:.4g} at the last" if len(self.bias) else "none"
        return _display.folded(f"Risk({len(self.bias)} horizons; {last}; {'stable' if self.stable else 'not stable'})")

    def stopping(self, eps: float) -> int | None:
        """The first horizon with a risk below eps; None if there is none up to T.

        Raises:
            ValueError: an eps that is not positive.
        """
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

    Reference: huang2022maml (the problem); the values are derived here.

    Example:
        >>> problem = MixedRegression([1.0, 0.5, 0.25], 1.0, noise=0.5, n1=4, n2=3, beta_tr=0.3, alpha=0.05)
        >>> curve = risk(problem, 500)
        >>> curve.total.shape, curve.stopping(0.1)
        ((500,), 111)
    """
    _checks.kind("problem", problem, MixedRegression)
    steps = _checks.positive_int("steps", steps)
    if not problem.d:
        return Risk(np.zeros(steps), np.zeros(steps), True)
    start = np.stack([problem.start**2, np.zeros(problem.d)], axis=1)
    with np.errstate(over="ignore", invalid="ignore"):
        sums = np.cumsum(_terms(problem, start, steps), axis=0)
        values = 0.5 * sums / np.arange(1, steps + 1, dtype=np.float64)[:, None] ** 2
    values = np.where(np.isfinite(values), values, np.inf)
    stable = bool(problem.alpha == 0 or problem.alpha < problem.alpha_max)
    return Risk(values[:, 0], values[:, 1], stable)


def limit(problem: MixedRegression) -> float:
    """lim T R_T for a fixed stable step size; inf from `alpha_max` on. (maml.11)

    sum_i mu_te,i (2 - alpha mu_i)/(2 alpha mu_i) c_i,     (2 diag(mu) - alpha Q) c = alpha pi

    Args:
        problem: a `MixedRegression`.

    Raises:
        ValueError: another problem.

    Example:
        >>> from ntkseq import risks
        >>> options = dict(start=0.3, spread=0.1, noise=0.5, n1=10, n2=10, beta_tr=0.2, alpha=0.02)
        >>> problem = risks.MixedRegression([1.0, 0.5], **options)
        >>> errors = [T * risks.risk(problem, T).total[-1] / limit(problem) - 1 for T in (10_000, 20_000)]
        >>> bool(0 < errors[1] < errors[0])  # from above, like 1/T
        True
    """
    _checks.kind("problem", problem, MixedRegression)
    alpha, mu = problem.alpha, problem.mu_tr
    if not problem.d:
        return 0.0
    if alpha == 0 or not alpha < problem.alpha_max:
        return float("inf")
    c = np.linalg.solve(2 * np.diag(mu) - alpha * problem.moments.Q, alpha * problem.moments.pi)
    return float(np.sum(problem.mu_te * (2 - alpha * mu) / (2 * alpha * mu) * c))


def _terms(problem: MixedRegression, c: Float[np.ndarray, "d 2"], steps: int) -> Float[np.ndarray, "T 2"]:
    """mu_te . (c_t + 2 u_t) for t = 0 .. steps - 1, from c_0 = c; only the second column has noise. (maml.9)"""
    block = _Block.of(problem, min(BLOCK, steps))
    u = np.zeros_like(c)
    terms = np.empty((steps, 2))
    for first in range(0, steps, block.size):
        rows, c, u = block.advance(c, u)
        terms[first : first + block.size] = rows[: steps - first]
    return terms


@dataclasses.dataclass(frozen=True, eq=False)
class _Block:
    """What `size` steps do to c and u. own = 1 - 2 alpha mu + alpha^2 (diagonal of Q - P M P'), a = 1 - alpha mu.

        c_{t+1} = own c_t + P force_t + noise,  force_t = alpha^2 M P' c_t,  u_{t+1} = a (u_t + c_t)     (maml.18)

    `own`, `mean`, `mixed` hold, for l = 0 .. size: own^l, a^l, and u after l steps from c = 1, u = 0, no force.
    """

    size: int
    P: Float[np.ndarray, "d 5"]
    M: Float[np.ndarray, "5 5"]
    own: np.ndarray
    mean: np.ndarray
    mixed: np.ndarray
    solve: np.ndarray  # (5 size, 5 size): from P'c_t of the state alone to P'c_t with the force of the steps before
    seen: np.ndarray  # (size, d): rows of mu_te (own^l + 2 mixed_l)
    averaged: np.ndarray  # (size, d): rows of 2 mu_te a^l
    forced: np.ndarray  # (size, 5 size): from the forces to the terms
    pushes: np.ndarray  # (2 d, size): columns of own^l, and below of mixed_l
    noise: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # its part in P'c_t, in the terms, in c and in u

    @classmethod
    def of(cls, problem: MixedRegression, size: int) -> _Block:
        alpha, mu, weights, Q = problem.alpha, problem.mu_tr, problem.mu_te, problem.moments.Q
        P, M = low_rank.mixing(problem.spectrum, problem.beta_tr, problem.n1, problem.n2)
        M = alpha**2 * M
        own = 1 - 2 * alpha * mu + alpha**2 * np.diagonal(Q) - np.sum((P @ M) * P, axis=1)
        a = 1 - alpha * mu
        powers, mean, mixed = np.ones((3, size + 1, problem.d))
        mixed[0] = 0
        for k in range(size):
            powers[k + 1], mean[k + 1] = powers[k] * own, mean[k] * a
            mixed[k + 1] = a * (mixed[k] + powers[k])
        seen = weights * (powers + 2 * mixed)[:size]
        noise = alpha**2 * problem.moments.pi
        pairs = (P[:, :, None] * P[:, None, :]).reshape(problem.d, -1)
        inner = (powers[:size] @ pairs).reshape(size, low_rank.RANK, -1) @ M
        lower = _toeplitz(inner).transpose(0, 2, 1, 3).reshape(2 * (size * low_rank.RANK,))
        eye = np.eye(len(lower))
        solve = scipy.linalg.solve_triangular(eye - lower, eye, lower=True, unit_diagonal=True, check_finite=False)
        forced = _toeplitz((seen @ P)[:, None, :])[:, :, 0].reshape(size, -1)
        response = _shifted(powers[:size] @ (P * noise[:, None])), _shifted(seen @ noise)
        added = *response, noise * powers[:size].sum(axis=0), noise * mixed[:size].sum(axis=0)
        pushes = np.concatenate([powers[:size].T, mixed[:size].T])
        return cls(size, P, M, powers, mean, mixed, solve, seen, 2 * weights * mean[:size], forced, pushes, added)

    def advance(self, c: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The terms of `size` steps, (size, 2), and c and u after them."""
        size, (d, two) = self.size, c.shape
        columns = (self.P[:, :, None] * c[:, None, :]).reshape(d, -1)
        z = (self.own[:size] @ columns).reshape(-1, two)  # (5 size, 2)
        z[:, 1] += self.noise[0].ravel()
        z = self.solve @ z
        force = np.einsum("pq,kqs->kps", self.M, z.reshape(size, -1, two))
        rows = self.seen @ c + self.averaged @ u + self.forced @ force.reshape(-1, two)
        rows[:, 1] += self.noise[1]
        late = force[::-1].reshape(size, -1)
        pushed = self.pushes @ late  # (2 d, 10)
        pushed = np.einsum("xdps,dp->xds", pushed.reshape(2, d, -1, two), self.P)
        u = self.mean[-1][:, None] * u + self.mixed[-1][:, None] * c + pushed[1]
        c = self.own[-1][:, None] * c + pushed[0]
        c[:, 1] += self.noise[2]
        u[:, 1] += self.noise[3]
        return rows, c, u


def _toeplitz(kernel: np.ndarray) -> np.ndarray:
    """(r, k, ...) with kernel[r - 1 - k] below the diagonal and 0 elsewhere: a step acts on those after it."""
    size = len(kernel)
    lag = np.arange(size)[:, None] - np.arange(size)[None, :] - 1
    shape = (size, size) + (1,) * (kernel.ndim - 1)
    return np.where((lag >= 0).reshape(shape), kernel[np.maximum(lag, 0)], 0)


def _shifted(added: np.ndarray) -> np.ndarray:
    """Sums over the steps before."""
    return np.concatenate([np.zeros_like(added[:1]), np.cumsum(added, axis=0)[:-1]])
