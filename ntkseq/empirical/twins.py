"""Which sites have the same delta? Those whose results are only added up: d f / d a = d f / d b for a + b.

Results that are scaled by a number before they are added, as in h W / sqrt(n) + u U / sqrt(d), have the same delta up
to a ratio.
"""

from __future__ import annotations

import cmath
from collections import Counter
from typing import Any

import numpy as np

from ntkseq._precision import is_complex
from ntkseq.empirical.tags import Place
from ntkseq.empirical.trace import Equation, Jaxpr, is_literal

Twins = dict[Place, tuple[Place, complex]]
"""Site -> an earlier site, and the ratio of its delta to the other's."""


class Sums:
    """Follows the equations of one jaxpr in their order.

    A sum stands for a site if the site's result goes into it and nowhere else, as does what is added to a sum.
    """

    def __init__(self, jaxpr: Jaxpr) -> None:
        operands = [v for equation in jaxpr.eqns for v in equation.invars] + list(jaxpr.outvars)
        self._uses = Counter(v for v in operands if not is_literal(v))
        self._stands_for: dict[Any, tuple[Place, complex]] = {}

    def site(self, equation: Equation, place: Place) -> None:
        """This equation is a site."""
        self._stands_for[equation.outvars[0]] = (place, 1.0)

    def seen(self, equation: Equation) -> Twins:
        """Sites that prove to have the delta of an earlier one."""
        found = [self._followed(equation, k) for k in range(len(equation.invars))]
        standing = [one for one in found if one is not None]
        if not standing:
            return {}
        (first, factor), *rest = standing
        self._stands_for[equation.outvars[0]] = (first, factor)
        return {place: (first, other / factor) for place, other in rest}

    def _followed(self, equation: Equation, k: int) -> tuple[Place, complex] | None:
        """The site that operand k stands for, with the number that the equation multiplies it by."""
        v, name = equation.invars[k], equation.primitive.name
        if is_literal(v) or self._uses[v] != 1 or v not in self._stands_for:
            return None
        out = equation.outvars[0].aval
        if v.aval.shape != out.shape or v.aval.dtype != out.dtype:
            return None
        place, factor = self._stands_for[v]
        if name in ("add", "sub"):
            return place, -factor if name == "sub" and k == 1 else factor
        if name == "neg":
            return place, -factor
        if name == "mul" or (name == "div" and k == 0):
            other = equation.invars[1 - k]
            if is_literal(other) and np.size(other.val) == 1:
                number = (complex if is_complex(out.dtype) else float)(np.reshape(other.val, ()))
                factor = factor * number if name == "mul" else factor / number if number else 0.0
                return (place, factor) if factor and cmath.isfinite(factor) else None
        return None


def earliest(place: Place, twins: Twins) -> tuple[Place, complex]:
    """The site that stands for all those with its delta, and the ratio of this one's delta to that one's."""
    ratio = 1.0
    while place in twins:
        place, factor = twins[place]
        ratio *= factor
    return place, ratio
