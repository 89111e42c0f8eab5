"""How far can the errors of the eigenvalues move an effective rank?"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ntkseq.spectra import counting, entropy
from ntkseq.spectra.measures import Choice, rank_of, shrunk


def rank_bounds(s: Float[np.ndarray, " n"], errors: Float[np.ndarray, " n"], choice: Choice) -> tuple[float, float]:
    """Lower and upper bound of the effective rank of a PSD matrix whose eigenvalues lie within `errors` of `s`.

    Each exact value lies in [low, high] = [max(s - error, 0), s + error]. Monotone definitions are evaluated at the
    ends, those that count in exact arithmetic; a quotient is bounded by bounding numerator and denominator apart; the
    entropy moves by at most

        |H(p) - H(q)| <= T log(n - 1) + h(T),   T = |p - q|_1 / 2 <= sum(errors) / sum(s),   h the binary entropy,

    (for the energies s^2 the errors are 2 s error + error^2), and by no more than the box of all [low, high] lets it
    (`entropy.bounds`). The bounds hold for every choice of exact values; they
    are not the least such bounds.

    Args:
        s: values, descending, >= 0.
        errors: bound of |s - exact| per value.
        choice: which effective rank.

    Returns:
        (lower, upper); (nan, nan) where r_k or R_k may be undefined because value k + 1 may be 0.

    Reference: audenaert2007, theorem 1 (the entropy).
    """
    kind, option, n = choice.kind, choice.option, s.size
    if kind in ("r", "R"):
        assert option is not None
        skip = int(option)
        if skip >= n or s[skip] <= errors[skip]:
            return float("nan"), float("nan")
        rest = Choice({"r": "intrinsic", "R": "participation"}[kind])
        return rank_bounds(s[skip:], errors[skip:], rest)
    scale = float(s[0] + errors[0])
    if scale == 0:
        return 0.0, 0.0
    if not np.isfinite(scale):
        return 0.0, float(n)
    ridge = kind in ("ridge", "ridge2")
    if ridge or kind in ("numerical", "energy"):
        low, high = _ends(s, errors)
    else:
        s, errors = s / scale, errors / scale
        low, high = np.maximum(s - errors, 0.0), s + errors
    if ridge:
        assert option is not None
        power = 1 if kind == "ridge" else 2
        lower, upper = (float(np.sum(shrunk(side, option) ** power)) for side in (low, high))
        tiny = n * float(np.finfo(np.float64).tiny)  # what falls below the range is rounded to 0
        lower, upper = lower - tiny, upper + tiny * (high[0] > 0)
    elif low[0] == 0:  # not even the largest is resolved: the exact matrix may be 0
        return 0.0, float(n)
    elif kind == "numerical":
        if option is None:
            return float(np.sum(low > 0)), float(n)
        if option >= 1:
            return 0.0, 0.0
        few, many = counting.above(low, option, high[0]), counting.above(high, option, low[0])
        return float(max(few, 1)), float(many)  # the largest counts, wherever it lies
    elif kind == "energy":
        assert option is not None
        return float(counting.reach(high, low, option)), float(counting.reach(low, high, option))
    elif kind in ("stable", "intrinsic"):
        power = 2 if kind == "stable" else 1
        lower = 1.0 + float(np.sum((low[1:] / high[0]) ** power))
        upper = 1.0 + float(np.sum(np.minimum(high[1:] / low[0], 1.0) ** power))
    elif kind in ("participation", "energy_participation"):
        power = 1 if kind == "participation" else 2
        a, b = low**power, high**power
        lower = float(np.sum(a) ** 2 / np.sum(b**2))
        with np.errstate(divide="ignore", over="ignore"):  # a fourth power of the largest may be too small for a float
            upper = float(np.sum(b) ** 2 / np.sum(a**2))
    else:
        moved, total = errors, np.sum(s)
        if kind == "energy_entropy":
            moved, total = 2.0 * s * errors + errors**2, np.sum(s**2)
        distance = float(np.sum(moved) / total)
        change = _entropy_change(distance, n)
        value = rank_of(s, choice)
        least, most = entropy.bounds(low, high) if kind == "entropy" else entropy.bounds(low**2, high**2)
        lower = max(value * np.exp(-change), np.exp(least))
        upper = min(value * np.exp(change), np.exp(most))
    slack = 8.0 * n * np.finfo(np.float64).eps  # the sums above are rounded too
    floor = 0.0 if ridge else 1.0
    return float(max(floor, lower * (1.0 - slack))), float(min(n, upper * (1.0 + slack)))


def _entropy_change(distance: float, n: int) -> float:
    """Bound of |H(p) - H(q)| for distributions on n points at total variation `distance`."""
    if n == 1:
        return 0.0
    if distance >= 1.0 - 1.0 / n:
        return float(np.log(n))
    if distance == 0.0:
        return 0.0
    binary = -distance * np.log(distance) - (1.0 - distance) * np.log1p(-distance)
    return float(distance * np.log(n - 1) + binary)


def _ends(s: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[max(s - error, 0), s + error], rounded outwards."""
    low, high = np.nextafter(s - errors, -np.inf), np.nextafter(s + errors, np.inf)
    return np.maximum(np.where(errors > 0, low, s), 0.0), np.where(errors > 0, high, s)
