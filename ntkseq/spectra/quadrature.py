"""What does a random probe see of a spectrum? Nodes and weights by Lanczos, and what they say for sure about a sum.

For a Gaussian z the number z^T f(B) z has mean tr f(B). Lanczos from z gives the Gauss rule of the measure that z puts
on the eigenvalues of B. Between the rule and the measure there are inequalities, and between the mean over probes and
the trace there is a tail bound for weighted sums of chi-squares; both are used as they stand, nothing is fitted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg
from jaxtyping import Float


@dataclasses.dataclass(frozen=True, eq=False)
class Rule:
    """Gauss rules of s probes on the spectrum of B, all eigenvalues of which lie in [lower, upper].

    `nodes[p]` ascending, `weights[p]` sum to |z_p|^2; `alphas`, `betas` are the Jacobi matrices they come from.
    `ended[p]` says that the Krylov space of a probe was exhausted: its rule is exact.
    """

    nodes: list[Float[np.ndarray, " m"]]
    weights: list[Float[np.ndarray, " m"]]
    alphas: list[Float[np.ndarray, " m"]]
    betas: list[Float[np.ndarray, " m"]]
    ended: list[bool]
    lower: float
    upper: float

    @property
    def probes(self) -> int:
        """The number of probes."""
        return len(self.nodes)

    @property
    def top(self) -> float:
        """The largest node."""
        return max(float(nodes[-1]) for nodes in self.nodes)

    def monotone(self, f: Callable[[np.ndarray], np.ndarray]) -> tuple[float, float]:
        """Bounds of mean z^T f(B) z for a nondecreasing f, by the inequalities of Chebyshev, Markov and Stieltjes.

        The measure's mass up to a node lies between the sums of the weights before it and up to it. So the mass
        of node i lies, in order, between nodes i - 1 and i + 1.
        """
        low, high = 0.0, 0.0
        for nodes, weights, ended in zip(self.nodes, self.weights, self.ended, strict=True):
            values = f(nodes)
            if ended:
                low, high = low + float(weights @ values), high + float(weights @ values)
                continue
            ends = f(np.array([self.lower, self.upper]))
            low += float(weights @ np.concatenate([ends[:1], values[:-1]]))
            high += float(weights @ np.concatenate([values[1:], ends[1:]]))
        return low / self.probes, high / self.probes

    def bernstein(self, f: Callable[[np.ndarray], np.ndarray]) -> tuple[float, float]:
        """Bounds of mean z^T f(B) z where the derivatives of f alternate in sign, f' >= 0 >= f'', on (lower, upper].

        Gauss is above, Gauss-Radau with a node at `lower` is below.
        """
        low, high = 0.0, 0.0
        for nodes, weights, alphas, betas, ended in zip(
            self.nodes, self.weights, self.alphas, self.betas, self.ended, strict=True
        ):
            gauss = float(weights @ f(nodes))
            high += gauss
            low += gauss if ended else _radau(f, alphas, betas, float(weights.sum()), self.lower)
        return low / self.probes, high / self.probes


def _radau(
    f: Callable[[np.ndarray], np.ndarray], alphas: np.ndarray, betas: np.ndarray, mass: float, end: float
) -> float:
    """The rule with one more node, at `end`, which lies below all others."""
    m = alphas.size
    shifted = alphas - end
    right = np.zeros(m)
    right[-1] = betas[-1] ** 2
    # (T - end) delta = beta_m^2 e_m: T - end is positive definite
    delta = right / shifted
    if m > 1:
        delta = scipy.linalg.solveh_banded(np.stack([np.append(0.0, betas[:-1]), shifted]), right)
    nodes, vectors = scipy.linalg.eigh_tridiagonal(np.append(alphas, end + delta[-1]), betas)
    nodes = np.maximum(nodes, end)
    return mass * float(vectors[0] ** 2 @ f(nodes))


def lanczos(
    times: Callable[[np.ndarray], np.ndarray],
    project: Callable[[np.ndarray], np.ndarray],
    start: Float[np.ndarray, "n s"],
    steps: int,
    lower: float,
    upper: float,
    noise: float,
) -> Rule:
    """Gauss rules of every column of `start`, all advanced by one call of `times` per step, fully reorthogonalised.

    Args:
        times: V (n, j) to A V, symmetric.
        project: V (n, j) to P V, an orthogonal projection; B = P A P.
        start: the probes, in the range of P.
        steps: of Lanczos.
        lower, upper: the spectrum of B lies in [lower, upper].
        noise: how large a product with a unit vector is by rounding alone: below that a Krylov space has ended.

    Reference: golub2010, chapters 3 and 6 (the rules, and their signs).
    """
    n, s = start.shape
    mass = np.sum(start**2, axis=0)
    safe = np.where(mass > 0, mass, 1.0)
    steps = min(steps, n)
    basis = np.zeros((s, steps, n))
    alphas, betas = np.zeros((s, steps)), np.zeros((s, steps))
    length = np.full(s, steps)
    ended = mass == 0
    length[ended] = 0
    vector = start / np.sqrt(safe)
    for j in range(steps):
        live = np.flatnonzero(~ended)
        if live.size == 0:
            break
        basis[live, j] = vector[:, live].T
        image = project(times(vector[:, live]))
        for column, p in enumerate(live):
            w, Q = image[:, column], basis[p, : j + 1]
            alphas[p, j] = Q[j] @ w
            for _ in range(2):
                w = w - Q.T @ (Q @ w)
            beta = float(np.linalg.norm(w))
            if beta <= noise or j + 1 == n:
                ended[p], length[p] = True, j + 1
            else:
                betas[p, j] = beta
                vector[:, p] = w / beta
        going = live[~ended[live]]
        if going.size:  # w was small: what rounding put outside of the complement has grown with it
            fresh = project(vector[:, going])
            for column, p in enumerate(going):
                Q = basis[p, : j + 1]
                fresh[:, column] -= Q.T @ (Q @ fresh[:, column])
            vector[:, going] = fresh / np.linalg.norm(fresh, axis=0)
    rules: dict[str, list[Any]] = {"nodes": [], "weights": [], "alphas": [], "betas": []}
    for p in range(s):
        m = max(int(length[p]), 1)
        nodes, vectors = scipy.linalg.eigh_tridiagonal(alphas[p, :m], betas[p, : m - 1])
        rules["nodes"].append(nodes)
        rules["weights"].append(mass[p] * vectors[0] ** 2)
        rules["alphas"].append(alphas[p, :m])
        rules["betas"].append(betas[p, :m])
    return Rule(**rules, ended=[bool(e) for e in ended], lower=lower, upper=upper)


def trace_bounds(low: float, high: float, largest: float, probes: int, delta: float) -> tuple[float, float]:
    """Bounds of T = tr A from the mean of z^T A z over Gaussian probes, which lies in [low, high]; 0 <= A <= largest.

    The mean is a sum of chi-squares with weights a_i / probes, sum a_i = T and a_i <= largest, so with x = log(2/delta)

        mean <= T + 2 sqrt(largest T x / probes) + 2 largest x / probes,
        mean >= T - 2 sqrt(largest T x / probes),

    each but for probability delta / 2. Solved for sqrt(T).

    Reference: laurent2000, lemma 1.
    """
    c = np.sqrt(largest * np.log(2.0 / delta) / probes)
    root = max(0.0, np.sqrt(max(low - c * c, 0.0)) - c)
    return float(root**2), float((c + np.sqrt(c * c + max(high, 0.0))) ** 2)
