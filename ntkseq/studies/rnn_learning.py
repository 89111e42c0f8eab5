"""How well does kernel regression learn a known target from n examples? What `rnn_sgd` does with a finite network."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.linalg
from jaxtyping import Float

from ntkseq import _checks, _statistics, bounds, predictors
from ntkseq.bounds import Bound
from ntkseq.grams import Dense
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


def errors(f: Any, y: Any) -> Errors:
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
        norm_squared: y'K^-1 y. `lower` is rigorous also where K is singular: no function with these labels has a
            smaller squared norm. `finite` says whether K^-1 exists beyond doubt; if not, the estimate has reg in it,
            and `upper` is inf.
        least: least eigenvalue of K.
        trace: of K.
        reg: 0 for the interpolant; the ridge that was needed where K is singular.
        reason: why there is a ridge.
        bound: `bounds.rademacher` for this predictor.
        predicted: at the test points.
    """

    n: int
    errors: Errors
    norm_squared: Interval
    least: Interval
    trace: float
    reg: float
    reason: str
    bound: Bound
    predicted: Float[np.ndarray, " m"]

    def violates(self, norm_squared: float, *, label_error: float = 0.0) -> bool:
        """Whether y'K^-1 y is certainly above what is said to bound the squared norm of the labels' function.

        label_error: how far rounding may have moved each label from the function's value.
        """
        floor = math.sqrt(self.n) * label_error / math.sqrt(max(self.least.lower, _off(self.trace, self.n)))
        return math.sqrt(max(self.norm_squared.lower, 0.0)) > math.sqrt(norm_squared) + floor


def kernel_fits(
    K: Dense,
    cross: Any,
    y: Any,
    y_test: Any,
    sizes: Sequence[int],
    *,
    kappa: float | None = None,
    delta: float = 0.05,
    B0: float = 1.0,
    tried: int = 1,
) -> list[KernelFit]:
    """Fit kernel regression to the first n of the training examples, for several n.

    The interpolant of least norm; where the least eigenvalue cannot be told from zero (duplicates), ridge regression
    with the least ridge that rounding allows, and the reason.

    Args:
        K: Gram matrix of the training examples (n, n), from `gram`.
        cross: kernel values of test with training examples, (m, n).
        y, y_test: labels (n,) and (m,).
        sizes: numbers n of examples, each at most len(y).
        kappa, delta, B0, tried: for `bounds.rademacher`.
    """
    values, y = np.asarray(K, np.float64), np.asarray(y, np.float64)
    cross, y_test = np.asarray(cross, np.float64), np.asarray(y_test, np.float64)
    found = []
    for n in sizes:
        n = _checks.positive_int("sizes", n)
        if n > len(y):
            raise ValueError(f"sizes must be at most {len(y)}, the number of training examples; got {n}.")
        part = leading(K, n)
        least = spectrum(part, vectors=False, method="dense").min_eigenvalue
        trace = float(np.trace(values[:n, :n]))
        off = float(part.rounding) + _off(trace, n)
        singular = not least.positive
        reg = 2 * off if singular else 0.0
        reason = ""
        if singular:
            reason = (
                f"least eigenvalue in [{least.lower:.3g}, {least.upper:.3g}], not told from zero (duplicates?): "
                f"ridge regression with reg = {reg:.3g} in place of the interpolant"
            )
        said = bounds.rademacher(part, y[:n], delta=delta, B0=B0, reg=reg, kappa=kappa, tried=tried)
        fit = predictors.ridge(part, y[:n], reg=reg)
        f = np.asarray(fit(cross[:, :n]))
        raised = scipy.linalg.cho_factor(values[:n, :n] + off * np.eye(n), lower=True)
        # exact K <= computed K + off: nothing with these labels has a smaller norm
        lower = float(y[:n] @ scipy.linalg.cho_solve(raised, y[:n])) * (1 - 4 * n * EPS)
        estimate = float(y[:n] @ fit.dual)
        upper = math.inf if singular else estimate * (1 + off / least.lower)
        norm = Interval(min(lower, estimate), estimate, upper)
        found.append(KernelFit(n, errors(f, y_test), norm, least, trace, reg, reason, said, f))
    return found


def _off(trace: float, n: int) -> float:
    """The backward error of a float64 Cholesky solve, in spectral norm: |K|_2 <= tr K."""
    return 4 * n * EPS * trace


def leading(K: Dense, n: int) -> Dense:
    """The Gram matrix of the first n examples, with its own rounding."""
    return K.take(slice(0, n))


def exponent(sizes: Sequence[float], values: Any, *, level: float = 0.95) -> Interval:
    """The slope of log value over log size, with Student's interval over independent draws.

    One line is fitted per draw, by least squares; the interval is that of the mean of their slopes, so it holds
    whether or not the values of one draw hang together. Whether a power law is the right law it does not say.

    Args:
        sizes: (s,), two different ones or more.
        values: (draws, s), > 0; one draw has no interval.
        level: of the interval.

    Returns:
        Interval, resolved if it leaves 0 out.

    Raises:
        ValueError: shapes that do not fit, values that are not positive.

    Example:
        >>> print(exponent([10, 100], [[1.0, 0.1], [1.0, 0.08], [1.0, 0.12]]))
        -1.006 in [-1.225, -0.7868]
    """
    x, values = np.log(np.asarray(sizes, np.float64)), np.asarray(values, np.float64)
    if values.ndim != 2 or values.shape[1:] != x.shape or len(np.unique(x)) < 2:
        raise ValueError(
            f"sizes must be two different ones or more, (s,), and values (draws, s); got {np.shape(sizes)} and "
            f"{values.shape}."
        )
    if not (values > 0).all():
        raise ValueError("values must be > 0, for a logarithm. Leave out the sizes where nothing is left.")
    centred = x - x.mean()
    slopes = np.log(values) @ centred / float(centred @ centred)
    mean, half = _statistics.mean(slopes, level)
    return Interval(mean - half, mean, mean + half)
