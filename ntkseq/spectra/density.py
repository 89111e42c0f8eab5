"""What do pairs and probes say of a sum over all eigenvalues? Sums, log-determinants and counts, as intervals."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ntkseq import _checks
from ntkseq._types import AnyArray
from ntkseq.spectra.interval import Interval
from ntkseq.spectra.quadrature import trace_bounds

if TYPE_CHECKING:
    from ntkseq.spectra.partial import PartialSpectrum

Function = Callable[[Any], Any]


def total(part: PartialSpectrum, f: Function, *, bernstein: bool, change: float) -> tuple[float, float, float]:
    """(lower, estimate, upper) of sum f(lambda_i) over all eigenvalues, f nondecreasing.

    Args:
        part: pairs and probes.
        f: of an array of eigenvalues; defined down to `part.tail.lower`.
        bernstein: its derivatives alternate in sign.
        change: bound of |sum f(exact) - sum f(held, without residuals)|.
    """
    tail = part.tail
    known = float(np.sum(f(np.concatenate([part.values, part.bottom]))))
    if tail.n == 0:
        return known - change, known, known + change
    start, end = (float(f(np.array(end))) for end in (tail.lower, tail.upper))
    spread = tail.upper - tail.lower
    slope, largest = 0.0, max(end - start, 0.0)
    if bernstein and math.isfinite(tail.trace) and spread > 0:
        # f is concave: above its chord, whose sum is known from the trace
        slope = largest / spread
        grid = np.append(0.0, np.geomspace(1e-9, 1.0, 2001))
        largest = 1.02 * float(np.max(f(tail.lower + spread * grid) - start - largest * grid)) + 1e-15 * largest
    low, high = (tail.rule.bernstein if bernstein else tail.rule.monotone)(f)
    pairs = list(zip(tail.rule.nodes, tail.rule.weights, strict=True))
    mass = float(np.mean([w.sum() for _, w in pairs]))
    chord = start * mass + slope * float(np.mean([w @ (x - tail.lower) for x, w in pairs]))
    base, error = known + tail.n * start, change
    if slope:
        base += slope * (tail.trace - tail.n * tail.lower)
        error += slope * tail.trace_error
    lower, upper = trace_bounds(low - chord, high - chord, largest, tail.rule.probes, 0.5 * tail.delta)
    gauss = float(np.mean([w @ f(x) for x, w in pairs])) - chord
    estimate = gauss * tail.n / mass if mass else 0.0
    upper = min(upper, tail.n * largest)
    slack = 1e-12 * (abs(base) + upper)
    lower, upper = base + lower - error - slack, base + upper + error + slack
    return lower, min(max(base + estimate, lower), upper), upper


def _interval(lower: float, estimate: float, upper: float) -> Interval:
    estimate = min(max(estimate, lower), upper)
    return Interval(float(lower), float(estimate), float(upper))


def check_reg(part: PartialSpectrum, reg: float) -> None:
    """Raise unless x + reg stays away from 0 for all that an eigenvalue may be."""
    if part.tail.lower <= -0.5 * reg:
        raise ValueError(
            f"reg must be larger than twice the rounding of K, {part.rounding:.2g}; got {reg:.2g}. Pass a larger "
            "reg, or compute K in float64."
        )


def log_det(part: PartialSpectrum, reg: float) -> Interval:
    """log det(I + K / reg)."""
    reg = _checks.nonnegative("reg", reg, positive=True)
    check_reg(part, reg)

    def f(x: AnyArray) -> Any:
        return np.log1p(x / reg)

    lower, estimate, upper = total(part, f, bernstein=True, change=moved(part, f))
    return _interval(max(lower, 0.0), estimate, upper)


def moved(part: PartialSpectrum, f: Function) -> float:
    """How far a sum of a concave f can be off: n values move by part.nuclear in all, the furthest where f is steep."""
    start = min(part.tail.lower, 0.0)
    return part.n * float(f(start + part.nuclear / part.n) - f(start))


def count(part: PartialSpectrum, above: float) -> Interval:
    """The number of eigenvalues > above."""
    above = _checks.nonnegative("above", above)
    error = part.spectral
    # an eigenvalue of K above the level is one of the held matrix above level - error; a leading one has its own error
    lower, estimate, upper = (float(np.sum(part.values + e > above)) for e in (-part.errors, 0.0, part.errors))
    extra = float(np.sum(part.bottom > above)), float(np.sum(part.bottom + error > above))
    tail = part.tail
    if tail.n:
        low = tail.rule.monotone(lambda x: (np.asarray(x) > above + error) * 1.0)[0]
        high = tail.rule.monotone(lambda x: (np.asarray(x) > above - error) * 1.0)[1]
        few, many = trace_bounds(low, high, 1.0, tail.rule.probes, 0.5 * tail.delta)
        if tail.upper <= above - error:
            few = many = 0.0
        if tail.lower > above + error:
            few = many = float(tail.n)
        middle = np.mean([np.sum(w[x > above]) for x, w in zip(tail.rule.nodes, tail.rule.weights, strict=True)])
        lower, upper = lower + math.ceil(few - 1e-9), upper + math.floor(min(many, tail.n) + 1e-9)
        estimate += float(np.round(middle))
    lower, upper = lower, upper + extra[1]
    return _interval(lower, estimate + extra[0], upper)


def trace(part: PartialSpectrum) -> Interval:
    """The trace of the exact matrix."""
    if not math.isfinite(part.trace.upper):
        raise ValueError("this effective rank needs the trace, which is not known. Pass diagonal= to grams.Operator.")
    return part.trace


def norm(part: PartialSpectrum) -> tuple[float, float, float]:
    """The Frobenius norm of the exact matrix; not its square, which may leave the range."""
    if not math.isfinite(part.norm_fro):
        raise ValueError("this effective rank needs the Frobenius norm, which an Operator does not know.")
    held, error = part.norm_fro, part.frobenius
    return max(held - error, 0.0), held, held + error
