"""How much of given features do the leading eigenvectors of a kernel span, and how much would anything span?"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from jaxtyping import Float

from ntkseq import _checks, _display
from ntkseq._types import ArrayLike, GramLike
from ntkseq.grams.centred import centred
from ntkseq.spectra import random_subspaces
from ntkseq.spectra.base import Spectrum
from ntkseq.spectra.eigenvalues import spectrum
from ntkseq.spectra.interval import Interval

_EPS = float(np.finfo(np.float64).eps)


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureOverlap:
    """How much the k leading eigenvectors of a kernel and the span of given features have in common.

    Attributes:
        overlap: tr(P_k P_F) / min(k, r), the mean square of the cosines: 1 where one space holds the other, 0 where
            they are orthogonal. The interval holds that of the exact kernel.
        cosines: of the principal angles between both spaces, descending, min(k, r) of them.
        lower, upper: of each cosine, for the exact kernel.
        resolved: whether eigenvalue k is told from eigenvalue k + 1. If not, "the k leading eigenvectors" may be many
            spaces, and the intervals hold all of them.
        k, r, n: dimensions of the eigenspace, of the span of the features, and of the space that both lie in, which is
            the number of examples, less one if the mean was taken out.
        chance: the expected overlap with a uniformly random k-space, k r / (n min(k, r)).
        floor: the quantile `level` of that overlap, with its interval.
        level: of the floor.

    Reference: davis1970 (what errors of the kernel do), edelman2008jacobi (the floor).
    """

    overlap: Interval
    cosines: Float[np.ndarray, " m"]
    lower: Float[np.ndarray, " m"]
    upper: Float[np.ndarray, " m"]
    resolved: bool
    k: int
    r: int
    n: int
    chance: float
    floor: Interval
    level: float

    __repr__ = _display.printed

    @property
    def above(self) -> bool:
        """Whether the overlap is certainly larger than the floor, at which a random space is with `level`."""
        return bool(self.overlap.lower > self.floor.upper)

    def __str__(self) -> str:
        gap = "" if self.resolved else f"; eigenvalue {self.k} is not told from the next one"
        said = "above" if self.above else "below" if self.overlap.upper < self.floor.lower else "not told from"
        cosines = ", ".join(f"{cosine:.3g}" for cosine in self.cosines[:6])
        rows = [
            ("overlap", f"{self.overlap}{gap}"),
            ("spaces", f"{self.k} eigenvectors, {self.r} features, in {self.n} dimensions"),
            ("cosines", cosines + (", ..." if self.cosines.size > 6 else "")),
            ("at random", f"{self.chance:.3g}; floor {self.floor} at level {self.level:g}: the overlap is {said} it"),
        ]
        return "\n".join(["Overlap with features", *(f"  {name:<10} {text}" for name, text in rows)])


def feature_overlap(
    K: GramLike | Spectrum, features: ArrayLike, *, k: int, centre: bool = False, level: float = 0.99
) -> FeatureOverlap:
    """Overlap of the space of the k leading eigenvectors of a kernel with the span of features.

        overlap = tr(P_k P_F) / min(k, r) = mean of cos(theta_i)^2

    P_k projects on the k leading eigenvectors, P_F on the span of the features, of dimension r, and theta_i are the
    principal angles between both. The interval holds the overlap of the exact kernel: its eigenspaces are turned
    against the computed ones by what the errors leave open at the gaps of the spectrum (numerics.21). Choose k where
    the spectrum has a gap; elsewhere, as in the middle of a pair of equal eigenvalues, `resolved` is False, and the
    interval holds every choice.

    The floor is a quantile of what a uniformly random space of the same dimension has in common with the features,
    whatever they are: by the Beta law where k or r is 1, else from draws of its exact law, with their interval.

    Args:
        K: a Gram or an array (n, n), or a `Spectrum` with its vectors, of k eigenvalues or more.
        features: (n,) or (n, r), a row per example; only their span counts. Features that depend on others up to
            rounding of their dtype, copies and columns of zeros add nothing.
        k: how many leading eigenvectors, 1..n.
        centre: take the mean over the examples out of kernel and features: a constant then counts nowhere.
        level: of the floor.

    Raises:
        ValueError: features of another length, not finite, or that span nothing; a k that there is not; a spectrum
            without vectors, or that is to be centred; what `spectrum` says of K.

    Reference: davis1970, edelman2008jacobi; derived in (numerics.21), (numerics.22).

    Example:
        >>> import numpy as np
        >>> from ntkseq import spectra
        >>> angle = 2 * np.pi * np.arange(12) / 12
        >>> K = np.exp(np.cos(angle[:, None] - angle))  # its eigenvectors are the Fourier modes
        >>> wave = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        >>> found = spectra.feature_overlap(K, wave, k=2, centre=True)
        >>> round(found.overlap.estimate, 9), found.resolved, found.above
        (1.0, True, True)
        >>> round(spectra.feature_overlap(K, np.cos(2 * angle), k=2, centre=True).overlap.estimate, 9)
        0.0
    """
    _checks.flag("centre", centre)
    level = _checks.probability("level", level)
    if isinstance(K, Spectrum):
        if centre:
            raise ValueError("centre=True needs K, the kernel; got its spectrum. Pass spectrum(spectra.centred(K)).")
        eigen = K
    else:
        eigen = spectrum(centred(K) if centre else K)
    return overlap(eigen, span(features, eigen.n, centre), k=k, centre=centre, level=level)


@dataclasses.dataclass(frozen=True, eq=False)
class Span:
    """The span of features: an orthonormal basis (n, r), and the sine of how far rounding may have turned it."""

    basis: Float[np.ndarray, "n r"]
    turn: float


def span(features: ArrayLike, n: int, centre: bool, name: str = "features") -> Span:
    """An orthonormal basis of the span of features, the dependent ones left out.

    Raises:
        ValueError: features of another length, not finite, or that span nothing.
    """
    given = _checks.host(name, features)
    F = _checks.targets(name, given[:, None] if given.ndim == 1 else given, n)
    eps = float(np.finfo(given.dtype).eps) if given.dtype.kind == "f" else _EPS
    F = F / np.where((largest := np.abs(F).max(axis=0)) > 0, largest, 1.0)
    sizes = np.linalg.norm(F, axis=0)
    if centre:
        F = F - F.mean(axis=0)
        F = F - F.mean(axis=0)
    within = np.linalg.norm(F, axis=0)
    kept = within > 4.0 * math.sqrt(n) * eps * sizes  # else nothing but rounding is left without the mean
    if not kept.any():
        without = ", constants but for rounding" if centre else ""
        raise ValueError(f"{name} must span something; all of them are zero{without}. Pass one that varies.")
    U, s, _ = np.linalg.svd(F[:, kept] / within[kept], full_matrices=False)
    size = max(F.shape)
    r = int(np.sum(s > size * eps * s[0]))
    rounding = 16.0 * size * _EPS * float(s[0] + np.max(sizes[kept] / within[kept]))
    gap = float(s[r - 1] - (s[r] if r < s.size else 0.0))
    return Span(U[:, :r], rounding / gap if rounding < gap else 1.0)


def overlap(eigen: Spectrum, features: Span, *, k: int, centre: bool, level: float) -> FeatureOverlap:
    """`feature_overlap` of a spectrum, whose mean was taken out if `centre`.

    Raises:
        ValueError: a k that there is not; a spectrum without vectors.
    """
    if eigen.vectors is None:
        raise ValueError("the spectrum must have its vectors; got none. Call spectrum(K, vectors=True).")
    n, r, held = eigen.n - centre, features.basis.shape[1], eigen.vectors.shape[1]
    k = _checks.positive_int("k", k)
    if k > min(n, held):
        why = f"the spectrum holds {held}" if held < n else f"{eigen.n} examples" + (" without their mean" * centre)
        raise ValueError(f"k must be at most {min(n, held)}, {why}; got {k}.")
    cross = features.basis.T @ eigen.vectors  # (r, K)
    sines = eigen.eigenspace_sines()
    lower, middle, upper = _cosines(cross, sines, k, features.turn, n)
    found = Interval(*(float(np.mean(np.square(c))) for c in (lower, middle, upper)))
    found = Interval(math.nextafter(found.lower, -1.0), found.estimate, math.nextafter(found.upper, 2.0))
    return FeatureOverlap(
        overlap=Interval(max(found.lower, 0.0), found.estimate, min(found.upper, 1.0)),
        cosines=middle, lower=lower, upper=upper, resolved=bool(sines[k - 1] < 1.0), k=k, r=r, n=n,
        chance=k * r / (n * min(k, r)), floor=random_subspaces.quantile(n, k, r, level), level=level,
    )  # fmt: skip


def _cosines(
    cross: Float[np.ndarray, "r K"], sines: Float[np.ndarray, " K"], k: int, turn: float, n: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cosines of the principal angles with the span of the first k vectors: lower ends, as computed, upper ends.

    The space of the first k holds that of the first j < k and lies in that of the first l > k, whose gaps may be told
    where that at k is not: cosines of nested spaces interlace. (numerics.21)
    """
    r = len(cross)
    m = min(k, r)
    nested = _useful(cross, sines, k)
    lower, upper = np.zeros(m), np.ones(m)
    lower[: max(k + r - n, 0)] = 1.0  # in so many dimensions any two such spaces meet
    for j in {k, *nested}:
        low, high = _turned(cross[:, :j], float(sines[j - 1]), turn, n)
        if j <= k:  # so many dimensions less
            less = k - j
            lower[: low.size] = np.maximum(lower[: low.size], low)
            upper[less : less + high.size] = np.minimum(upper[less : less + high.size], high[: max(m - less, 0)])
        else:
            rest = low[j - k :]
            lower[: rest.size] = np.maximum(lower[: rest.size], rest)
            upper = np.minimum(upper, high[:m])
    middle = np.linalg.svd(cross[:, :k], compute_uv=False)
    return lower, np.clip(middle, lower, upper), upper


