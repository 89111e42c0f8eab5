"""What do pairs and probes say of a sum over all eigenvalues? Ranks, log-determinants and counts, as intervals."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ntkseq import _checks
from ntkseq.spectra.base import Interval
from ntkseq.spectra.measures import Choice
from ntkseq.spectra.quadrature import trace_bounds

if TYPE_CHECKING:
    from ntkseq.spectra.partial import Partial

Function = Callable[[Any], Any]


def total(part: Partial, f: Function, *, bernstein: bool, change: float) -> tuple[float, float, float]:
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


def rank(part: Partial, choice: Choice) -> Interval:
    """The effective rank by one definition; see `measures.effective_rank`."""
    lower, estimate, upper = _rank(part, choice)
    zero = choice.kind in ("ridge", "ridge2", "numerical") or part.max_eigenvalue.lower <= 0
    least = 0.0 if zero else 1.0
    lower, upper = max(lower, least), min(upper, float(part.n))
    return _interval(lower, estimate, upper)


def _interval(lower: float, estimate: float, upper: float) -> Interval:
    """Resolved: known within a factor of two."""
    estimate = min(max(estimate, lower), upper)
    return Interval(float(lower), float(estimate), float(upper), bool(upper <= 2 * lower))


def _rank(part: Partial, choice: Choice) -> tuple[float, float, float]:
    kind, option = choice.kind, choice.option
    top = part.max_eigenvalue
    if kind in ("ridge", "ridge2"):
        assert option is not None
        return _ridge(part, option, 1 if kind == "ridge" else 2)
    if top.lower <= 0:
        return (0.0, 0.0, 0.0) if part.values[0] + part.errors[0] == 0 else (0.0, 1.0, float(part.n))
    if kind == "numerical":
        if option is None:
            found = count(part, part.rounding)
            return found.lower, found.estimate, found.upper
        if option >= 1:
            return 0.0, 0.0, 0.0
        few = count(part, math.nextafter(option * top.upper, math.inf))
        many = count(part, max(math.nextafter(option * top.lower, 0.0), 0.0))
        # the largest counts, wherever it lies
        return max(few.lower, 1.0), few.estimate, many.upper
    if kind == "intrinsic":
        trace = _trace(part)
        return trace.lower / top.upper, trace.estimate / top.estimate, trace.upper / top.lower
    if kind == "stable":
        low, middle, high = _norm(part)
        return _square(low / top.upper), _square(middle / top.estimate), _square(high / top.lower)
    if kind == "participation":
        trace, (low, middle, high) = _trace(part), _norm(part)
        low, middle = (top.lower, max(middle, top.estimate)) if low <= 0 else (low, middle)  # |K|_F >= lambda_1
        return _square(max(trace.lower, 0) / high), _square(trace.estimate / middle), _square(trace.upper / low)
    if kind == "entropy":
        return _entropy(part)
    raise ValueError(
        f'effective rank of kind {kind!r} needs every eigenvalue; only part of them is known. Take "entropy", '
        '"stable", "intrinsic", "participation", "numerical" or "ridge", or spectrum(K, method="dense").'
    )


def _ridge(part: Partial, ridge: float, power: int) -> tuple[float, float, float]:
    """sum (lambda / (lambda + ridge))^power: a power of 2 is monotone only."""
    if part.tail.lower <= -0.5 * ridge:
        raise ValueError(
            f"ridge must be larger than twice the rounding of K, {part.rounding:.2g}; got {ridge:.2g}. Pass a larger "
            "ridge, or compute K in float64."
        )

    def f(x: Any) -> Any:
        return x / (x + ridge) if power == 1 else (np.maximum(x, 0.0) / (np.maximum(x, 0.0) + ridge)) ** 2

    change = power * _moved(part, lambda x: x / (x + ridge))
    lower, estimate, upper = total(part, f, bernstein=power == 1, change=change)
    if power == 1:  # Jensen, both ways, from the trace and the norm of the rest
        known, rest = float(np.sum(f(np.concatenate([part.values, part.bottom])))), part.tail
        if math.isfinite(rest.trace):
            high = rest.trace + rest.trace_error
            upper = min(upper, known + rest.n * high / (high + rest.n * ridge) + change if rest.n else upper)
            low = rest.trace - rest.trace_error
            if math.isfinite(rest.squares) and low > 0 and rest.lower >= 0:
                lower = max(lower, known + low**2 / (rest.squares + rest.squares_error + ridge * low) - change)
    return lower, estimate, upper


def log_det(part: Partial, ridge: float) -> Interval:
    """log det(I + K / ridge)."""
    ridge = _checks.nonnegative("ridge", ridge, positive=True)
    if part.tail.lower <= -0.5 * ridge:
        raise ValueError(
            f"ridge must be larger than twice the rounding of K, {part.rounding:.2g}; got {ridge:.2g}. Pass a larger "
            "ridge, or compute K in float64."
        )

    def f(x: Any) -> Any:
        return np.log1p(x / ridge)

    lower, estimate, upper = total(part, f, bernstein=True, change=_moved(part, f))
    lower = max(lower, 0.0)
    return _interval(lower, estimate, upper)


def _moved(part: Partial, f: Function) -> float:
    """How far a sum of a concave f can be off: n values move by part.nuclear in all, the furthest where f is steep."""
    start = min(part.tail.lower, 0.0)
    return part.n * float(f(start + part.nuclear / part.n) - f(start))


def count(part: Partial, above: float) -> Interval:
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


def _square(x: float) -> float:
    return x * x  # not **, which raises where this is inf


def _trace(part: Partial) -> Interval:
    if not math.isfinite(part.trace.upper):
        raise ValueError("this effective rank needs the trace, which is not known. Pass diagonal= to grams.Operator.")
    return part.trace


def _norm(part: Partial) -> tuple[float, float, float]:
    """The Frobenius norm of the exact matrix; not its square, which may leave the range."""
    if not math.isfinite(part.norm_fro):
        raise ValueError("this effective rank needs the Frobenius norm, which an Operator does not know.")
    norm, error = part.norm_fro, part.frobenius
    return max(norm - error, 0.0), norm, norm + error


def _entropy(part: Partial) -> tuple[float, float, float]:
    """exp of H = log T - (1/T) sum lambda log lambda.

    With c the largest value and F = sum f(lambda), f(x) = x log(e c / x) >= 0, which grows up to x = c and is concave:
    sum lambda log lambda = T (1 + log c) - F.
    """
    trace = _trace(part)
    c = max(part.max_eigenvalue.upper, part.tail.upper)

    def f(x: Any) -> Any:
        x = np.clip(x, 0.0, c)
        return np.where(x > 0, x * np.log(np.e * c / np.where(x > 0, x, 1.0)), 0.0)

    def shifted(x: Any) -> Any:
        return f(np.asarray(x) - part.tail.lower)

    move = min(part.nuclear / part.n, c)
    found = [total(part, f, bernstein=False, change=float(part.n * f(move)))]
    down = max(-part.tail.lower, 0.0)
    if part.tail.lower <= 0:
        move = min(part.nuclear / part.n + down, c)
        found.append(total(part, shifted, bernstein=True, change=float(part.n * f(move))))
    elif part.tail.n:
        found.append(total(part, f, bernstein=True, change=float(part.n * f(move))))
    lower, upper = max(one[0] for one in found), min(one[2] for one in found)
    estimate = found[-1][1]

    def entropy(F: float, T: float) -> float:
        return math.exp(min(math.log(T) - 1.0 - math.log(c) + F / T, 700.0))

    if trace.lower <= 0:
        return 1.0, min(float(part.n), entropy(estimate, trace.estimate)), float(part.n)
    # F / T + log T falls in T below F and grows above: take the ends of both
    ends = [entropy(F, T) for F in (lower, upper) for T in (trace.lower, trace.upper)]
    if trace.lower < lower < trace.upper:
        ends.append(entropy(lower, lower))
    return min(ends), entropy(estimate, trace.estimate), max(ends)
