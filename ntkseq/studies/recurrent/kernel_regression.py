"""Kernel regression on a known target from n examples: its errors, its norm, and what is proved of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.linalg
from jaxtyping import Float

from ntkseq import _checks, _statistics, bounds
from ntkseq._types import AnyArray, ArrayLike
from ntkseq.bounds import Bound
from ntkseq.grams import DenseGram
from ntkseq.predictors.kernel_ridge import factorise
from ntkseq.spectra import Interval, spectrum

EPS = float(np.finfo(np.float64).eps)


@dataclasses.dataclass(frozen=True)
class Errors:
    """The mean of min(1, |f - y|) over test points, and how far the mean over all inputs may be from it.

    Attributes:
        mean: over the points.
        lower, upper: Student's interval of the expectation at 0.95. It counts on many points; errors are skewed.
        ceiling: the expectation is below it with probability 0.95, whatever the law (empirical Bernstein).
        points: how many.
    """

    mean: float
    lower: float
    upper: float
    ceiling: float
    points: int


def errors(f: ArrayLike, y: ArrayLike) -> Errors:
    """Measure min(1, |f - y|), the loss that the bounds speak of.

        ceiling = mean + sqrt(2 V log(2/0.05)/m) + 7 log(2/0.05)/(3 (m - 1)),    V the sample variance

    Maurer & Pontil 2009, Theorem 4.

    Args:
        f: predictions (m,), or (m, o): a loss of a point is then the mean over its outputs.
        y: values (m,) or (m, o).

    Raises:
        ValueError: shapes that do not fit.
    """
    f, y = np.asarray(f, np.float64), np.asarray(y, np.float64)
    if f.shape != y.shape or f.ndim not in (1, 2) or not f.size:
        raise ValueError(f"f and y must have one shape, (m,) or (m, o); got {f.shape} and {y.shape}.")
    losses = np.minimum(1.0, np.abs(f - y))  # nan stays nan
    losses = losses if losses.ndim == 1 else losses.mean(axis=1)
    (mean, reach), m = _statistics.mean(losses), len(losses)
    if m == 1:
        return Errors(mean, 0.0, 1.0, 1.0, 1)
    deviation, log = float(losses.std(ddof=1)), math.log(2 / 0.05)
    ceiling = mean + deviation * math.sqrt(2 * log / m) + 7 * log / (3 * (m - 1))
    return Errors(mean, max(0.0, mean - reach), min(1.0, mean + reach), min(1.0, ceiling), m)


@dataclasses.dataclass(frozen=True, eq=False)
class KernelFit:
    """What kernel regression learnt from the first n examples.

    Attributes:
        n: number of examples.
        errors: on the test points.
        predicted: at the test points.
        reg: 0 for the interpolant; the ridge that was needed where K is singular.
        reason: why there is a ridge.
    """

    n: int
    errors: Errors
    predicted: Float[np.ndarray, "m ..."]
    reg: float
    reason: str


@dataclasses.dataclass(frozen=True, eq=False)
class NormFit(KernelFit):
    """The same with the norm of the interpolant.

    Attributes:
        norm_squared: y'K^-1 y. `lower` is rigorous also where K is singular: no function with these labels has a
            smaller squared norm. `finite` says whether K^-1 exists beyond doubt; if not, the estimate has reg in it,
            and `upper` is inf.
        moved: how far a change of all labels by 1 can move the root of y'K^-1 y.
        trace: of K.
    """

    norm_squared: Interval
    moved: float
    trace: float

    def violates(self, norm_squared: float, *, label_error: float = 0.0) -> bool:
        """Whether y'K^-1 y is certainly above what is said to bound the squared norm of the labels' function.

        label_error: how far rounding may have moved each label from the function's value.
        """
        return math.sqrt(max(self.norm_squared.lower, 0.0)) > math.sqrt(norm_squared) + label_error * self.moved


@dataclasses.dataclass(frozen=True, eq=False)
class BoundedFit(NormFit):
    """The same with `bounds.rademacher` for this predictor."""

    bound: Bound


class KernelRegression:
    """Regression on the first n examples of a kernel matrix, for any labels: what K alone decides is computed once.

    The interpolant of least norm; where the least eigenvalue cannot be told from zero (duplicates), ridge regression
    with the least ridge that rounding allows, and the reason.

    Args:
        K: Gram matrix of the training examples, from `gram`.
        cross: kernel values of test with training examples, (m, n) or more columns.
        n: how many examples.

    Attributes:
        part: the Gram matrix of these examples.
        trace: of it.
        reg, reason: as of `KernelFit`.
    """

    def __init__(self, K: DenseGram, cross: AnyArray | DenseGram, n: int) -> None:
        self.n, self.part = n, leading(K, n)
        self._cross: Float[np.ndarray, "m n"] = np.asarray(cross, np.float64)[:, :n]
        values = np.asarray(self.part, np.float64)
        self.trace = float(np.trace(values))
        least = spectrum(self.part, vectors=False, method="dense").min_eigenvalue
        backward = 4 * n * EPS * self.trace  # of a float64 Cholesky solve: |K|_2 <= tr K
        off = float(self.part.rounding) + backward
        self._relative = off / least.lower if least.positive else math.inf
        self.reg = 0.0 if math.isfinite(self._relative) else 2 * off
        self.reason = ""
        if self.reg:
            self.reason = (
                f"least eigenvalue in [{least.lower:.3g}, {least.upper:.3g}], not told from zero (duplicates?): ridge "
                f"regression with reg = {self.reg:.3g} in place of the interpolant"
            )
        self._factor = factorise(values, self.reg)
        # exact K <= computed K + off: nothing with these labels has a smaller norm
        self._raised = scipy.linalg.cho_factor(values + off * np.eye(n), lower=True)
        self._moved = math.sqrt(n / max(least.lower, backward))

    def fit(self, y: ArrayLike, y_test: ArrayLike) -> NormFit:
        """Learn the labels of the first n examples, and predict those of the test points."""
        y = np.asarray(y, np.float64)[: self.n]
        dual = scipy.linalg.cho_solve(self._factor, y)
        estimate, f = float(y @ dual), self._cross @ dual
        lower = float(y @ scipy.linalg.cho_solve(self._raised, y)) * (1 - 4 * self.n * EPS)
        upper = estimate * (1 + self._relative) if math.isfinite(self._relative) else math.inf
        norm = Interval(min(lower, estimate), estimate, upper)
        return NormFit(self.n, errors(f, y_test), f, self.reg, self.reason, norm, self._moved, self.trace)


def kernel_fits(
    K: DenseGram, cross: AnyArray | DenseGram, y: ArrayLike, y_test: ArrayLike, sizes: Sequence[int], **options: Any
) -> list[BoundedFit]:
    """Fit kernel regression to the first n of the training examples, for several n.

    Args:
        K: Gram matrix of the training examples (n, n), from `gram`.
        cross: kernel values of test with training examples, (m, n).
        y, y_test: labels (n,) and (m,).
        sizes: numbers n of examples, each at most len(y).
        **options: kappa, delta, B0, tried of `bounds.rademacher`.
    """
    y, found = np.asarray(y, np.float64), []
    for n in sizes:
        n = _checks.positive_int("sizes", n)
        if n > len(y):
            raise ValueError(f"sizes must be at most {len(y)}, the number of training examples; got {n}.")
        machine = KernelRegression(K, cross, n)
        said = bounds.rademacher(machine.part, y[:n], reg=machine.reg, **options)
        found.append(BoundedFit(**vars(machine.fit(y, y_test)), bound=said))
    return found


def leading(K: DenseGram, n: int) -> DenseGram:
    """The Gram matrix of the first n examples, with its own rounding."""
    return K.take(slice(0, n))