def _useful(cross: np.ndarray, sines: np.ndarray, k: int) -> set[int]:
    """At which dimensions below and above k nested spaces say most of either end, judged by the sum of the squares."""
    held = np.arange(1, cross.shape[1] + 1)
    mass, off = np.cumsum(np.sum(cross**2, axis=0)), np.minimum(held, len(cross)) * sines
    low, high = mass - off - np.maximum(held - k, 0), mass + off + np.maximum(k - held, 0)
    inner, outer = slice(0, k), slice(k - 1, None)
    return {
        int(np.argmax(low[inner])) + 1,
        int(np.argmin(high[inner])) + 1,
        int(np.argmax(low[outer])) + k,
        int(np.argmin(high[outer])) + k,
    }


def _turned(cross: np.ndarray, sine: float, turn: float, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the cosines between two spaces, each of which may be turned by an angle of that sine."""
    cosines, slack = np.linalg.svd(cross, compute_uv=False), 16.0 * n * _EPS
    off = math.asin(min(sine, 1.0)) + math.asin(turn)
    far = np.arccos(np.clip(cosines - slack, 0.0, 1.0)) + off
    near = np.arccos(np.clip(cosines + slack, 0.0, 1.0)) - off
    lower = np.where(far < 0.5 * math.pi, np.cos(np.minimum(far, 0.5 * math.pi)), 0.0)
    upper = np.where(near > 0, np.cos(np.maximum(near, 0.0)), 1.0)
    return np.maximum(lower - slack, 0.0), np.minimum(upper + slack, 1.0)
