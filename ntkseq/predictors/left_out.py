"""Residuals of examples left out of a ridge fit, one or two at a time, and what rounding of K does to them."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import scipy  # its parts load when they are first used
from jaxtyping import Bool, Float

from ntkseq import _checks, _provenance
from ntkseq._types import ArrayLike, GramLike
from ntkseq.grams.arrays import Symmetric, symmetric
from ntkseq.grams.base import Gram
from ntkseq.predictors.posterior import why_estimated
from ntkseq.spectra.dense import dense_spectrum

_EPS = float(np.finfo(np.float64).eps)
ALIKE = "y has one value only: what errors on another would be, these examples do not show"
PAIRS = 2**22  # numbers held at once while pairs of examples are left out: 32 MiB
NODES = 40  # of the quadrature over the value of the true class: exact to 1e-6 for ten classes


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """Kernel ridge regression on n examples, by its one eigendecomposition. Made by `problem`.

    K, reg and rounding are divided by a power of two that brings them near 1, which residuals do not see.

    Attributes:
        values: eigenvalues of K, ascending, those below zero by rounding set to zero.
        vectors: their eigenvectors, (n, n).
        turned: vectors' y, (n, k).
        y: targets, (n, k); one column where they came as (n,).
        classes: whether they encode classes: all -1/+1 in one column, or one-hot in several.
        reg: the ridge.
        rounding: how far K may be off in spectral norm, with what the eigensolver did.
        scale: what K was divided by.
        estimated: why the rounding is an estimate; empty if it is a bound.
    """

    values: Float[np.ndarray, " n"]
    vectors: Float[np.ndarray, "n n"]
    turned: Float[np.ndarray, "n k"]
    y: Float[np.ndarray, "n k"]
    classes: bool
    reg: float
    rounding: float
    scale: float
    estimated: str

    @property
    def n(self) -> int:
        """Examples."""
        return len(self.values)

    @property
    def alike(self) -> bool:
        """Whether all targets are equal."""
        return bool(np.all(self.y == self.y[0]))

    @property
    def lowest(self) -> Float[np.ndarray, " n"]:
        """What the exact eigenvalues are at least."""
        return np.maximum(self.values - self.rounding, 0.0)

    @property
    def highest(self) -> Float[np.ndarray, " n"]:
        """What the exact eigenvalues are at most."""
        return self.values + self.rounding

    def inverse(self, kappa: float) -> Float[np.ndarray, "n n"]:
        """(K + kappa)^-1."""
        return (self.vectors / (self.values + kappa)) @ self.vectors.T


def problem(K: GramLike | Symmetric, y: ArrayLike, reg: float) -> Problem:
    """Decompose K once and check it, the targets and the ridge.

    Raises:
        ValueError: fewer than two examples, shapes that do not fit, K indefinite, reg = 0 with K not resolved.
    """
    held, reg = symmetric(K), _checks.nonnegative("reg", reg)
    n = len(held.matrix)
    if n < 2:
        raise ValueError(f"K must be of two examples or more, so that one can be left out; got {n}.")
    y = _checks.fitted("y", y, n).reshape(n, -1)
    if np.abs(y).max() > 1e100:
        raise ValueError("y must be of numbers whose squares are finite, below 1e100; divide it by its scale.")
    eigen = dense_spectrum(held)
    assert eigen.vectors is not None
    if not eigen.semidefinite:
        raise ValueError(
            f"K must be positive semi-definite; its least eigenvalue is {eigen.min_eigenvalue}. Check that K is a "
            "kernel matrix."
        )
    if reg == 0.0 and not eigen.min_eigenvalue.positive:
        raise ValueError(
            "reg = 0 asks for the interpolant, which needs a positive definite K; its least eigenvalue is "
            f"{eigen.min_eigenvalue}. Pass reg > 0 (select_reg chooses one), drop duplicate inputs, or compute K in "
            "float64."
        )
    shift = int(np.frexp(max(float(eigen.values[0]), reg))[1])
    values, rounding = np.ldexp(eigen.values[::-1], -shift), float(np.ldexp(held.rounding, -shift))
    vectors = np.ascontiguousarray(eigen.vectors[:, ::-1])
    return Problem(
        values=np.maximum(values, 0.0),
        vectors=vectors,
        turned=vectors.T @ y,
        y=y,
        classes=encode_classes(y),
        reg=float(np.ldexp(reg, -shift)),
        rounding=rounding + n * _EPS * float(np.abs(values).max()),
        scale=float(np.ldexp(1.0, shift)),
        estimated=why_estimated(held.gram) or _unknown(held),
    )


def _unknown(held: Symmetric) -> str:
    if isinstance(held.given, Gram) or _provenance.recall(held.given) is not None:
        return ""
    return "an array of unknown rounding, counted as rounded once; pass gram(kernel, x)"


def encode_classes(y: Float[np.ndarray, "n k"]) -> bool:
    """Whether targets encode classes: -1 and +1 in one column; or in several, two values, the larger once in a row."""
    if y.shape[1] == 1:
        return bool(np.all(np.abs(y) == 1.0))
    levels = np.unique(y)
    return len(levels) == 2 and bool(np.all(np.sum(y == levels[1], axis=1) == 1))


@dataclasses.dataclass(frozen=True, eq=False)
class Residuals:
    """Of each example by a predictor that did not see it, (n, k), and how far rounding may have moved each."""

    values: Float[np.ndarray, "n k"]
    errors: Float[np.ndarray, "n k"]


def one_left_out(known: Problem, kappa: float, low: float, moved: float) -> Residuals:
    """[(K + kappa)^-1 y]_i / [(K + kappa)^-1]_ii, for all i (risk.1).

    With B = (K + kappa)^-1, |E| <= moved and b = |(K + kappa + E)^-1|, entry ii of the inverse moves by at most
    moved (1 + b moved) (B^2)_ii, and that of the coefficients by moved (1 + b moved) |B e_i| |B y| (risk.11).

    Args:
        known: the problem.
        kappa: on the diagonal, > 0 or with K positive.
        low: what the least eigenvalue of the exact K + kappa is at least.
        moved: how far K + kappa may be off in spectral norm.
    """
    shifted = known.values + kappa
    dual = known.vectors @ (known.turned / shifted[:, None])
    squares = np.square(known.vectors)
    own, size = squares @ (1.0 / shifted), np.sqrt(squares @ np.square(1.0 / shifted))
    values = dual / own[:, None]
    if not low > 0 or not np.isfinite(moved):
        return Residuals(values, np.full_like(values, np.inf))
    factor = moved * (1.0 + moved / low) + 4.0 * known.n * _EPS * float(shifted[0])
    off = factor * np.square(size)
    change = factor * size[:, None] * np.linalg.norm(dual, axis=0) + np.abs(values) * off[:, None]
    left = (own - off)[:, None]
    errors = np.where(left > 0, change / np.where(left > 0, left, 1.0), np.inf)
    return Residuals(values, errors)


def wrong(y: Float[np.ndarray, "... k"], residuals: Float[np.ndarray, "... k"]) -> Bool[np.ndarray, "..."]:
    """Which examples of classes are put into another class; an output of zero is wrong."""
    f = y - residuals
    return (y * f <= 0)[..., 0] if y.shape[-1] == 1 else np.argmax(f, axis=-1) != np.argmax(y, axis=-1)


def unsure(y: Float[np.ndarray, "n k"], found: Residuals) -> Bool[np.ndarray, " n"]:
    """Which examples could be put into another class than they were, for all that rounding may do."""
    f, errors = y - found.values, found.errors
    if y.shape[1] == 1:
        return (np.abs(f) <= errors)[:, 0]
    true = np.arange(len(y)), np.argmax(y, axis=1)
    gap = np.abs(f - f[true][:, None]) - errors - errors[true][:, None]
    gap[true] = np.inf
    return np.min(gap, axis=1) <= 0


@dataclasses.dataclass(frozen=True)
class Pairs:
    """What leaving out a second example does to the losses of the first, d_ij = loss_i - loss_i without j.

    Attributes:
        drift: the mean of d_ij.
        covariance: of two losses, both less the risk of their own predictor (risk.4): what they have in common.
        dependence: the mean of d_ij^2, which that covariance cannot exceed.
    """

    drift: float
    covariance: float
    dependence: float


def two_left_out(known: Problem, found: Residuals) -> tuple[Pairs, Pairs | None]:
    """Losses of each example when every other one is left out as well: squared, and zero-one for classes (risk.3)."""
    n, k = known.y.shape
    B = known.inverse(known.reg)
    own, dual, r, y = np.diagonal(B), found.values * np.diagonal(B)[:, None], found.values, known.y
    losses = [_squared] + [_zero_one] * known.classes
    alone = [loss(y, r) for loss in losses]
    sums = np.zeros((len(losses), 2))
    rows, columns = np.zeros((2, len(losses), n))
    step = max(1, PAIRS // (n * k))
    for start in range(0, n, step):
        here = np.arange(start, min(start + step, n))
        row, same = B[here], (here - start, here)
        determinant = own[here, None] * own - np.square(row)  # (b, n)
        determinant[same] = 1.0
        if not np.all(determinant > 0):
            return Pairs(math.inf, math.inf, math.inf), Pairs(math.inf, math.inf, math.inf) if known.classes else None
        first = (own[None, :, None] * dual[here, None] - row[..., None] * dual) / determinant[..., None]
        second = (own[here, None, None] * dual - row[..., None] * dual[here, None]) / determinant[..., None]
        for which, loss in enumerate(losses):
            mine = alone[which][here, None] - loss(np.broadcast_to(y[here, None], first.shape), first)
            other = alone[which] - loss(np.broadcast_to(y, second.shape), second)
            mine[same] = other[same] = 0.0
            sums[which] += np.sum(mine * other), np.sum(mine**2)
            rows[which, here], columns[which, here] = np.sum(mine, axis=1), np.sum(other, axis=1)
    made = []
    for total, mine, other in zip(sums / (n * (n - 1)), rows / (n - 1), columns / (n - 1), strict=True):
        drift = float(np.mean(mine))
        covariance = float(total[0]) - 2.0 * float(np.mean(mine * other)) + drift**2
        made.append(Pairs(drift, covariance, float(total[1])))
    return made[0], made[1] if known.classes else None


def _squared(y: Float[np.ndarray, "... k"], residuals: Float[np.ndarray, "... k"]) -> Float[np.ndarray, "..."]:
    return np.mean(np.square(residuals), axis=-1)


def _zero_one(y: Float[np.ndarray, "... k"], residuals: Float[np.ndarray, "... k"]) -> Float[np.ndarray, "..."]:
    return wrong(y, residuals).astype(np.float64)


def expected_wrong(
    y: Float[np.ndarray, "n k"], residuals: Float[np.ndarray, "n k"], spread: Float[np.ndarray, " k"]
) -> Float[np.ndarray, " n"]:
    """The probability that each example is put into another class, outputs being normal around y - residuals.

    Args:
        y: targets that encode classes.
        residuals: of the mean outputs.
        spread: standard deviation of each output, independent of each other.
    """
    if not np.all(spread > 0):
        return wrong(y, residuals).astype(np.float64)
    f = y - residuals
    if y.shape[1] == 1:
        return scipy.special.ndtr(-(y * f)[:, 0] / spread[0])
    rows, true = np.arange(len(y)), np.argmax(y, axis=1)
    right = np.zeros(len(y))
    nodes: Any = np.polynomial.hermite_e.hermegauss(NODES)
    for node, weight in zip(*nodes, strict=True):
        top = f[rows, true] + spread[true] * node
        below = scipy.special.ndtr((top[:, None] - f) / spread)
        below[rows, true] = 1.0
        right += weight * np.prod(below, axis=1)
    return np.clip(1.0 - right / np.sqrt(2.0 * np.pi), 0.0, 1.0)
