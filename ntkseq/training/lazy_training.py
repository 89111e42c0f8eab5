"""How far is a trained network from the kernel regime, and does the distance vanish as it gets wider?"""

from __future__ import annotations

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from ntkseq import _checks, _display, _precision, _statistics
from ntkseq._types import ArrayLike

EXPECTED = -0.5
"""The exponent of the bounds for the kernel regime; many changes fall faster, by -1 (training.10)."""

_LAZY, _CONSTANT = 0.8 * EXPECTED, 0.2 * EXPECTED
"""An interval that reaches down to the first agrees with the kernel regime, one that reaches up to the second with no
fall at all: finite widths bend the line."""


@dataclasses.dataclass(frozen=True)
class Laziness:
    """The power law change ~ width^slope, and what it says of the regime.

    Attributes:
        slope: the exponent; -1/2 (`EXPECTED`) or steeper in the kernel regime.
        lower, upper: its interval at `level`; nan where two points determine the line and leave no scatter to judge by.
        level: the probability with which the interval covers the exponent, if the logarithms scatter alike and normally
            around a line; it says nothing on whether a power law is the right law.
        verdict: "lazy", "feature learning" or "undecided"; see `laziness`.
        reason: why.
        widths: the different widths, ascending.

    Reference: chizat2019lazy (the regime); jacot2018.
    """

    slope: float
    lower: float
    upper: float
    level: float
    verdict: str
    reason: str
    widths: tuple[float, ...]

    __repr__ = _display.printed

    def __str__(self) -> str:
        span = f"widths {self.widths[0]:g}..{self.widths[-1]:g}"
        return f"{self.verdict}: change ~ width^{self.slope:.3g}, {self.reason} ({span})"


def laziness(widths: ArrayLike, changes: ArrayLike, *, level: float = 0.95) -> Laziness:
    """Judge from networks of several widths whether training leaves the kernel regime.

        log change = a + slope log width       least squares over all runs, with a Student-t interval of the slope

    The kernel regime promises -1/2 or steeper, feature learning a change that does not vanish. The verdict is

        "lazy":              the interval lies below 0 and reaches down to -0.4,
        "feature learning":  it reaches up to -0.1 and lies above -0.4,
        "undecided":         it lies between the two (a slow fall), holds both (too few runs), or there is none.

    Args:
        widths: of the networks, (w,), at least two different ones.
        changes: how much training changed something that the kernel regime holds fixed, (w,) or (w, seeds), > 0:
            `history["kernel"]["distance"][-1]`, or the deviation from the linearised network. All runs trained alike,
            for the same time.
        level: of the interval.

    Raises:
        ValueError: one width only, shapes that do not fit, a change that is zero or not finite.

    Reference: jacot2018, for the regime.

    Example:
        >>> print(laziness([64, 256, 1024], [[0.41, 0.39], [0.20, 0.21], [0.10, 0.098]]))
        lazy: change ~ width^-0.504, in [-0.534, -0.473] at level 0.95 (widths 64..1024)
    """
    sizes, values = _runs(widths, changes)
    level = _checks.probability("level", level)
    x = np.repeat(np.log(sizes), values.shape[1])
    z = np.log(values).ravel()
    size = 1.0 + float(np.abs(z).max())
    fit = _statistics.line(x, z, level)
    slope = fit.slope
    distinct = tuple(float(size) for size in np.unique(sizes))
    if z.size == 2:
        reason = "two runs leave no scatter to judge by: no interval; add seeds or widths"
        return Laziness(slope, math.nan, math.nan, level, "undecided", reason, distinct)
    size += abs(slope) * float(np.abs(x).max())
    rounding = 8.0 * np.finfo(np.float64).eps * size / float(np.std(x))  # of logarithms: a perfect line
    reach = fit.slope_half + rounding
    lower, upper = slope - reach, slope + reach
    verdict, reason = _verdict(lower, upper)
    shown = f"in [{lower:.3g}, {upper:.3g}] at level {level:g}"
    return Laziness(slope, lower, upper, level, verdict, f"{shown}{reason}", distinct)


