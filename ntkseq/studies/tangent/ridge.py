"""What does a study choose from its training targets? The ridge, and the number that targets are centred by."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction

import numpy as np
from jaxtyping import Float

from ntkseq import predictors
from ntkseq._types import ArrayLike
from ntkseq.grams import DenseGram

DECADES = range(-6, 3)
"""Ridges that are tried, powers of ten in units of tr K / n."""

WIDEST = range(-12, 7)
"""As far as that goes where the least error lies at an end."""

FLAT = 0.01
"""A ridge ten times further counts where the error falls by more than this share."""


def choose_ridge(K: DenseGram, targets: ArrayLike, trace: float, given: float | None = None) -> tuple[float, str]:
    """The ridge of least leave-one-out error, and how it was chosen: in words, with what is beyond the grid's end.

    Where the least of `DECADES` is at an end, ridges beyond are taken for as long as each lowers the error by `FLAT`.

    Args:
        K: kernel matrix of the training examples.
        targets: (n,) or (n, k).
        trace: of K.
        given: a ridge that was asked for, which is then taken.

    Raises:
        ValueError: a kernel that is zero.
    """
    if given is not None:
        return given, "given"
    unit = trace / K.shape[0]
    if not unit > 0:
        raise ValueError(
            "the kernel is zero on these data, so nothing can be predicted; all inputs are zero, or the scales "
            "and trained groups leave nothing. Raise sigma_u or sigma_b, or train more groups."
        )
    regs = [unit * 10.0**k for k in WIDEST]
    errors = predictors.select_reg(K, targets, regs).loo_errors
    low, high = WIDEST.index(DECADES[0]), WIDEST.index(DECADES[-1])
    if np.isnan(errors[low : high + 1]).all():
        low = high = int(np.flatnonzero(~np.isnan(errors))[0])
    window = errors[low : high + 1]
    best = low + int(np.flatnonzero(window == np.nanmin(window))[-1])  # of equals, the largest

    def better(further: int) -> bool:
        return 0 <= further < len(errors) and bool(errors[further] < (1 - FLAT) * errors[best])

    while best == low and better(low - 1):
        low = best = low - 1
    while best == high and better(high + 1):
        high = best = high + 1
    how = (
        f"least leave-one-out error of {high - low + 1}, tr K/n times 1e{WIDEST[low]} .. 1e{WIDEST[high]}"
        f"{_end(errors, best, low, high)}"
    )
    return float(regs[best]), how


def _end(errors: Float[np.ndarray, " regs"], best: int, low: int, high: int) -> str:
    """What is known beyond the end where the chosen ridge lies, and what to do; nothing where it lies inside."""
    flat = f"the error falls by less than {100 * FLAT:.0f} %"
    if best and np.isnan(errors[best - 1]):
        return "; the least that keeps K + reg positive in float64"
    if best == 0:
        return "; the least of them, --reg takes a smaller one"
    if best == low:
        return f"; the least of them, below it {flat}: nearly no ridge, as with --reg 0"
    if best == high:
        return f"; the largest of them, above it {flat}: of the targets, the kernel predicts next to nothing"
    return ""


@dataclasses.dataclass(frozen=True)
class Centre:
    """The number that targets are centred by: digits 10^exponent, the training mean but for a 200th of the spread.

    Few digits, so that a bound can count what was chosen from the targets: the shares 1/`tried` of all pairs
    (digits, exponent) sum to at most one, since 1/((j + 1)(j + 2)) does over j = 0, 1, ...

    Example:
        >>> Centre.of(np.array([1000.5, 1001.0, 1003.0]))
        Centre(digits=100150, exponent=-2)
        >>> Centre.of(np.array([1000.5, 1001.0, 1003.0])).value
        1001.5
    """

    digits: int
    exponent: int

    @classmethod
    def of(cls, y: Float[np.ndarray, " n"]) -> Centre:
        """The mean in steps of the power of ten at or below a hundredth of the standard deviation."""
        mean, spread = float(y.mean()), float(y.std())
        if np.ptp(y) == 0:  # a constant: all its digits
            mean = float(y[0])
            spread = abs(mean) * 1e-14
        if spread == 0 or mean == 0:
            return cls(0, 0)
        exponent = math.floor(math.log10(spread)) - 2
        return cls(round(Fraction(mean) / Fraction(10) ** exponent), exponent)

    @property
    def value(self) -> float:
        """The number."""
        return float(Fraction(self.digits) * Fraction(10) ** self.exponent)

    def __str__(self) -> str:
        return f"{self.value:.{len(str(abs(self.digits)))}g}"

    @property
    def tried(self) -> int:
        """As how many settings a bound counts it: 4 (|e| + 1)(|e| + 2)(|k| + 1)(|k| + 2) for k 10^e."""
        e, k = abs(self.exponent), abs(self.digits)
        return 4 * (e + 1) * (e + 2) * (k + 1) * (k + 2)

    def left_out(self, y: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """The centre that the other examples give, for each example, in the same steps."""
        step = float(Fraction(10) ** self.exponent)
        others = self.value + (np.sum(y - self.value) - (y - self.value)) / (len(y) - 1)
        return np.round(others / step) * step
