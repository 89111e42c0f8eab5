"""How much of the targets lies in which eigenvectors of a matrix of any size, and how surely?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg
from jaxtyping import Float

from ntkseq import _checks, _display
from ntkseq._struct import struct
from ntkseq._types import ArrayLike, Number
from ntkseq.grams.base import Gram
from ntkseq.spectra.interval import Interval
from ntkseq.spectra.quadrature import Rule, lanczos

if TYPE_CHECKING:
    from ntkseq.spectra.partial import PartialSpectrum

_EPS = float(np.finfo(np.float64).eps)


@struct
class AlignmentCurve:
    """Shares of |y|^2, each known to lie in [lower, upper], and the best estimate of each."""

    at: Float[np.ndarray, " m"]
    """What each share is for: a number of eigenvectors, or a level of the eigenvalues."""
    lower: Float[np.ndarray, " m"]
    """The lower end of each."""
    estimate: Float[np.ndarray, " m"]
    """The best estimate of each."""
    upper: Float[np.ndarray, " m"]
    """The upper end of each."""

    def __repr__(self) -> str:
        return _display.folded(
            f"AlignmentCurve({self.at.size} shares, widest {float(np.max(self.upper - self.lower)):.2g})"
        )


def kernel_target(part: PartialSpectrum, y: ArrayLike) -> Interval:
    """y^T K y / (|y|^2 |K|_F), one product."""
    y = direction(y, part.n)
    K = gram(part)
    if not math.isfinite(part.norm_fro):
        raise ValueError("alignment needs the Frobenius norm, which an Operator does not know.")
    energy = float(y @ K.times(y))
    error = part.rounding + 2.0 * part.product
    if part.norm_fro == 0:
        return Interval(0.0, math.nan, 1.0)
    size, off = part.norm_fro * (1.0 + 4.0 * part.n * _EPS), part.frobenius
    low, high = energy - error, energy + error
    small = part.norm_fro * (1.0 - 4.0 * part.n * _EPS) - off
    lower = low / (size + off) if low >= 0 else (low / small if small > 0 else -1.0)
    upper = high / small if small > 0 else 1.0
    lower, upper = max(lower, 0.0 if part.semidefinite else -1.0), min(upper, 1.0)
    return Interval(lower, min(max(energy / part.norm_fro, lower), upper), upper)


def leading(part: PartialSpectrum, vectors: Float[np.ndarray, "n k"], y: ArrayLike) -> AlignmentCurve:
    """The share of |y|^2 in the eigenvectors of the k largest eigenvalues, k = 1, 2, ...

    The angle of y with the space of the Ritz vectors and with the exact one differ by no more than the angle between
    the two, `PartialSpectrum.eigenspace_sines`. (numerics.14)
    """
    y = direction(y, part.n)
    k = part.values.size
    shares = np.minimum(np.cumsum((vectors.T @ y) ** 2), 1.0)
    sine = part.eigenspace_sines()
    cosine, slack = np.sqrt(1.0 - sine**2), 8.0 * part.n * _EPS
    low, high = np.maximum(shares - slack, 0.0), np.minimum(shares + slack, 1.0)
    lower = np.maximum(np.sqrt(low) * cosine - np.sqrt(1.0 - low) * sine, 0.0) ** 2 - slack
    upper = np.where(np.sqrt(1.0 - high) <= sine, 1.0, (np.sqrt(high) * cosine + np.sqrt(1.0 - high) * sine) ** 2)
    # a share only grows with k: within a cluster, where no single angle is known, its ends still bound it
    lower = np.maximum.accumulate(np.maximum(lower, 0.0))
    upper = np.minimum.accumulate(np.minimum(upper + slack, 1.0)[::-1])[::-1]
    return AlignmentCurve(np.arange(1.0, k + 1.0), lower, np.clip(shares, lower, upper), upper)


def above(part: PartialSpectrum, y: ArrayLike, levels: ArrayLike | None, steps: Number) -> AlignmentCurve:
    """The share of |y|^2 in the eigenvectors of all eigenvalues >= level, by Lanczos from y: (numerics.15)."""
    y = direction(y, part.n)
    steps = _checks.positive_int("steps", steps)
    largest = part.max_eigenvalue.upper
    if levels is None:
        least = max(part.rounding, 1e-6 * largest, float(np.finfo(np.float64).tiny))
        levels = np.geomspace(max(part.max_eigenvalue.estimate, least), least, 25)
    at = np.asarray(levels, np.float64).reshape(-1)
    _checks.finite("levels", at)
    if at.size == 0:
        raise ValueError("levels must hold at least one level of the eigenvalues; got none.")
    # Lanczos is exact for a matrix this far off: products, what is taken for the end of a Krylov space, and the nodes
    error = part.rounding + (4.0 + 8.0 * math.sqrt(steps)) * part.product + 64.0 * steps * _EPS * abs(largest)
    error = max(error, 1e3 * float(np.finfo(np.float64).tiny))
    ends = part.least.lower - error, largest + error
    rule = lanczos(gram(part).times, _same, y[:, None], steps, *ends, 4.0 * part.product)
    shifts = error * 4.0 ** np.arange(0.5, 40.0)
    shifts = shifts[shifts <= 4.0 * float(np.max(np.abs(at[:, None] - ends)))]
    off = np.append(1.125 * error / shifts, 0.0)  # the node at a level may be off by an eighth of the error
    lower, upper = np.zeros(at.size), np.ones(at.size)
    for i, level in enumerate(at):
        # the exact one is not above the probed one at a lower level, but for the angle between their spaces
        highest = np.array([_share(rule, level - s, 0.125 * error)[1] for s in shifts] + [1.0])
        lowest = np.array([_share(rule, level + s, 0.125 * error)[0] for s in shifts] + [0.0])
        upper[i] = min(1.0, float(np.min(np.sqrt(highest) + off * np.sqrt(1.0 - highest))) ** 2)
        lower[i] = max(0.0, 1.0 - float(np.min(np.sqrt(1.0 - lowest) + off * np.sqrt(lowest))) ** 2)
    slack = 8.0 * part.n * _EPS
    lower = np.where(at <= part.least.lower, 1.0, np.maximum(lower - slack, 0.0))
    upper = np.where(at > largest, 0.0, np.minimum(upper + slack, 1.0))
    middle = np.array([np.sum(rule.weights[0][rule.nodes[0] >= level]) for level in at])
    return AlignmentCurve(at, lower, np.clip(middle, lower, upper), upper)


def _share(rule: Rule, level: float, near: float) -> tuple[float, float]:
    """Bounds of the mass at and above the level, by the rule that has a node there: its weight is what stays open."""
    if level > rule.upper:
        return 0.0, 0.0
    if level <= rule.lower:
        return 1.0, 1.0
    alphas, betas, nodes, weights = rule.alphas[0], rule.betas[0], rule.nodes[0], rule.weights[0]
    if rule.ended[0]:
        mass = min(float(np.sum(weights[nodes >= level])), 1.0)
        return mass, mass
    pivot = alphas[0] - level
    for alpha, beta in zip(alphas[1:], betas[:-1], strict=True):
        pivot = alpha - level - beta**2 / (pivot or near)
    last = level + betas[-1] ** 2 / (pivot or near)  # any value makes a rule; this one puts a node at the level
    if abs(last - level) <= 4.0 * (rule.upper - rule.lower):
        found, vectors = scipy.linalg.eigh_tridiagonal(np.append(alphas, last), betas)
        here = int(np.argmin(np.abs(found - level)))
        if abs(found[here] - level) <= near:
            beyond = float(np.sum(vectors[0, here + 1 :] ** 2))
            return min(beyond, 1.0), min(beyond + float(vectors[0, here] ** 2), 1.0)
    low, high = rule.monotone(lambda x: (x >= level) * 1.0)
    return min(max(low, 0.0), 1.0), min(max(high, 0.0), 1.0)


def _same(V: np.ndarray) -> np.ndarray:
    return V


def gram(part: PartialSpectrum) -> Gram:
    """The matrix whose spectrum it is."""
    if part.K is None:
        raise ValueError("this needs products with the matrix; this PartialSpectrum has none. Call spectrum(K, ...).")
    return part.K


def direction(y: ArrayLike, n: int) -> np.ndarray:
    """y / |y|, checked."""
    y = _checks.labels("y", y, n)
    largest = float(np.abs(y).max())
    if largest == 0:
        raise ValueError("y must not be all zero: its direction is asked for. Pass labels such as -1/+1.")
    y = y / largest
    return y / np.linalg.norm(y)