def _verdict(lower: float, upper: float) -> tuple[str, str]:
    if lower <= _LAZY:
        if upper < 0:
            return "lazy", ""
        return "undecided", ": too wide to tell the kernel regime from no fall at all; add seeds or widths"
    if upper >= _CONSTANT:
        return "feature learning", ""
    return "undecided", ": it falls, but more slowly than in the kernel regime"


@dataclasses.dataclass(frozen=True, eq=False)
class Deviation:
    """How far a network is from its linearisation, per record.

    Attributes:
        relative: |f - f_linear| / max over the records of |f_linear|, norms over examples and outputs; nan where an
            output is not finite.
        floor: what rounding of the outputs can make of it.
        resolved: where the deviation is above that.
    """

    relative: Float[np.ndarray, " r"]
    floor: float
    resolved: Bool[np.ndarray, " r"]

    __repr__ = _display.record


def deviation(outputs: ArrayLike, linear: ArrayLike, *, rounding: float | None = None) -> Deviation:
    """Compare the outputs of a network with those of its linearisation, trained by the same steps.

    Relative to the longest f_linear of the run, not to that of the record: outputs may start at zero or pass it.

    Args:
        outputs: of the network, (r, n, o).
        linear: of `Linearised.follow`, of the same shape.
        rounding: error of an output relative to the longest; None: 16 eps of the coarser of the two dtypes.

    Raises:
        ValueError: shapes that differ, or a linearisation that is zero or not finite at all records.

    Example:
        >>> import numpy as np
        >>> found = deviation(np.array([[[1.0]], [[2.2]]]), np.array([[[1.0]], [[2.0]]]))
        >>> found.relative.round(3).tolist(), found.resolved.tolist()
        ([0.0, 0.1], [False, True])
    """
    mine, theirs = _checks.host("outputs", outputs), _checks.host("linear", linear)
    if mine.shape != theirs.shape or mine.ndim < 2 or not mine.size:
        raise ValueError(f"outputs and linear must have one shape, (r, n, o); got {mine.shape} and {theirs.shape}.")
    if not all(jnp.issubdtype(array.dtype, jnp.floating) for array in (mine, theirs)):
        raise ValueError(f"outputs and linear must be floats; got dtypes {mine.dtype} and {theirs.dtype}.")
    if rounding is None:
        rounding = 16.0 * max(_precision.eps(array.dtype) for array in (mine, theirs))
    rounding = _checks.nonnegative("rounding", rounding)
    mine, theirs = (array.astype(np.float64).reshape(len(array), -1) for array in (mine, theirs))
    good = np.isfinite(mine).all(axis=1) & np.isfinite(theirs).all(axis=1)
    scale = float(np.linalg.norm(theirs[good], axis=1).max(initial=0.0))
    if scale == 0:
        raise ValueError(
            "outputs and linear must be finite, and linear not zero, at some record; nothing to be relative to."
        )
    relative = np.full(len(mine), np.nan)
    relative[good] = np.linalg.norm(mine[good] - theirs[good], axis=1) / scale
    longest = float(np.linalg.norm(mine[good], axis=1).max())
    floor = rounding * (scale + longest) / scale
    return Deviation(relative, floor, good & (np.nan_to_num(relative) > floor))


def _runs(widths: ArrayLike, changes: ArrayLike) -> tuple[Float[np.ndarray, " w"], Float[np.ndarray, "w seeds"]]:
    sizes, values = _checks.numbers("widths", widths), _checks.numbers("changes", changes)
    if sizes.ndim != 1 or values.ndim not in (1, 2) or values.shape[:1] != sizes.shape or not values.size:
        raise ValueError(
            f"widths must have shape (w,) and changes (w,) or (w, seeds); got {sizes.shape} and {values.shape}."
        )
    for name, array in (("widths", sizes), ("changes", values)):
        _checks.finite(name, array)
        if (array <= 0).any():
            hint = " A change of zero is no laziness: nothing was trained, or less than rounding shows."
            raise ValueError(f"{name} must be > 0; got {array.min():g}.{hint if name == 'changes' else ''}")
    if np.unique(sizes).size < 2:
        raise ValueError(
            f"widths must hold at least two different widths; got {sizes.tolist()}. Train a wider network."
        )
    return sizes, values.reshape(len(sizes), -1)
