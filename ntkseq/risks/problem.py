"""What is mixed linear regression, the problem on which MAML trained by averaged SGD can be solved?"""

from __future__ import annotations

import dataclasses
import math
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from ntkseq import _checks, _display
from ntkseq._struct import fill
from ntkseq._types import ArrayLike, GramLike, PyTree
from ntkseq.risks import moments

RANK = 1e-10
"""Eigenvalues of a kernel up to this share of the largest are taken for rounding."""
CUT = 1e-12
"""Eigenvalues of Sigma up to this share of the largest count as zero: nothing moves there, nothing is at risk."""


@dataclasses.dataclass(frozen=True, eq=False)
class MixedRegression:
    """MAML by averaged SGD on linear regression tasks, everything in the eigenbasis of the inputs' covariance.

        x ~ N(0, Sigma), Sigma = diag(spectrum), theta ~ (theta*, diag(spread^2)), y = theta . x + noise z    (maml.1)
        A(w) = w - (beta/n1) X_in' (X_in w - y_in)
        w_{t+1} = w_t - alpha grad |X_out A(w_t) - y_out|^2 / (2 n2), a fresh task per step, t = 0 .. T-1     (maml.2)
        average = (w_0 + ... + w_{T-1}) / T                                                                   (maml.3)

    and after training each task is adapted to by m examples at another rate. The excess risk of w is
    (w - theta*)' H (w - theta*) / 2 with H the operator of the adapted features, see `mu_te`.

    Args:
        spectrum: eigenvalues of Sigma, (d,), >= 0.
        start: w_0 - theta* in the eigenbasis of Sigma, a number or (d,).
        spread: standard deviation of a task's theta in that basis, a number or (d,); only the diagonal of its
            covariance there plays a role.
        noise: standard deviation of the noise on labels.
        n1, n2: support and query examples of a training task.
        m: examples to adapt to at test time; None: n1.
        beta_tr: inner rate in training; any real number.
        beta_te: inner rate at test time; None: beta_tr.
        alpha: outer step size, >= 0.

    Coordinates where Sigma vanishes are dropped: they never move and carry no risk; `dropped` counts them.

    Raises:
        ValueError: eigenvalues that are negative or not finite, counts below 1 (an empty support has no inner step:
            use beta = 0), shapes that do not fit.

    Reference: huang2022maml (the setting, recalled).

    Example:
        >>> problem = MixedRegression([1.0, 0.5, 0.25], 1.0, noise=0.5, n1=4, n2=3, beta_tr=0.3, alpha=0.05)
        >>> problem.mu_tr.round(4).tolist()
        [0.542, 0.3788, 0.2216]
    """

    spectrum: Any  # (d,) numbers come in; float64 arrays stand here afterwards
    start: Any = 1.0
    spread: Any = 0.0
    noise: float = 0.0
    n1: int = 1
    n2: int = 1
    m: Any = None  # a number afterwards, as is beta_te
    beta_tr: float = 0.0
    beta_te: Any = None
    alpha: float = 0.1
    surrogate: str = ""
    """Why the law of the inputs is only taken for Gaussian; empty where it is Gaussian."""
    dropped: int = 0  # so far; `dataclasses.replace` adds to it

    def __repr__(self) -> str:
        rates = f"beta_tr {self.beta_tr:g}, beta_te {self.beta_te:g}, alpha {self.alpha:g}"
        return _display.folded(
            f"MixedRegression(d = {len(self.spectrum)}, n1 = {self.n1}, n2 = {self.n2}, noise {self.noise:g}, {rates})"
        )

    def __post_init__(self) -> None:
        lam = _checks.real("spectrum", self.spectrum)
        if lam.ndim != 1 or not lam.size or (lam < 0).any():
            raise ValueError(f"spectrum must be (d,) finite eigenvalues >= 0; got {_checks.shown(self.spectrum)}.")
        start, spread = (_vector(name, getattr(self, name), lam.size) for name in ("start", "spread"))
        if (spread < 0).any():
            raise ValueError(f"spread must be standard deviations >= 0; got {_checks.shown(self.spread)}.")
        keep = lam > CUT * lam.max(initial=0.0)
        n1, n2 = (_checks.positive_int(name, getattr(self, name)) for name in ("n1", "n2"))
        m = n1 if self.m is None else _checks.positive_int("m", self.m)
        beta_tr = _checks.number("beta_tr", self.beta_tr)
        beta_te = beta_tr if self.beta_te is None else _checks.number("beta_te", self.beta_te)
        values = {
            "spectrum": lam[keep], "start": start[keep], "spread": spread[keep],
            "noise": _checks.nonnegative("noise", self.noise), "n1": n1, "n2": n2, "m": m,
            "beta_tr": beta_tr, "beta_te": beta_te, "alpha": _checks.nonnegative("alpha", self.alpha),
            "dropped": self.dropped + int(lam.size - keep.sum()),
        }  # fmt: skip
        fill(self, **values)

    @classmethod
    def of(cls, Sigma: ArrayLike, start: PyTree, Sigma_theta: ArrayLike | None = None, **rest: Any) -> MixedRegression:
        """The problem of any covariance, rotated into its eigenbasis.

        Args:
            Sigma: covariance of the inputs, (d, d).
            start: w_0 - theta*, (d,).
            Sigma_theta: covariance of a task's theta, (d, d); None: all tasks are one. It need not commute with Sigma.
            **rest: the other arguments of `MixedRegression`.

        Raises:
            ValueError: matrices that are not symmetric or not positive semi-definite, shapes that do not fit.
        """
        Sigma = _checks.symmetric("Sigma", Sigma)
        lam, V = np.linalg.eigh(Sigma)
        lam, V = lam[::-1], V[:, ::-1]
        slack = len(lam) * np.finfo(np.float64).eps * float(np.abs(lam).max(initial=0.0))
        if lam[-1] < -16 * slack:
            raise ValueError(f"Sigma must be positive semi-definite; its least eigenvalue is {lam[-1]:.4g}.")
        start = V.T @ _vector("start", start, len(lam))
        spread = np.zeros(len(lam))
        if Sigma_theta is not None:
            Sigma_theta = _checks.symmetric("Sigma_theta", Sigma_theta)
            if Sigma_theta.shape != Sigma.shape:
                raise ValueError(f"Sigma_theta must have the shape of Sigma, {Sigma.shape}; got {Sigma_theta.shape}.")
            variance = np.einsum("ji,jk,ki->i", V, Sigma_theta, V)
            if (variance < -1e-12 * np.abs(Sigma_theta).max(initial=0.0)).any():
                raise ValueError("Sigma_theta must be positive semi-definite; a variance along Sigma is negative.")
            spread = np.sqrt(np.maximum(variance, 0))
        return cls(np.maximum(lam, 0), start, spread, **rest)

    @classmethod
    def of_kernel(cls, K: GramLike, residual: ArrayLike, **rest: Any) -> MixedRegression:
        """The plug-in for a linearised network: its tangent kernel on N examples stands for the covariance. (maml.17)

            lam = eigenvalues of K/N,    start_i = u_i . residual / sqrt(N lam_i)

        Args:
            K: tangent kernel of the network at the start, (N, N): a Gram or an array.
            residual: y - f_0 on these examples, (N,).
            **rest: the other arguments of `MixedRegression`; a `spread` given as an array counts from the largest
                eigenvalue down.

        Directions that these N examples do not see are not covered, and gradients of a network are no Gaussians:
        `surrogate` says so, and no bound on this problem is certified.

        Raises:
            ValueError: K not symmetric or without positive eigenvalue, a residual of another length.
        """
        K = _checks.symmetric("K", K)
        N = len(K)
        residual = _vector("residual", residual, N)
        lam, U = np.linalg.eigh(K / N)
        lam, U = lam[::-1], U[:, ::-1]
        keep = lam > RANK * lam[0]
        if not keep.any() or lam[0] <= 0:
            raise ValueError("K must have a positive eigenvalue; got a matrix without.")
        lam, U = lam[keep], U[:, keep]
        said = f"features at {N} examples stand for Gaussian inputs; rank {len(lam)}, no other direction is seen"
        return cls(lam, U.T @ residual / np.sqrt(N * lam), surrogate=said, **rest)

    def with_(self, **changes: Any) -> MixedRegression:
        """A copy with some arguments changed, `**changes` by name. `m` and `beta_te` stay as they are."""
        names = [field.name for field in dataclasses.fields(self) if field.init]
        return MixedRegression(**({name: getattr(self, name) for name in names} | changes))

    @property
    def d(self) -> int:
        """Number of coordinates with positive variance."""
        return len(self.spectrum)

    @cached_property
    def mu_tr(self) -> Float[np.ndarray, " d"]:
        """Eigenvalues of H_{n1, beta_tr} = E[M Sigma M], the operator of the outer loss. (maml.4)"""
        return moments.operator(self.spectrum, self.beta_tr, self.n1)

    @cached_property
    def mu_te(self) -> Float[np.ndarray, " d"]:
        """Eigenvalues of H_{m, beta_te}, the operator of the risk after adaptation."""
        return moments.operator(self.spectrum, self.beta_te, self.m)

    @cached_property
    def moments(self) -> moments.Moments:
        """Second moments of the stochastic gradients: Q (d, d) and pi (d,). (maml.7)"""
        return moments.second(self.spectrum, self.beta_tr, self.n1, self.n2, self.noise**2, self.spread**2)

    @cached_property
    def alpha_max(self) -> float:
        """Step sizes below are stable in mean square, those from here on are not: 2 / rho(diag(1/mu) Q). (maml.10)"""
        if not self.d:
            return math.inf
        root = np.sqrt(self.mu_tr)
        if (root == 0).any():
            return math.nan
        largest = float(np.linalg.eigvalsh(self.moments.Q / np.outer(root, root))[-1])
        return 2 / largest

    @property
    def irreducible(self) -> float:
        """The loss that remains at w = theta*: a task's spread and the noise after adaptation. (maml.5)"""
        squares = float(np.sum(self.spectrum**2))
        noise = self.noise**2 * (1 + self.beta_te**2 * squares / self.m)
        return 0.5 * (float(np.sum(self.spread**2 * self.mu_te)) + noise)

    @property
    def best_rate(self) -> float:
        """The test-time rate beta_te that minimises `irreducible`; NaN where tasks do not differ and have no noise."""
        lam, th = self.spectrum, self.spread**2
        squares = float(np.sum(lam**2))
        top = float(np.sum(th * lam**2))
        bottom = float(np.sum(th * lam**3)) * (1 + 1 / self.m)
        bottom += squares / self.m * (float(np.sum(th * lam)) + self.noise**2)
        return top / bottom if bottom > 0 else math.nan


def _vector(name: str, value: object, d: int) -> Float[np.ndarray, " d"]:
    array = _checks.real(name, value)
    if array.ndim > 1 or (array.ndim == 1 and array.shape != (d,)):
        raise ValueError(f"{name} must be a finite number or have shape ({d},), as the spectrum; got {array.shape}.")
    return np.array(np.broadcast_to(array, (d,)))
