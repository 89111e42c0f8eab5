"""What are all eigenvalues of a matrix, and how sure is each number that is read from them?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float

from ntkseq import _display
from ntkseq._outward import at_most, interval, outward
from ntkseq._struct import static, struct
from ntkseq._types import ArrayLike
from ntkseq.spectra import eigenspaces, measures
from ntkseq.spectra.base import Spectrum
from ntkseq.spectra.clipping import nonnegative
from ntkseq.spectra.interval import Interval
from ntkseq.spectra.ranks.base import EffectiveRank, resolved
from ntkseq.spectra.ranks.short import as_rank
from ntkseq.spectra.sampling_error import Sampled


@struct
class FullSpectrum(Spectrum):
    """All eigenvalues of a symmetric matrix with a bound of the error of each.

    `errors[i]` is an upper estimate of |values[i] - exact|, where exact is the i-th largest eigenvalue of the exact
    matrix: it holds the error of the solver and the rounding of the Gram matrix (Weyl's inequality). Nothing is
    clipped: an eigenvalue that comes out negative stays negative.

    Reference: anderson1999, section 4.7; parlett1998, chapter 10.
    """

    values: Float[np.ndarray, " n"]
    """Eigenvalues, descending, host float64."""
    errors: Float[np.ndarray, " n"]
    """Upper estimate of |value - exact|, one per value."""
    vectors: Float[np.ndarray, "n n"] | None
    """Orthonormal eigenvectors as columns, in the order of the values, or None."""
    trace: float
    """Sum of the diagonal."""
    norm_fro: float
    """Frobenius norm of the matrix."""
    rounding: float
    """Upper estimate of |K - exact| in spectral norm, rounding and sampling; `errors` may be smaller."""
    method: str = static(default="")
    """How the values were computed."""
    estimated: str = static(default="")
    """Why the rounding of the matrix is an estimate and no bound, where it is one."""
    pair: tuple[int, int] | None = static(default=None)
    """Two examples that the matrix cannot tell apart, where it is they that leave the least eigenvalue unresolved."""
    sampling: Sampled | None = None
    """Where the kernel is a Monte Carlo estimate: the part of `errors` that comes from it, and what would lower it."""

    @property
    def n(self) -> int:
        """The number of eigenvalues."""
        return int(self.values.shape[0])

    @property
    def min_eigenvalue(self) -> Interval:
        """The least eigenvalue; `positive` when the exact one certainly is."""
        # the exact one is no larger than any other, whose error may be less than its own
        own = Interval.around(float(self.values[-1]), float(self.errors[-1]))
        upper = math.nextafter(float(np.min(self.values + self.errors)), math.inf)
        return Interval(own.lower, own.estimate, min(own.upper, upper))

    @property
    def resolved(self) -> int:
        """The number of eigenvalues that are certainly positive."""
        return resolved(self.values, self.errors)

    def effective_rank(self, rank: str | EffectiveRank = "entropy", **number: Any) -> float:
        """Effective rank by one of the definitions of `spectra.effective_rank`, or one of your own.

        Negative eigenvalues within their error count as 0. "numerical" counts the resolved eigenvalues, and `Tail(k)`
        is nan where eigenvalue k + 1 is not resolved.

        Raises:
            ValueError: no such definition; the matrix is not positive semi-definite.
        """
        return as_rank(rank, number=number).estimate(nonnegative(self.values, self.errors), self.errors)

    def effective_rank_interval(self, rank: str | EffectiveRank = "entropy", **number: Any) -> Interval:
        """`effective_rank` with the bounds that the errors of the eigenvalues leave."""
        return as_rank(rank, number=number).interval(nonnegative(self.values, self.errors), self.errors)

    def eigenspace_sines(self) -> Float[np.ndarray, " n"]:
        # every error holds the residual of all pairs, and some of them the rounding once more
        residual = np.full(self.n, self.rounding + float(np.max(self.errors)))
        return eigenspaces.sines(self.values, self.errors, residual, -math.inf)

    def alignment(self, y: ArrayLike) -> float:
        """Kernel-target alignment y^T K y / (|y|^2 |K|_F) of y, (n,); see `measures.alignment`.

        Raises:
            ValueError: y of another shape, zero or not finite; a spectrum without vectors.
        """
        return measures.alignment(self.values, self._vectors(), y)

    def __repr__(self) -> str:
        return _display.folded(
            f"FullSpectrum(n={self.n}, least {self.values[-1]:.4g} +- {float(at_most(self.errors[-1], 2)):.1e}, "
            f"largest {self.values[0]:.4g}, {'rounding' if self.sampling is None else 'sampling'} {self.rounding:.1e})"
        )

    def _rows(self) -> list[tuple[str, str]]:
        return [
            ("n", f"{self.n}"),
            ("least eigenvalue", self._least()),
            ("largest", f"{self.max_eigenvalue}"),
            ("condition", self._condition()),
            ("effective rank", self._ranks()),
            ("decay exponent", f"{self.decay_exponent()}" if self.semidefinite else "not defined"),
            ("trace, |K|_F", f"{self.trace:.6g}, {self.norm_fro:.6g}"),
            ("method", self.method or "not stated"),
            *([] if self.sampling is None else [("sampling error", f"{self.sampling}")]),
            ("error", f"{at_most(self.errors.max(), 2)}{self._of_which()}"),
            *([("rounding of K", f"an estimate: {self.estimated}")] if self.estimated else []),
        ]

    def _of_which(self) -> str:
        return f", of which rounding of K {self.rounding:.2g}" if self.sampling is None else ""

    def _least(self) -> str:
        least = self.min_eigenvalue
        if least.positive:
            return f"{least}"
        if not self.semidefinite:
            return f"{least}  (negative beyond its error: not positive semi-definite, or rounding is understated)"
        one, two = self.pair or (0, 0)
        twins = f"; within rounding the kernel cannot tell examples {one} and {two} apart" if self.pair else ""
        return f"not resolved: {least}, zero is inside{twins}{self._remedy()}"

    def _remedy(self) -> str:
        """What would resolve the least eigenvalue, where it is the rounding of K that leaves it open."""
        share = self.rounding / abs(self.trace) if self.trace else np.inf
        if 2 * self.rounding < self.errors[-1] or share > 1e-2:
            return ""  # the solver's own error, of which `method` speaks; more than float32 leaves: draws
        if share <= 1e-9:  # float64 has been used already
            return ": drop one of them" if self.pair else "; add a ridge: float64 cannot tell it from zero"
        return ": drop one of them, or compute in float64" if self.pair else "; compute in float64"

    def _condition(self) -> str:
        condition = self.condition
        if condition.finite:
            return f"{condition}"
        return f"at least {outward(condition.lower, lower=True)}" if self.semidefinite else "not defined"

    def _ranks(self) -> str:
        if not self.semidefinite:
            return "not defined: an eigenvalue is negative beyond its error"
        parts = []
        for kind in ("entropy", "stable", "participation"):
            rank = self.effective_rank_interval(kind)
            known = f"{rank.estimate:.3g}"
            if rank.upper - rank.lower > 0.01 * rank.estimate:
                known += f" {interval(rank.lower, rank.upper, 3)}"
            parts.append(f"{kind} {known}")
        return ", ".join(parts)
