"""How a bound of a linearised network reads its outputs: one, several numbers, or the largest as a class."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float

from ntkseq import _checks
from ntkseq._types import ArrayLike
from ntkseq.bounds.class_margins import ClassSystem, class_margins, classes, simplex
from ntkseq.bounds.gibbs_losses import Argmax, GibbsLoss, ZeroOne
from ntkseq.bounds.system import System


@dataclasses.dataclass(frozen=True, eq=False)
class Reading:
    """Labels of the rows of a Gram matrix, the w rows of an example together, and the loss that is taken of them.

    Attributes:
        targets: a label for each row, (n w,).
        loss: of a drawn function.
        width: w.
        vertices: of classes, their coordinates, (o, w): the rows are those of f times them.
        margins: of more than two classes, (n, o - 1, w), see `ClassSystem`.
    """

    targets: Float[np.ndarray, " rows"]
    loss: GibbsLoss
    width: int = 1
    vertices: Any = None
    margins: Any = None

    def system(self, known: System, values: Any) -> System:
        """The Gram matrix of the rows with labels, read by what decides; `values` of f, None where it is left out."""
        centre = None if values is None else values.reshape(-1, 1)
        if self.margins is None:
            return dataclasses.replace(known, centre=centre, width=self.width)
        parts = {one.name: getattr(known, one.name) for one in dataclasses.fields(System) if one.init}
        return ClassSystem(**parts | {"centre": centre, "width": self.width, "margins": self.margins})

    @property
    def references(self) -> tuple[str, ...]:
        """Of what the loss of several classes is read with."""
        return () if self.margins is None else ("slepian1962",)

    def quantity(self, of_rows: str, predictor: str) -> str:
        """What is bounded, as printed."""
        if self.vertices is not None:
            return Argmax().quantity("f" if predictor == "gibbs" else "mean f")
        return of_rows if self.width == 1 else f"{of_rows}, the mean over {self.width} outputs"

    def words(self, applies_to: str) -> str:
        """What the bound speaks of: of two classes the sign is that of their difference."""
        return applies_to if self.vertices is None else applies_to.replace("sign of the mean", "largest of the means")


def reading(y: ArrayLike, n: int, outputs: int, loss: GibbsLoss) -> Reading:
    """Labels at the door, for an f of so many outputs.

    Raises:
        ValueError: labels or a loss that do not fit them.
    """
    if isinstance(loss, Argmax):
        if outputs == 1:
            raise ValueError(
                "search must have loss='zero-one' for an f of one output, whose sign is the class; got 'argmax'."
            )
        own, vertices = classes(y, n, outputs), simplex(outputs)
        targets = vertices[own].ravel()
        if outputs == 2:  # the sign of the one coordinate is the class
            return Reading(targets, ZeroOne(), 1, vertices)
        return Reading(targets, loss, outputs - 1, vertices, class_margins(own, vertices))
    if isinstance(loss, ZeroOne) and outputs > 1:
        raise ValueError(
            f"search must have loss='argmax' for an f of {outputs} outputs, the largest of which is the class; got "
            f"{loss.name!r}, which is of one output: pass one of them, lambda params, x: f(params, x)[:1]."
        )
    labels = _checks.labels("y", y, n) if outputs == 1 else _checks.targets("y", y, n)
    if outputs == 1 and (why := loss.check(labels)):
        raise ValueError(f"{why}; loss {loss.name!r} asks for that.")
    if outputs > 1 and labels.shape != (n, outputs):
        raise ValueError(f"y must have shape ({n}, {outputs}), a number for each output; got {labels.shape}.")
    return Reading(labels.ravel(), loss, outputs)


def shown(values: Float[np.ndarray, "q w"], vertices: Any) -> Float[np.ndarray, "q ..."]:
    """Coordinates as outputs: (q,) of one; of classes what is left of them after their mean, (q, o)."""
    if vertices is None:
        return values[:, 0] if values.shape[1] == 1 else values
    return 0.5 * values @ vertices.T
