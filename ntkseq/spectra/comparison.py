"""How far apart are two kernels on the same examples: finite and infinite, before and after training?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.linalg
from jaxtyping import Float

from ntkseq import _checks, _display
from ntkseq._types import GramLike
from ntkseq.grams.arrays import Symmetric, at_hand, symmetric
from ntkseq.grams.base import Gram
from ntkseq.spectra.dense import dense_spectrum
from ntkseq.spectra.full import FullSpectrum
from ntkseq.spectra.interval import Interval

MOST = 8192
"""Rows up to which a lazy Gram is computed whole to be compared."""


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """Two kernels on the same n examples, each number with what the rounding of both leaves open.

    Attributes:
        alignment: <K1, K2>_F / (|K1|_F |K2|_F), 1 for multiples of each other.
        cka: the same of the centred matrices H K H.
        frobenius: |K1 - K2|_F / |K2|_F.
        spectral: |K1 - K2|_2.
        log_eigenvalues: largest |log(lambda_i(K1) / lambda_i(K2))| over the eigenvalues that are resolved in both.
        resolved: how many those are.
        angles: principal angles between the leading k eigenspaces, radians, ascending.
        angle_error: bound of the error of each; pi / 2 where the gap after k is not resolved.

    Reference: cristianini2001; kornblith2019; davis1970: see `compare`.
    """

    alignment: Interval
    cka: Interval
    frobenius: Interval
    spectral: Interval
    log_eigenvalues: Interval
    resolved: int
    angles: Float[np.ndarray, " k"]
    angle_error: float

    __repr__ = _display.printed

    def __str__(self) -> str:
        rows = [
            ("alignment", f"{self.alignment}"),
            ("CKA", f"{self.cka}"),
            ("|K1 - K2|_F/|K2|_F", f"{self.frobenius}"),
            ("|K1 - K2|_2", f"{self.spectral}"),
            ("|log eigenvalues|", f"at most {self.log_eigenvalues}, over {self.resolved}"),
            ("largest angle", f"{self.angles[-1]:.4g} +- {self.angle_error:.2g}, leading {self.angles.size}"),
        ]
        return "\n".join(["Comparison of two kernels", *(f"  {name:<19} {text}" for name, text in rows)])


def compare(K1: GramLike, K2: GramLike, *, k: int = 10) -> Comparison:
    """Compare two Gram matrices of the same examples.

    Args:
        K1, K2: Grams or arrays (n, n), symmetric.
        k: how many leading eigenvectors span the spaces whose angles are measured; at most n.

    Raises:
        ValueError: shapes that differ, a matrix of zeros, not symmetric, not finite; a lazy Gram of over 8192 rows.

    Reference: cristianini2001 (alignment), kornblith2019 (CKA), davis1970 (the error of the angles).

    Example:
        >>> import numpy as np
        >>> compare(2.0 * np.eye(3), np.eye(3), k=1).frobenius.estimate
        1.0
    """
    held = [_held(K, name) for name, K in (("K1", K1), ("K2", K2))]
    A, B = (one.matrix for one in held)
    if A.shape != B.shape:
        raise ValueError(f"K1 and K2 must be of the same examples; got shapes {A.shape} and {B.shape}.")
    n = len(A)
    k = min(_checks.positive_int("k", k), n)
    spectral, frobenius = [one.rounding for one in held], [one.frobenius for one in held]
    sizes = [float(np.linalg.norm(M)) for M in (A, B)]
    if min(sizes) == 0:
        raise ValueError("K1 and K2 must not be zero: their directions are compared.")
    relative = relative_distance(A, B, frobenius)
    norm = float(np.linalg.norm(A - B, 2))
    moved = sum(spectral) + 1e-15 * n * sum(sizes)
    first, second = map(dense_spectrum, held)
    ratio, resolved = _log_ratio(first, second)
    angles, error = leading_angles(first, second, k)
    return Comparison(
        alignment=cosine(A, B, frobenius),
        cka=cosine(_without_mean(A), _without_mean(B), frobenius),
        frobenius=relative,
        spectral=Interval(max(norm - moved, 0.0), norm, norm + moved),
        log_eigenvalues=ratio,
        resolved=resolved,
        angles=angles,
        angle_error=error,
    )


def relative_distance(A: np.ndarray, B: np.ndarray, errors: Sequence[float]) -> Interval:
    """|A - B|_F / |B|_F, the errors of A and B in Frobenius norm given; `resolved` if they certainly differ."""
    own, distance = float(np.linalg.norm(B)), float(np.linalg.norm(A - B))
    both = sum(errors) + 4e-16 * len(A) ** 0.5 * (float(np.linalg.norm(A)) + own)
    return Interval(
        max(distance - both, 0.0) / (own + errors[1]),
        distance / own,
        (distance + both) / (own - errors[1]) if own > errors[1] else math.inf,
    )


def _held(K: GramLike, name: str) -> Symmetric:
    if isinstance(K, Gram) and not at_hand(K) and K.shape[0] > MOST:
        raise ValueError(
            f"a comparison needs all entries, and n = {K.shape[0]} is more than {MOST}. Compare on fewer examples, or "
            f"pass {name}.hold() if you mean it."
        )
    return symmetric(K, name, whole=True)


def _without_mean(A: np.ndarray) -> np.ndarray:
    A = A - A.mean(axis=0)
    return A - A.mean(axis=1, keepdims=True)


def cosine(A: np.ndarray, B: np.ndarray, errors: Sequence[float]) -> Interval:
    """<A, B> / (|A| |B|). A direction moves by an angle asin(error / length), and the cosine with it."""
    sizes = [float(np.linalg.norm(M)) for M in (A, B)]
    slack = 1e-14 * len(A)
    turn = [
        1.0 if size == 0 else min((error + slack * size) / size, 1.0) for error, size in zip(errors, sizes, strict=True)
    ]
    if max(turn) >= 1.0:
        return Interval(-1.0, math.nan, 1.0)
    value = float(np.clip(np.sum((A / sizes[0]) * (B / sizes[1])), -1.0, 1.0))
    angle, away = math.acos(value), sum(math.asin(t) for t in turn)
    lower, upper = math.cos(min(angle + away, math.pi)), math.cos(max(angle - away, 0.0))
    return Interval(lower - slack, value, upper + slack)


def _log_ratio(first: Any, second: Any) -> tuple[Interval, int]:
    """The largest |log(lambda_i / mu_i)| over those i where both are resolved."""
    both = (first.values > first.errors) & (second.values > second.errors)
    if not both.any():
        return Interval(0.0, math.nan, math.inf), 0
    a, da, b, db = (x[both] for x in (first.values, first.errors, second.values, second.errors))
    middle, spread = np.abs(np.log(a / b)), -np.log1p(-da / a) - np.log1p(-db / b)
    low, high = float(np.max(middle - spread)), float(np.max(middle + spread))
    return Interval(max(low, 0.0), float(middle.max()), high), int(both.sum())


def leading_angles(first: FullSpectrum, second: FullSpectrum, k: int) -> tuple[np.ndarray, float]:
    """Principal angles between leading eigenspaces, ascending, and the error of each.

    The sine of the error of each space is at most |E| / (gap - |E|).
    """
    assert first.vectors is not None and second.vectors is not None
    angles = np.sort(scipy.linalg.subspace_angles(first.vectors[:, :k], second.vectors[:, :k]))
    if k == first.n:
        return angles, 1e-7
    total = 1e-7  # of subspace_angles itself
    for eigen in (first, second):
        error = max(eigen.rounding, float(eigen.errors.max())) + 1e-15 * eigen.n * float(eigen.values[0])
        gap = float(eigen.values[k - 1] - eigen.values[k]) - error
        if gap <= error:
            return angles, math.pi / 2
        total += math.asin(min(error / gap, 1.0))
    return angles, min(total, math.pi / 2)
