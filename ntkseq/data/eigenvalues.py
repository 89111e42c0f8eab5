"""How do the variances of made inputs, and of made tasks, decay? The spectra that theorems on SGD speak of."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from ntkseq import _checks
from ntkseq._types import ArrayLike

__all__ = ["exponential", "power_law", "spread", "two_levels", "two_levels_at"]


def power_law(d: int, *, decay: float = 1.0, logs: float = 0.0) -> Float[np.ndarray, " d"]:
    """lam_i = i^(-decay) log(i + 1)^(-logs), i = 1 .. d.

    Args:
        d: number of coordinates.
        decay: > 0. At 1 the sum converges only with logs > 1.
        logs: power of the logarithm, >= 0; the natural one.

    Raises:
        ValueError: a d below 1, a decay that is not positive, negative logs.

    Example:
        >>> power_law(4, decay=2).tolist()
        [1.0, 0.25, 0.1111111111111111, 0.0625]
    """
    d = _checks.positive_int("d", d)
    decay, logs = _checks.nonnegative("decay", decay, positive=True), _checks.nonnegative("logs", logs)
    i = np.arange(1, d + 1, dtype=np.float64)
    return i**-decay * np.log(i + 1) ** -logs


def exponential(d: int, *, rate: float = 1.0) -> Float[np.ndarray, " d"]:
    """lam_i = exp(-rate i), i = 1 .. d.

    Args:
        d: number of coordinates.
        rate: > 0.

    Raises:
        ValueError: a d below 1, a rate that is not positive.

    Example:
        >>> exponential(3, rate=0.5).round(4).tolist()
        [0.6065, 0.3679, 0.2231]
    """
    d, rate = _checks.positive_int("d", d), _checks.nonnegative("rate", rate, positive=True)
    return np.exp(-rate * np.arange(1, d + 1, dtype=np.float64))


def two_levels(d: int, head: int) -> Float[np.ndarray, " d"]:
    """1/head in the first `head` coordinates, 1/(d - head) in the others: both have a variance of 1 in all.

    Args:
        d: number of coordinates.
        head: how many of them are large.

    Raises:
        ValueError: a head that leaves no other coordinate.

    Example:
        >>> two_levels(5, 1).tolist()
        [1.0, 0.25, 0.25, 0.25, 0.25]
    """
    d, head = _checks.positive_int("d", d), _checks.positive_int("head", head)
    if head >= d:
        raise ValueError(f"head must be below d = {d}; got {head}. It is the number of large variances.")
    return np.repeat([1 / head, 1 / (d - head)], [head, d - head])


def two_levels_at(steps: int, *, head: float, tail: float) -> Float[np.ndarray, " d"]:
    """The two levels that grow with the number of steps T: head T/log(T)^head, in all T log(T)^tail coordinates.

    Sizes are rounded, and at least 1.

    Args:
        steps: T, at least 3.
        head, tail: powers of the logarithm, > 0.

    Raises:
        ValueError: steps below 3, powers that are not positive.

    Example:
        >>> lam = two_levels_at(100, head=1, tail=1)
        >>> lam.size, int((lam == lam[0]).sum())
        (461, 22)
    """
    steps = _checks.positive_int("steps", steps)
    if steps < 3:
        raise ValueError(f"steps must be 3 or more, so that its logarithm exceeds 1; got {steps}.")
    powers = [_checks.nonnegative(name, value, positive=True) for name, value in (("head", head), ("tail", tail))]
    log = math.log(steps)
    first = max(1, round(steps / log ** powers[0]))
    return two_levels(max(first + 1, round(steps * log ** powers[1])), first)


def spread(spectrum: ArrayLike, *, diversity: float, logs: float = 0.0) -> Float[np.ndarray, " d"]:
    """Standard deviations of a task's coordinates: as different as `diversity` says, whatever the inputs' spectrum.

        spread_i^2 = k log(i + 1)^logs,    k such that sum_i spread_i^2 lam_i = diversity

    diversity is tr(Sigma_theta Sigma), the variance that tasks add to a label, which bounds on MAML contain.

    Args:
        spectrum: lam, variances of the inputs, (d,), from the largest down.
        diversity: >= 0.
        logs: how tasks spread into directions of small variance; 0: evenly.

    Raises:
        ValueError: a spectrum that is empty, negative or zero.

    Example:
        >>> lam = power_law(50, decay=1.5)
        >>> round(float((spread(lam, diversity=3.0, logs=2) ** 2 * lam).sum()), 12)
        3.0
    """
    lam = np.asarray(spectrum, np.float64)
    if lam.ndim != 1 or not lam.size or not (np.isfinite(lam) & (lam >= 0)).all() or not lam.any():
        raise ValueError(f"spectrum must be (d,) finite eigenvalues >= 0, not all 0; got {spectrum!r}.")
    diversity, logs = _checks.nonnegative("diversity", diversity), _checks.nonnegative("logs", logs)
    shape = np.log(np.arange(2, lam.size + 2)) ** logs
    return np.sqrt(diversity * shape / np.sum(shape * lam))
