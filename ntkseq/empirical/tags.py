"""What is known of a value on the way through a function, and of an equation that is about to be run?"""

from __future__ import annotations

import dataclasses
from typing import Any

from ntkseq.empirical.sites import Loop
from ntkseq.empirical.trace import Equation, Jaxpr, evaluate
from ntkseq.empirical.views import View

DATA = "data"
Place = tuple[Any, ...]
"""Where an equation stands: indices of equations from the outside in, with a branch of a conditional in between."""


@dataclasses.dataclass(frozen=True)
class Param:
    """A value that depends on parameters only: on which trained leaves, and the view it is, if it is one."""

    leaves: frozenset[int]
    view: View | None = None


@dataclasses.dataclass(frozen=True)
class Shifted:
    """value = view of a leaf + rest, where rest depends on the example."""

    base: Any
    param: Param
    rest: Any


@dataclasses.dataclass(frozen=True)
class Results:
    """What a jaxpr gives: its values with their tags, and the records of the sites on the way."""

    values: list[Any]
    tags: list[Any]
    records: dict[Place, Any]


@dataclasses.dataclass(frozen=True)
class Running:
    """An equation at the values of its operands."""

    jaxpr: Jaxpr
    equation: Equation
    values: list[Any]
    place: Place
    loops: tuple[Loop, ...]

    def evaluate(self) -> list[Any]:
        return evaluate(self.jaxpr, self.equation, self.values)

    def plainly(self, tag: str | None) -> Results:
        return Results(self.evaluate(), [tag] * len(self.equation.outvars), {})

    def at(self, operand: int, value: object) -> Running:
        """The same equation with another value in one operand."""
        return dataclasses.replace(self, values=[value if k == operand else v for k, v in enumerate(self.values)])
