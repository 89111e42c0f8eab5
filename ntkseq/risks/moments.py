"""What are the second moments of MAML's stochastic gradients on Gaussian inputs? Closed forms, O(d^2)."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from ntkseq import _checks
from ntkseq._types import AnyArray, ArrayLike, GramLike, Number


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """Q_ij = E[G_ij^2] and the noise pi of the gradient, for G = B'B, B = X_out (I - beta/n1 X_in'X_in) / sqrt(n2).

    Attributes:
        Q: (d, d), symmetric, no entry below 0.
        pi: (d,), the sum of the three that follow.
        from_tasks: of the spread of tasks, Q times its variance.
        from_queries: of the noise on query labels.
        from_support: of the noise on support labels.
    """

    Q: Float[np.ndarray, "d d"]
    from_tasks: Float[np.ndarray, " d"]
    from_queries: Float[np.ndarray, " d"]
    from_support: Float[np.ndarray, " d"]

    @property
    def pi(self) -> Float[np.ndarray, " d"]:
        return self.from_tasks + self.from_queries + self.from_support


def operator(
    spectrum: ArrayLike, beta: Number, n: Number, *, F: AnyArray | None = None, k4: float = 3.0
) -> Float[np.ndarray, "... d"]:
    """Eigenvalues of H_{n, beta} = E[M Sigma M], M = I - (beta/n) X'X of n inputs x.

        mu_i = lam_i (1 - beta lam_i)^2 + (beta^2/n) (F_i - lam_i^3),     F = E[x x' Sigma x x']              (maml.4)
        F_i = lam_i sum_j lam_j^2 + (k4 - 1) lam_i^3         x = Sigma^(1/2) z, coordinates of z independent

    Args:
        spectrum: eigenvalues lam of Sigma, (d,).
        beta, n: inner rate and number of inputs; numbers or arrays, which stand in front of the result's axes.
        F: the diagonal of F in the eigenbasis, (d,), where inputs are not of that kind: see `fourth_moment`.
        k4: E z^4 of one coordinate: 3 for Gaussian inputs, 1 for signs.

    Raises:
        ValueError: k4 below 1, F below lam^3 (no law has that), n below 1.

    Example:
        >>> operator([1.0, 0.5], beta=0.1, n=10).round(4).tolist()
        [0.8122, 0.452]
    """
    lam, k4 = _checks.real("spectrum", spectrum), _checks.number("k4", k4)
    beta, n = _checks.real("beta", beta), _checks.real("n", n)
    try:
        beta, n = (value[..., None] for value in np.broadcast_arrays(beta, n))
    except ValueError:
        raise ValueError(f"beta and n must broadcast; got shapes {beta.shape} and {n.shape}.") from None
    if (n < 1).any():
        raise ValueError(f"n must be 1 or more; got {n.min():g}.")
    if F is None:
        if k4 < 1:
            raise ValueError(f"k4 = E z^4 must be at least 1, as E z^2 = 1; got {k4}.")
        F = lam * np.sum(lam**2) + (k4 - 1) * lam**3
    F = _checks.real("F", F)
    if F.shape != lam.shape or (lam**3 * (1 - 1e-9) > F).any():
        raise ValueError(f"F must have shape {lam.shape} and be at least spectrum^3; got shape {F.shape}.")
    return lam * (1 - beta * lam) ** 2 + beta**2 / n * np.maximum(F - lam**3, 0)


def fourth_moment(K: GramLike) -> tuple[Float[np.ndarray, " r"], Float[np.ndarray, " r"]]:
    """Spectrum and F of N given inputs, from their Gram matrix K alone: those of the sample's own law.

        K/N = U diag(lam) U',    F_i = N lam_i sum_k U_ki^2 sum_j lam_j^2 U_kj^2                              (maml.6)

    Args:
        K: inner products of inputs, or the tangent kernel of a network, (N, N).

    Returns:
        lam and F, (r,), r the rank: eigenvalues up to 1e-10 of the largest are left out.

    Raises:
        ValueError: not symmetric, or zero.

    Example:
        >>> import numpy as np
        >>> lam, F = fourth_moment(np.diag([4.0, 1.0]))
        >>> lam.tolist()
        [2.0, 0.5]
    """
    K = _checks.symmetric("K", K)
    N = len(K)
    lam, U = np.linalg.eigh(K / N)
    lam, U = lam[::-1], U[:, ::-1]
    keep = lam > 1e-10 * lam[0]
    if not keep.any() or lam[0] <= 0:
        raise ValueError("K must have a positive eigenvalue; got a matrix without.")
    lam, squares = lam[keep], U[:, keep] ** 2
    return lam, N * lam * (squares.T @ (squares @ lam**2))


def second(
    spectrum: Float[np.ndarray, " d"], beta: float, n1: int, n2: int, variance: float, spread: Float[np.ndarray, " d"]
) -> Moments:
    """Q and pi of (maml.7) for Gaussian inputs.

        Q = (1 + 1/n2) E[K_ij^2] + E[K_ii K_jj] / n2,     K = M Sigma M
        pi = Q spread + (variance/n2) mu + variance beta^2/n1 ((1 + 1/n2) A1 + A2/n2)

    Args:
        variance: of the noise on labels.
        spread: variances of a task's theta in the eigenbasis.
    """
    lam, b, n = spectrum, beta, float(n1)
    w = _Wishart(lam**2, n)
    pairs, both = _adapted(lam, b, w)
    Q = (1 + 1 / n2) * pairs + both / n2
    mu = operator(lam, beta, n1)
    D = lam**2
    A1 = lam**3 - 2 * b * lam**2 * w.V + b**2 * lam * w.WDWDW
    A2 = lam * (D.sum() - 2 * b * lam * (w.Wii_Wjj @ D) + b**2 * (D @ w.Wii_Vjj))
    support = variance * b**2 / n * ((1 + 1 / n2) * A1 + A2 / n2)
    return Moments(Q, Q @ spread, variance / n2 * mu, support)


def second_of_quadratic(spectrum: Float[np.ndarray, " d"], beta: float, n: int) -> Float[np.ndarray, "d d"]:
    """Gamma with E[(v' H^(-1/2) K H^(-1/2) v)^2] = sum_ij Gamma_ij v_i^2 v_j^2, K = M Sigma M: its largest entry bounds
    that for all unit v.
    """
    pairs, both = _adapted(spectrum, beta, _Wishart(spectrum**2, float(n)))
    mu = operator(spectrum, beta, n)
    Gamma = both + 2 * pairs
    np.fill_diagonal(Gamma, np.diagonal(both))
    with np.errstate(divide="ignore", invalid="ignore"):
        return Gamma / np.outer(mu, mu)


def _adapted(lam: np.ndarray, b: float, w: _Wishart) -> tuple[np.ndarray, np.ndarray]:
    """E[K_ij^2] and E[K_ii K_jj] of K = M Sigma M."""
    li, lj, V = lam[:, None], lam[None, :], w.V
    pairs = b**2 * (li + lj) ** 2 * li * lj * w.W_W - 2 * b**3 * (li + lj) * li * lj * w.W_V + b**4 * li * lj * w.V_V
    both = (
        1 - 2 * b * (li + lj) + b**2 * (V[:, None] + V[None, :]) + 4 * b**2 * li * lj * w.Wii_Wjj
        - 2 * b**3 * (li * w.Wii_Vjj + lj * w.Wii_Vjj.T) + b**4 * w.Vii_Vjj
    ) * li * lj  # fmt: skip
    np.fill_diagonal(pairs, np.diagonal(both))
    return pairs, both


class _Wishart:
    """Moments of W = g'g/n, g (n, d) standard normal, and V = W diag(D) W; diagonals for i = j. (maml.8)"""

    def __init__(self, D: np.ndarray, n: float) -> None:
        d = len(D)
        Di, Dj, same = D[:, None], D[None, :], np.eye(d, dtype=bool)
        r1, r2 = D.sum() - Di - Dj, (D**2).sum() - Di**2 - Dj**2  # sums over the others
        R1, R2 = D.sum() - D, (D**2).sum() - D**2
        n2, n24 = n * (n + 2), n * (n + 2) * (n + 4)
        self.V = (D * n2 + n * R1) / n**2
        self.WDWDW = (D**2 * n24 + 2 * D * R1 * n2 + R2 * n * (n + 1) + n * R1**2) / n**3
        self.W_W = np.full((d, d), 1 / n)
        self.W_V = ((Di + Dj) * n2 + r1 * n) / n**3
        self.V_V = (
            (Di**2 + Dj**2) * n24
            + 2 * Di * Dj * n * (n + 2) ** 2
            + 2 * r1 * (Di + Dj) * n2
            + r2 * n * (n + 1)
            + n * r1**2
        ) / n**4
        own = (D * n24 + R1 * n2) / n**3
        self.Wii_Wjj = np.where(same, (n + 2) / n, 1.0)
        self.Wii_Vjj = np.where(same, own[:, None], (Dj * n * n2 + Di * n2 + r1 * n**2) / n**3)
        both = Di * Dj * n2**2 + 3 * n2 * Di * Dj + (Di**2 + Dj**2) * n24 + (Di + Dj) * r1 * n2 * (n + 1)
        both = (both + 2 * n * r2 + n**2 * r1**2) / n**4
        alone = (
            D**2 * n24 * (n + 6) + 2 * D * R1 * n24 + (2 * n * R2 + n**2 * R1**2) + 2 * (R2 * n * (n + 1) + n * R1**2)
        )
        self.Vii_Vjj = np.where(same, (alone / n**4)[:, None], both)
