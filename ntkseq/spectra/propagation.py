"""How far can the errors of the eigenvalues move an effective rank?"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ntkseq.spectra.measures import Choice, rank_of


def rank_bounds(s: Float[np.ndarray, " n"], errors: Float[np.ndarray, " n"], choice: Choice) -> tuple[float, float]:
    """Lower and upper bound of the effective rank of a PSD matrix whose eigenvalues lie within `errors` of `s`.

    Each exact value lies in [low, high] = [max(s - error, 0), s + error]. Monotone definitions are evaluated at the
    ends; a quotient is bounded by bounding numerator and denominator apart; the entropy moves by at most

        |H(p) - H(q)| <= T log(n - 1) + h(T),   T = |p - q|_1 / 2 <= sum(errors) / sum(s),   h the binary entropy,

    (for the energies s^2 the errors are 2 s error + error^2). The bounds hold for every choice of exact values; they
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
    ridge = kind in ("ridge", "ridge2")
    if not np.isfinite(scale):
        return 0.0, float(n)
    unit = 1.0 if ridge else scale
    s, errors = s / unit, errors / unit
    low, high = np.maximum(s - errors, 0.0), s + errors
    if ridge:
        assert option is not None
        power = 1 if kind == "ridge" else 2
        lower, upper = (float(np.sum((side / (side + option)) ** power)) for side in (low, high))
    elif low[0] == 0:  # not even the largest is resolved: the exact matrix may be 0
        return 0.0, float(n)
    elif kind == "numerical":
        if option is None:
            return float(np.sum(low > 0)), float(n)
        return float(np.sum(low > option * high[0])), float(np.sum(high > option * low[0]))
    elif kind == "energy":
        assert option is not None
        slack = 4.0 * n * np.finfo(np.float64).eps
        return _energy(high, low, option * (1.0 - slack)), _energy(low, high, min(option * (1.0 + slack), 1.0))
    elif kind in ("stable", "intrinsic"):
        power = 2 if kind == "stable" else 1
        lower = 1.0 + float(np.sum((low[1:] / high[0]) ** power))
        upper = 1.0 + float(np.sum(np.minimum(high[1:] / low[0], 1.0) ** power))
    elif kind in ("participation", "energy_participation"):
        power = 1 if kind == "participation" else 2
        a, b = low**power, high**power
        lower = float(np.sum(a) ** 2 / np.sum(b**2))
        upper = float(np.sum(b) ** 2 / np.sum(a**2))
    else:
        moved, total = errors, np.sum(s)
        if kind == "energy_entropy":
            moved, total = 2.0 * s * errors + errors**2, np.sum(s**2)
        distance = float(np.sum(moved) / total)
        change = _entropy_change(distance, n)
        value = rank_of(s, choice)
        lower, upper = value * np.exp(-change), value * np.exp(change)
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


def _energy(leading: np.ndarray, trailing: np.ndarray, quantile: float) -> float:
    """The least k with a share of energy >= quantile, the first k values from `leading`, the others from `trailing`."""
    a = np.cumsum(leading**2)
    b = np.append(np.cumsum(trailing[::-1] ** 2)[::-1][1:], 0.0)
    return float(np.argmax(a >= quantile * (a + b)) + 1)  # at k = n the share is 1
