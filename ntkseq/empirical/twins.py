"""Which sites have the same delta? Those whose results are only added up: d f / d a = d f / d b for a + b."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ntkseq.empirical.tags import Place
from ntkseq.empirical.trace import Equation, Jaxpr, is_literal


class Sums:
    """Follows the equations of one jaxpr in their order.

    A sum stands for a site if the site's result goes into it and nowhere else, as does what is added to a sum.
    """

    def __init__(self, jaxpr: Jaxpr) -> None:
        operands = [v for equation in jaxpr.eqns for v in equation.invars] + list(jaxpr.outvars)
        self._uses = Counter(v for v in operands if not is_literal(v))
        self._stands_for: dict[Any, Place] = {}

    def site(self, equation: Equation, place: Place) -> None:
        """This equation is a site."""
        self._stands_for[equation.outvars[0]] = place

    def seen(self, equation: Equation) -> dict[Place, Place]:
        """Sites that prove to have the delta of an earlier one: {place: earlier place}."""
        if equation.primitive.name != "add":
            return {}
        (out,), found = equation.outvars, []
        for v in equation.invars:
            if is_literal(v) or self._uses[v] != 1 or v not in self._stands_for:
                continue
            if v.aval.shape == out.aval.shape and v.aval.dtype == out.aval.dtype:
                found.append(self._stands_for[v])
        if not found:
            return {}
        self._stands_for[out] = found[0]
        return dict.fromkeys(found[1:], found[0])


def earliest(place: Place, twins: dict[Place, Place]) -> Place:
    """The site that stands for all those with its delta."""
    while place in twins:
        place = twins[place]
    return place
