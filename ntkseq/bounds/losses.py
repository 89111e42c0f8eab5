"""The losses in [0, 1] that bounds speak of: their values, their Lipschitz constants, and how they are printed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ntkseq import _checks
from ntkseq._bound import Term


@dataclass(frozen=True)
class Loss:
    """A loss in [0, 1].

    Attributes:
        name: the short name that users give.
        size: how it is printed, of the prediction {f} and the label {y}.
        value: the loss of predictions and labels, any shape.
        lipschitz: its Lipschitz constant in the prediction.
        error: how the classification error that it bounds is printed; "" where its own mean is what is bounded.
    """

    name: str
    size: str
    value: Callable[[np.ndarray, np.ndarray], np.ndarray]
    lipschitz: float
    error: str = ""

    def risk(self, f: str = "f(x)", y: str = "y", mean: str = "E") -> str:
        """What is bounded, as printed: an expectation, `mean`, of the loss, or the probability of a wrong sign."""
        return self.error.format(f=f, y=y) if self.error else f"{mean} {self.size.format(f=f, y=y)}"

    def training(self, f: str = "f", y: str = "y") -> str:
        """The mean over the examples, as printed."""
        return f"mean {self.size.format(f=f, y=y)}"

    def measured(self, value: float, rounded: str, f: str = "f", y: str = "y") -> Term:
        """The mean over the examples as a term of a bound, raised by the rounding of what is `rounded`."""
        note = f"raised by the rounding of {rounded}"
        return Term("training loss", self.training(f, y), value, explicit=True, provenance="exact", note=note)

    @property
    def signs(self) -> bool:
        """Whether labels must be -1 and +1."""
        return bool(self.error)


ABSOLUTE = Loss("absolute", "min(1, |{f} - {y}|)", lambda f, y: np.minimum(1, np.abs(f - y)), 1.0)
"""For labels -1/+1 it bounds the classification error, too."""

SQUARED = Loss("squared", "min(1, ({f} - {y})^2)", lambda f, y: np.minimum(1, (f - y) ** 2), 2.0)


def at_margin(gamma: float | None = None) -> Loss:
    """min(1, max(0, 1 - y f/gamma)), which is at least 1 where the sign is wrong; None: gamma is 1, and not printed."""
    over, scale = ("", 1.0) if gamma is None else (f"/{gamma:g}", gamma)
    return Loss(
        "margin",
        f"min(1, max(0, 1 - {{y}} {{f}}{over}))",
        lambda f, y: np.clip(1.0 - y * f / scale, 0.0, 1.0),
        1.0 / scale,
        error="P(sign {f} != {y})",
    )


NAMES = ("absolute", "squared", "margin")


def named(name: str, gamma: float | None = None, *, among: tuple[str, ...] = NAMES) -> Loss:
    """The loss of a short name; `gamma` belongs to "margin".

    Raises:
        ValueError: another name, gamma not positive.
    """
    _checks.choice("loss", name, among)
    gamma = None if gamma is None else _checks.nonnegative("gamma", gamma, positive=True)
    return {"absolute": ABSOLUTE, "squared": SQUARED}.get(name) or at_margin(gamma)
