"""How complex is a function in the sense of the theorems on recurrent networks?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ntkseq import _checks, _display
from ntkseq.concepts import _sums
from ntkseq.concepts._families import FAMILIES
from ntkseq.concepts._target import Target
from ntkseq.concepts.series import Series, get

_EPS = float(np.finfo(np.float64).eps)
_POWER = 1.75

# (i+1)^1.75 of (concepts.2), and i^(-i/2) of (concepts.3), whose base goes into R
_SAMPLES = _sums.Weight(
    lambda i: _POWER * np.log1p(i),
    lambda i, stride: _POWER * math.log1p(stride / (i + 1)),
)
_ROOT = _sums.Weight(
    lambda i: -0.5 * i * np.log(np.maximum(i, 1)),
    lambda i, stride: -0.5 * (stride * math.log(i + stride) + (i * math.log1p(stride / i) if i else 0.0)),
)


@dataclass(frozen=True)
class Complexity:
    """C_s or C_eps of a function, or the largest over a set. It is often astronomically large: hence the logarithm.

    Attributes:
        log: its natural logarithm; -inf for the zero function, inf beyond the radius of convergence.
        log_error: how far `log` may be off, rounding and the cut-off sum included.
        kind: "samples" (C_s) or "epsilon" (C_eps).
        terms: the logarithms of its summands: {"sum"} of C_s, {"powers", "roots"} of C_eps.
        series: the function that attains it.
        scale: norm of that function's direction; the function counts as phi(scale z).
        R, C_star, eps: what it was asked for.
        reason: why `value` is inf; "" if it is not.
    """

    log: float
    log_error: float
    kind: str
    terms: Mapping[str, float]
    series: Series
    scale: float
    R: float
    C_star: float
    eps: float | None
    reason: str = ""

    __repr__ = _display.printed

    references = ("panigrahi2021rnn",)

    @property
    def value(self) -> float:
        """The number itself; inf where it overflows float64."""
        return _exp(self.log)

    def __str__(self) -> str:
        name = "C_s" if self.kind == "samples" else f"C_eps(eps = {self.eps:g})"
        shown = f"{self.value:.6g}" if math.isfinite(self.value) else f"e^{self.log:.6g}"
        if self.log == math.inf:
            shown = "inf"
        why = f" ({self.reason})" if self.reason else ""
        return f"{name} = {shown}{why} at R = {self.R:g}, C* = {self.C_star:g}, by {self.series!r}"


def complexity(
    of: Any,
    R: float,
    *,
    kind: str = "samples",
    eps: float | None = None,
    C_star: float = 1e4,
) -> Complexity:
    """The Taylor complexity of a function, or the largest over the functions of a target or a list.

    C_s(phi, R)   = C* sum_i (i+1)^1.75 R^i |c_i|
    C_eps(phi, R) = sum_i [ (C* R)^i + (sqrt(log(1/eps)) C* R / sqrt(i))^i ] |c_i|,  2 |c_0| at i = 0

    C_s sets the accuracy that can be reached, C_eps the width and the number of examples, through polynomials whose
    degrees and constants the papers do not give. No number of examples follows from it.

    Args:
        of: a Series, its name, a target, or a list of series. A direction of norm b in a target counts as one of norm
            1 with the function phi(b z), which is C(phi, b R).
        R: radius, >= 0. Which one a theorem asks for differs: see docs/theory/concepts.md.
        kind: "samples" for C_s, "epsilon" for C_eps.
        eps: accuracy, in (0, 1); for C_eps only.
        C_star: the "large constant" of the paper, > 0.

    Raises:
        ValueError: not analytic, no series, R or C* out of range, or eps missing or superfluous.

    Reference: panigrahi2021rnn, Definition 2.1.

    Example:
        >>> print(complexity("sin", 1.0, C_star=1.0))
        C_s = 5.44859 at R = 1, C* = 1, by sin()
        >>> print(complexity("exp", 1.0, kind="epsilon", eps=0.01))
        C_eps(eps = 0.01) = e^10000 (overflows float64; use log) at R = 1, C* = 10000, by exp()
    """
    _checks.choice("kind", kind, ("samples", "epsilon"))
    _checks.not_a_key("of", of)
    R, C_star = _checks.nonnegative("R", R), _checks.nonnegative("C_star", C_star, positive=True)
    if (eps is None) == (kind == "epsilon"):
        raise ValueError(
            f'eps belongs to kind="epsilon", and to that only; got eps={_checks.shown(eps)} with kind={kind!r}.'
        )
    if eps is not None:
        eps = _checks.probability("eps", eps)
    found = [
        _samples(series, scale, R, C_star) if eps is None else _epsilon(series, scale, R, C_star, eps)
        for series, scale in _members(of)
    ]
    return max(found, key=lambda each: each.log)


def _members(of: Any) -> tuple[tuple[Series, float], ...]:
    """The functions to look at, each once, with the norms of their directions."""
    if isinstance(of, Target):
        return tuple(dict.fromkeys(of.members))
    if isinstance(of, Iterable) and not isinstance(of, str):
        listed = tuple((get(one, "of"), 1.0) for one in of)
        if not listed:
            raise ValueError("of must hold at least one series; got none.")
        return listed
    return ((get(of, "of"), 1.0),)


def _samples(series: Series, scale: float, R: float, C_star: float) -> Complexity:
    found = series.log_sum(scale * R, weight=_SAMPLES)  # (concepts.2)
    log, error = _middle(found.lower + math.log(C_star), found.upper + math.log(C_star))
    complexity = Complexity(log, error, "samples", {"sum": log}, series, scale, R, C_star, None)
    return _explained(complexity, "R", scale * R)


def _epsilon(series: Series, scale: float, R: float, C_star: float, eps: float) -> Complexity:
    base = C_star * scale * R
    powers = _total(series, base)
    root = base * math.sqrt(math.log(1 / eps))
    # (concepts.3); the second sum converges for every series, but means nothing where the first does not
    roots = powers if powers.lower == math.inf else series.log_sum_anywhere(root, start=0, weight=_ROOT)
    log, error = _middle(float(np.logaddexp(powers.lower, roots.lower)), float(np.logaddexp(powers.upper, roots.upper)))
    terms = {"powers": _middle(powers.lower, powers.upper)[0], "roots": _middle(roots.lower, roots.upper)[0]}
    return _explained(Complexity(log, error, "epsilon", terms, series, scale, R, C_star, eps), "C* R", base)


def _total(series: Series, R: float) -> _sums.LogSum:
    """log sum_i |c_i| R^i in closed form, (concepts.4), with its error."""
    if series.degree is not None or R == 0 or series.radius <= R:
        return series.log_sum(R)
    log_total = FAMILIES[series.name].log_total
    value, log_factor = log_total(R), math.log(abs(series.factor))
    # R is a rounded product. log_total is convex in log R, so its slope there is below a chord's to the right
    step = min(0.5, math.log(series.radius / R) / 2)
    slope = (log_total(R * math.exp(step)) - value) / step if step > 4 * _EPS else math.inf
    error = 8 * _EPS * (1 + abs(value) + abs(log_factor) + slope)
    return _sums.LogSum(value + log_factor - error, value + log_factor + error, 0)


def _middle(lower: float, upper: float) -> tuple[float, float]:
    if lower == upper:
        return lower, 0.0
    return (lower + upper) / 2, (upper - lower) / 2 + _EPS * abs(upper)


def _explained(found: Complexity, name: str, radius: float) -> Complexity:
    if found.log == math.inf:
        limit = found.series.radius
        at = f"{name} = {radius:.6g}" if found.scale == 1 else f"{name} times the norm {found.scale:.3g} = {radius:.6g}"
        return replace(found, reason=f"the series of {found.series.name} converges below {limit:.6g}; {at}")
    return replace(found, reason="overflows float64; use log") if found.value == math.inf else found


def _exp(log: float) -> float:
    try:
        return math.exp(log)
    except OverflowError:
        return math.inf
