"""What do spectra have in common, whether all of their eigenvalues are known or only part of them?"""

from __future__ import annotations

import abc
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from ntkseq import _checks, _display, _plots
from ntkseq._types import ArrayLike
from ntkseq.spectra import measures, plots
from ntkseq.spectra.decay import Decay, decay
from ntkseq.spectra.interval import Interval
from ntkseq.spectra.ranks.base import EffectiveRank

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Spectrum(abc.ABC):
    """Eigenvalues of a symmetric matrix with a bound of the error of each, as `spectrum` returns them.

    A `FullSpectrum` holds all of them, a `PartialSpectrum` the leading ones and what is known of the others. Every
    statement is about the exact matrix: it holds the error of the solver and the rounding of the Gram.
    """

    values: Float[np.ndarray, " k"]
    """Eigenvalues, descending, host float64: all, or the leading ones."""
    errors: Float[np.ndarray, " k"]
    """Upper estimate of |values[i] - exact i-th largest eigenvalue|."""
    vectors: Float[np.ndarray, "n k"] | None
    """Their orthonormal eigenvectors as columns, or None."""
    norm_fro: float
    """Frobenius norm of the matrix; nan if not known."""
    rounding: float
    """Upper estimate of |K - exact| in spectral norm."""
    method: str
    """How the values were computed, and why that way."""

    @property
    @abc.abstractmethod
    def n(self) -> int:
        """The number of eigenvalues of the matrix."""

    @property
    @abc.abstractmethod
    def min_eigenvalue(self) -> Interval:
        """The least eigenvalue; `positive` when the exact one certainly is."""

    @property
    def max_eigenvalue(self) -> Interval:
        """The largest eigenvalue; `positive` when the exact one certainly is."""
        own = Interval.around(float(self.values[0]), float(self.errors[0]))
        # the exact one is no less than any other, whose error may be less than its own
        lower = max(own.lower, math.nextafter(float(np.max(self.values - self.errors)), -math.inf))
        return Interval(lower, own.estimate, own.upper)

    @property
    def semidefinite(self) -> bool:
        """Whether the exact matrix can be positive semi-definite: False when an eigenvalue is negative beyond error."""
        return self.min_eigenvalue.upper >= 0

    @property
    def condition(self) -> Interval:
        """lambda_max / lambda_min; `finite` when the least eigenvalue is certainly positive, else upper is inf.

        All nan but the upper inf when the matrix is not positive semi-definite.
        """
        least, largest = self.min_eigenvalue, self.max_eigenvalue
        if least.upper <= 0:
            return Interval(math.nan, math.nan, math.inf)
        estimate = largest.estimate / least.estimate if least.estimate > 0 else math.inf
        lower = largest.lower / least.upper
        lower = max(math.nextafter(lower, 0.0), 1.0) if math.isfinite(lower) else 1.0
        upper = math.nextafter(largest.upper / least.lower, math.inf) if least.positive else math.inf
        return Interval(min(lower, estimate), estimate, upper)

    @abc.abstractmethod
    def effective_rank_interval(self, rank: str | EffectiveRank = "entropy", **number: Any) -> Interval:
        """Effective rank by one of the definitions of `spectra.effective_rank`, or one of your own, as an interval.

        Args:
            rank: a short name, or an object of `spectra.ranks`.
            **number: of a short name that takes one, such as quantile= of "energy".

        Raises:
            ValueError: no such definition; the matrix is not positive semi-definite; what it needs is not known.
        """

    def effective_rank(self, rank: str | EffectiveRank = "entropy", **number: Any) -> float:
        """The estimate of `effective_rank_interval`, for the same `rank` and `**number`."""
        return self.effective_rank_interval(rank, **number).estimate

    def decay_exponent(self, *, first: int = 1, last: int | None = None) -> Decay:
        """The exponent a of lambda_k ~ k^-a over k = first..last, by `decay.decay`.

        `last` defaults to the last eigenvalue that is ten times its error.
        """
        return decay(self.values, self.errors, first=first, last=last)

    @abc.abstractmethod
    def eigenspace_sines(self) -> Float[np.ndarray, " k"]:
        """At most the sine of the largest angle between the span of the first 1, 2, ... vectors and the exact one.

        1 where the gap behind them is not told from the errors: then their eigenspace is not told from the next.

        Reference: davis1970; see (numerics.14).
        """

    def alignment_curve(self, y: ArrayLike) -> Float[np.ndarray, " k"]:
        """The share of |y|^2, y (n,), in the first 1, 2, ... eigenvectors; see `measures.alignment_curve`.

        Raises:
            ValueError: y of another shape, zero or not finite; a spectrum without vectors.
        """
        return measures.alignment_curve(self._vectors(), y)

    _title = "Spectrum"

    @abc.abstractmethod
    def _rows(self) -> list[tuple[str, str]]:
        """What is printed, by name."""

    def __str__(self) -> str:
        return "\n".join([self._title, *(f"  {name:<17} {text}" for name, text in self._rows())])

    def _repr_html_(self) -> str:
        return _display.table(self._title, self._rows())

    def plot(self, ax: Axes | None = None, *, reg: float | None = None) -> Axes:
        """The eigenvalues with their errors, both axes logarithmic; triangles where one is not told from zero.

        Args:
            ax: matplotlib Axes to draw into; new ones of pyplot if None.
            reg: a ridge to be shown as a line.

        Raises:
            ValueError: something else than Axes, or a ridge below 0.
            ImportError: matplotlib is not installed.
        """
        reg = None if reg is None else _checks.nonnegative("reg", reg)
        return _plots.finish(plots.eigenvalues(self, _plots.shown(ax), reg=reg))

    def _vectors(self) -> np.ndarray:
        if self.vectors is None:
            raise ValueError(
                f"alignment needs eigenvectors; this {type(self).__name__} has none. Call spectrum(K, vectors=True)."
            )
        return self.vectors
