"""What does a low rank say of the matrix that it stands for? Products, solutions and intervals, with what it misses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float

from ntkseq import _checks, _display
from ntkseq._struct import static, struct
from ntkseq._types import ArrayLike
from ntkseq.grams.base import Gram, column_block
from ntkseq.spectra.interval import Interval
from ntkseq.spectra.quadrature import trace_bounds

_EPS = float(np.finfo(np.float64).eps)


@struct
class LowRank:
    """N = U diag(values) U^T, which stands for a positive semi-definite matrix K. Made by `nystrom`.

    Every statement is about the exact K: it holds the rounding of the Gram, and fails with probability at most `delta`
    over the random probes. As a quadratic form -below <= K - N <= error, so the i-th eigenvalue of K lies between
    values[i] - below and values[i] + error. That K is semi-definite is taken from its being a kernel's; where something
    negative beyond rounding is met, `semidefinite` is False, and `error` is that of the probes, both ways.

    Reference: frangella2023; the bounds are derived, see `nystrom`.
    """

    values: Float[np.ndarray, " r"]
    """Eigenvalues of N, descending, >= 0, host float64."""
    vectors: Float[np.ndarray, "n r"]
    """U, orthonormal columns."""
    error: float
    """Upper bound of |K - N| in spectral norm; inf where nothing is known."""
    below: float
    """K - N >= -below: a multiple of rounding, as N lies below K but for that."""
    nuclear: Interval
    """The sum of the singular values of K - N."""
    rounding: float
    """Upper estimate of |held - exact| in spectral norm."""
    product: float
    """Bound of the rounding of a product with a unit vector."""
    delta: float
    """Probability that a bound fails, over the random probes."""
    products: int = static(default=1)
    """Products with blocks of vectors that were taken."""
    semidefinite: bool = static(default=True)
    """Whether nothing negative beyond rounding was met."""

    @property
    def n(self) -> int:
        """Rows of the matrix."""
        return int(self.vectors.shape[0])

    @property
    def rank(self) -> int:
        """The number of pairs that are kept."""
        return int(self.values.size)

    @property
    def max_eigenvalue(self) -> Interval:
        """The largest eigenvalue of K."""
        return self.eigenvalue(0)

    def eigenvalue(self, i: int) -> Interval:
        """The i-th largest eigenvalue of K, i from 0; `positive` when it certainly is.

        Raises:
            ValueError: an i outside 0..n - 1.
        """
        if not 0 <= i < self.n:
            raise ValueError(f"i must lie in 0..{self.n - 1}, the number of an eigenvalue from the largest; got {i}.")
        value = float(self.values[i]) if i < self.rank else 0.0
        lower = math.nextafter(value - self.below, -math.inf)
        return Interval(lower, value, math.nextafter(value + self.error, math.inf))

    def times(self, V: ArrayLike) -> Float[np.ndarray, "n ..."]:
        """N times a vector (n,) or a block (n, k); differs from K V by at most error |V|."""
        V, single = column_block(V, (self.n, self.n))
        out = self.vectors @ (self.values[:, None] * (self.vectors.T @ V))
        return out[:, 0] if single else out

    def solve(self, r: ArrayLike, reg: float) -> Float[np.ndarray, "n ..."]:
        """(N + reg)^-1 r for a vector (n,) or a block (n, k), by Woodbury's identity.

        Differs from (K + reg)^-1 r by at most |r| error / reg^2 in 2-norm.

        Raises:
            ValueError: a reg that is not positive; r of another shape or not finite.
        """
        reg = _checks.nonnegative("reg", reg, positive=True)
        r, single = column_block(r, (self.n, self.n))
        shares = self.values / (self.values + reg)
        out = (r - self.vectors @ (shares[:, None] * (self.vectors.T @ r))) / reg
        return out[:, 0] if single else out

    def effective_dimension(self, reg: float) -> Interval:
        """tr K (K + reg)^-1: that of N below, and above what K - N can add.

        With f(x) = x / (x + reg), concave and increasing, and T an upper bound of the trace of what N misses,

            sum f(values - below) <= tr f(K) <= sum f(values) + n f(T / n),  sum f(values + error) + rest f(error).

        Raises:
            ValueError: K is not semi-definite; reg is not a number > 0.
        """
        reg = _checks.nonnegative("reg", reg, positive=True)
        if not self.semidefinite:
            raise ValueError(
                "the effective dimension is defined for positive semi-definite matrices; this one has a direction in "
                f"which it is negative beyond its rounding, {self.rounding:.2g}. spectrum(K) says how far."
            )
        n, rest, missed = self.n, self.n - self.rank, self.nuclear.upper

        def f(x: ArrayLike) -> Any:
            return 1.0 / (1.0 + reg / np.maximum(x, _tiny(reg)))

        own = float(np.sum(f(self.values)))
        lower = float(np.sum(f(np.maximum(self.values - self.below, 0.0))))
        highest = [float(n), own + n * float(f(missed / n)), float(np.sum(f(self.values + self.error)))]
        if rest:  # the others have the trace that N misses, and what its own values may be too large by
            highest[-1] += rest * float(f(min(self.error, (missed + self.rank * self.below) / rest)))
        slack = 8.0 * n * _EPS
        lower, upper = lower * (1.0 - slack), min(min(highest) * (1.0 + slack), float(n))
        middle = own + (rest * float(f(self.nuclear.estimate / rest)) if rest else 0.0)
        middle = own if math.isnan(middle) else middle
        return Interval(lower, min(max(middle, lower), upper), upper)

    def __repr__(self) -> str:
        return _display.folded(
            f"LowRank(n={self.n}, rank {self.rank}, largest {self.values[0]:.4g}, error {self.error:.1e})"
        )


def _tiny(reg: float) -> float:
    """What f takes for 0: its share is below every rounding."""
    return reg * float(np.finfo(np.float64).tiny)


def assess(
    K: Gram,
    values: Float[np.ndarray, " r"],
    vectors: Float[np.ndarray, "n r"],
    *,
    left: Float[np.ndarray, "n s"],
    probes: Float[np.ndarray, "n s"],
    below: float,
    whole: float,
    indefinite: bool,
    norm: float,
    noise: float,
    linear: float,
    orthogonality: float,
    products: int,
    product: float,
    delta: float,
) -> LowRank:
    """How far N = vectors diag(values) vectors^T is from the exact matrix, by all that is known of the difference S.

    Args:
        K: the Gram.
        values, vectors: of N.
        left: S applied to `probes`, Gaussian vectors that N does not depend on.
        below: S >= -below.
        whole: a bound of |S| that holds by construction, or inf.
        indefinite: K was already found to be negative somewhere.
        norm: upper estimate of the norm of K.
        noise: of `left`, for each unit of the length of a probe.
        linear: how far, in norm, the matrix that was probed is from the exact one.
        orthogonality: bound of |vectors^T vectors - 1|.
        products, product, delta: of the `LowRank`.
    """
    n, s = left.shape
    rounding = float(K.rounding)
    frobenius = rounding if K.frobenius else math.sqrt(n) * rounding
    turned = orthogonality * float(values[0])
    lengths = np.linalg.norm(probes, axis=0)
    probed = math.inf
    if s:  # (numerics.12)
        chance = math.sqrt(0.5 * math.pi) * (0.5 * delta) ** (1.0 / s)
        probed = float(np.max(np.linalg.norm(left, axis=0) + noise * lengths)) / chance + linear
    # z^T (S + below) z of the probes, not negative, and its uncertainty
    seen, unsure = np.sum(probes * left, axis=0) + below * lengths**2, (noise + linear) * lengths**2
    # the trace of S: of K, of its rounding (|tr E| <= sqrt(n) |E|_F), of N, and of the sums
    trace, mass = K.known_trace(), float(np.sum(values))
    missed, off = math.nan, math.inf
    if trace is not None:
        missed = trace - mass
        off = math.sqrt(n) * frobenius + orthogonality * mass + 4.0 * n * _EPS * (abs(trace) + mass)
    square = math.inf
    if K.known_norm() is not None:  # |S|_F^2 = |K|_F^2 - |N|_F^2 - 2 tr N S
        square = (norm + K.norm_error() + frobenius) ** 2 * (1.0 + 8.0 * n * _EPS)
        square += 2.0 * below * mass - float(np.sum(values**2)) * (1.0 - 4.0 * orthogonality)
    if indefinite or (seen + unsure < 0).any() or missed + off < -n * below or square < 0:
        indefinite = True
        error = below = min(probed, whole)
        lower, estimate, upper = abs(missed) - off, math.nan, math.inf
    else:
        highest = math.inf if trace is None else missed + off + (n - 1) * below
        error = max(min(highest, math.sqrt(square), probed, whole), below)
        lower, estimate, upper = missed - off, missed, missed + off
        if trace is None and s:  # 0 <= S + below <= error + below
            mean, doubt = float(np.mean(seen)), float(np.mean(unsure))
            low, high = trace_bounds(mean - doubt, mean + doubt, error + below + turned, s, 0.5 * delta)
            lower, estimate, upper = (x - n * below for x in (low, mean, high))
        # |S| sums as S does but for the negative ones
        upper = (math.inf if math.isnan(upper) else max(upper, 0.0)) + 2.0 * n * below
    lower, upper = (0.0 if math.isnan(lower) else max(lower, 0.0)), min(upper, n * (error + turned))
    estimate = estimate if math.isnan(estimate) else min(max(estimate, lower), upper)
    return LowRank(
        values=values,
        vectors=vectors,
        error=float(error + turned),
        below=float(below + turned),
        nuclear=Interval(float(lower), float(estimate), float(upper)),
        rounding=rounding,
        product=product,
        delta=delta,
        products=products,
        semidefinite=not indefinite,
    )
