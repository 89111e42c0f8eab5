"""What is known of a spectrum that is too large to compute whole? Both ends as pairs, and the rest as a density."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float

from ntkseq import _display
from ntkseq._outward import at_most, interval
from ntkseq._struct import static, struct
from ntkseq._types import ArrayLike
from ntkseq.grams.base import Gram
from ntkseq.spectra import alignment, density, eigenspaces
from ntkseq.spectra.base import Spectrum
from ntkseq.spectra.interval import Interval
from ntkseq.spectra.ranks.base import EffectiveRank
from ntkseq.spectra.ranks.short import as_rank
from ntkseq.spectra.tail import Tail


@struct
class PartialSpectrum(Spectrum):
    """The leading eigenvalues of a positive semi-definite matrix, its least one, and sums over all others.

    Every statement is about the exact matrix: it holds the rounding of the Gram, and fails with probability at most
    `delta` (over the random probes, whatever the matrix). That the matrix is semi-definite is taken from its being a
    kernel's; where a negative eigenvalue beyond rounding is met, `semidefinite` is False.

    Reference: parlett1998, chapters 10 to 13; golub2010; laurent2000.
    """

    values: Float[np.ndarray, " k"]
    """The k largest eigenvalues, descending, host float64."""
    errors: Float[np.ndarray, " k"]
    """Upper estimate of |values[i] - exact i-th largest|."""
    vectors: Float[np.ndarray, "n k"] | None
    """Their orthonormal Ritz vectors as columns."""
    residuals: Float[np.ndarray, " k"]
    """Upper estimate of |K v - value v| for each of them, K as it is held."""
    least: Interval
    """Where the least eigenvalue lies; lower is -rounding where nothing better was computed."""
    bottom: Float[np.ndarray, " b"]
    """Ritz values at the lower end, ascending, if they were asked for."""
    bottom_errors: Float[np.ndarray, " b"]
    """Upper estimate of |bottom[i] - exact i-th least|."""
    trace: Interval
    """Sum of the diagonal."""
    norm_fro: float
    """Frobenius norm; nan if not known."""
    rounding: float
    """Upper estimate of |held - exact| in spectral norm."""
    product: float
    """Bound of the rounding of a product with a unit vector."""
    frobenius: float
    """How far `norm_fro` may be from that of the exact matrix."""
    spectral: float
    """How far an eigenvalue of pairs and rest, side by side, can be from the exact one: rounding and residuals."""
    nuclear: float
    """The same, summed over all eigenvalues."""
    tail: Tail
    """The rest behind the eigenpairs."""
    method: str = static(default="")
    """How it was computed, and why that way."""
    converged: bool = static(default=True)
    """Whether the pairs reached the tolerance; if not, `errors` say how far they got."""
    K: Gram | None = static(default=None)
    """The matrix, for products with targets. Not a copy; of an array, the float64 form that was multiplied with."""

    @property
    def n(self) -> int:
        """The number of eigenvalues of the matrix."""
        return self.tail.n + self.values.size + self.bottom.size

    @property
    def delta(self) -> float:
        """Probability that an interval fails, over the random probes."""
        return self.tail.delta

    @property
    def min_eigenvalue(self) -> Interval:
        """The least eigenvalue; `positive` when the exact one certainly is."""
        return self.least

    def effective_rank_interval(self, rank: str | EffectiveRank = "entropy", **number: Any) -> Interval:
        """Effective rank by one of the definitions of `spectra.effective_rank`, or one of your own, as an interval.

        Raises:
            ValueError: no such definition; the matrix is not semi-definite; what it needs is not known (the trace, the
                norm, or every eigenvalue).
        """
        definition = as_rank(rank, number=number)
        self._check()
        return definition.of_partial(self)

    def log_det(self, reg: float) -> Interval:
        """log det(I + K / reg) = sum log(1 + lambda / reg)."""
        self._check()
        return density.log_det(self, reg)

    def count(self, above: float) -> Interval:
        """The number of eigenvalues larger than `above`, > 0."""
        self._check()
        return density.count(self, above)

    def eigenspace_sines(self) -> Float[np.ndarray, " k"]:
        residual = np.sqrt(np.cumsum(self.residuals**2)) + self.rounding
        rest = np.concatenate([self.bottom, [self.tail.upper] if self.tail.n else []])
        beyond = float(np.max(rest)) + self.spectral if rest.size else -math.inf
        return eigenspaces.sines(self.values, self.errors, residual, beyond)

    def alignment(self, y: ArrayLike) -> Interval:
        """Kernel-target alignment y^T K y / (|y|^2 |K|_F) (`measures.alignment`), for one product with K.

        Raises:
            ValueError: y of another length, not finite, or all zero; the norm is not known.
        """
        return alignment.kernel_target(self, y)

    def alignment_curve_interval(self, y: ArrayLike) -> alignment.AlignmentCurve:
        """`alignment_curve` with bounds: how far the exact eigenvectors can be turned against those that were found.

        Where eigenvalue k + 1 is as large as eigenvalue k, within their errors, the share of the first k is bounded by
        those of the ends of the cluster only.

        Args:
            y: targets, (n,).

        Raises:
            ValueError: y of another shape, zero or not finite; a spectrum without vectors.

        Reference: davis1970 (the angle between the spaces).
        """
        return alignment.leading(self, self._vectors(), y)

    def share_above(
        self, y: ArrayLike, levels: ArrayLike | None = None, *, steps: int = 32
    ) -> alignment.AlignmentCurve:
        """Task-model alignment: the share of |y|^2 in the eigenvectors of all eigenvalues >= level.

        Bounded from both sides by Lanczos from y (the inequalities of Chebyshev, Markov and Stieltjes), which takes
        `steps` products with one vector; the rounding of K is within. At a level inside a cluster the bounds stay open.

        Args:
            y: labels (n,), used as given: centre them first if a constant should not count.
            levels: of the eigenvalues; None: 25 from the largest down to a millionth of it, or to the rounding.
            steps: products; more narrow the bounds.

        Reference: golub2010, chapter 3 (the inequalities).
        """
        return alignment.above(self, y, levels, steps)

    def _check(self) -> None:
        if not self.semidefinite:
            raise ValueError(
                "effective ranks and log-determinants are defined for positive semi-definite matrices; this one has an "
                f"eigenvalue below {self.least.upper:.3g}, rounding is {self.rounding:.2g} and the largest eigenvalue "
                f"{self.values[0]:.3g}."
            )

    def __repr__(self) -> str:
        return _display.folded(
            f"PartialSpectrum(n={self.n}, {self.values.size} leading, largest {self.values[0]:.4g}, "
            f"least {self.least}, {self._error} {self.rounding:.1e})"
        )

    @property
    def _error(self) -> str:
        return "rounding" if self.K is None or self.K.sampling is None else "sampling error"

    _title = "Spectrum in part"

    def _rows(self) -> list[tuple[str, str]]:
        least = f"{self.least}" if self.least.positive else f"not resolved: {self.least}"
        rest = f"the rest by {self.tail.rule.probes} probes" if self.tail.n else "none left"
        return [
            ("n", f"{self.n}, {self.values.size} leading eigenvalues, {rest}"),
            ("least eigenvalue", least),
            ("largest", f"{self.max_eigenvalue}"),
            ("effective rank", ", ".join(self._ranks())),
            ("decay exponent", f"{self.decay_exponent()}" if self.semidefinite else "not defined"),
            ("trace", f"{self.trace}"),
            ("method", self.method + ("" if self.converged else "; NOT converged, the errors say how far it got")),
            ("holds", f"but for probability {at_most(self.delta, 2)}; {self._error} of K {self.rounding:.2g}"),
        ]

    def _ranks(self) -> list[str]:
        if not self.semidefinite:
            return ["not defined: an eigenvalue is negative beyond its error"]
        parts = []
        for kind in ("entropy", "stable", "participation"):
            try:
                rank = self.effective_rank_interval(kind)
            except ValueError:
                continue
            parts.append(f"{kind} {rank.estimate:.3g} {interval(rank.lower, rank.upper, 3)}")
        return parts or ["not known: neither trace nor norm is"]
