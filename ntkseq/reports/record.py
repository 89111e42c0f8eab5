"""Records that a report holds, bounds in a few words, and values as JSON has them."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ntkseq import _display
from ntkseq._outward import percents
from ntkseq.bounds import Bound
from ntkseq.spectra import Interval


@dataclasses.dataclass(frozen=True)
class Rank:
    """One effective rank.

    Attributes:
        kind: the name of a definition, such as "energy_99" or "dimension", whose ridge stands in the formula.
        formula: its definition, s_1 >= s_2 >= ... the eigenvalues.
        value: with its interval; None where it is not defined.
        reason: why it is not.
    """

    kind: str
    formula: str
    value: Interval | None
    reason: str = ""

    __repr__ = _display.record


@dataclasses.dataclass(frozen=True, eq=False)
class Prediction:
    """How well kernel ridge regression does.

    Attributes:
        reg: the ridge.
        reg_from: how it was chosen.
        scores: predictions on the test examples, (m,) for two classes, (m, k) one-vs-rest for more.
        codes: predicted class codes, (m,).
        test_error, train_error, loo_error: shares of misclassified examples (leave-one-out on the training ones).
        test_interval: 95 % Clopper-Pearson interval of the test error; None where test examples were trained on.
        majority_error: test error of always saying the most frequent training class.
        rkhs_norm, effective_dimension: of the fit; see `predictors.Ridge`.
    """

    reg: float
    reg_from: str
    scores: Float[np.ndarray, "m ..."]
    codes: Int[np.ndarray, " m"]
    test_error: float
    test_interval: tuple[float, float] | None
    train_error: float
    loo_error: float
    majority_error: float
    rkhs_norm: float
    effective_dimension: float

    __repr__ = _display.record

    def to_dict(self) -> dict[str, Any]:
        """All but the predictions themselves."""
        left_out = ("scores", "codes")
        named = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in left_out}
        held = None if self.test_interval is None else list(self.test_interval)
        return named | {"test_interval": held, "method": "kernel ridge regression"}

    @property
    def better(self) -> bool:
        """Whether the interval of the test error lies below the error of always saying the most frequent class."""
        return self.test_interval is not None and self.test_interval[1] < self.majority_error

    @property
    def interval(self) -> str:
        """The interval of the test error in words, rounded outwards, or why there is none."""
        if self.test_interval is None:
            return "no interval: test examples are among the training examples"
        return "95 % interval {} to {}".format(*percents(*self.test_interval))


def bound_line(bound: Bound) -> str:
    """A bound in one short line: `<=` or `>=` only if it is certified, and first if it says nothing at n examples."""
    if not bound.computable:
        return f"no value: {textwrap.shorten(bound.reason or 'a rate only', 110, placeholder=' ...')}"
    assert bound.value is not None
    empty = f"{says_nothing(bound)}: " if bound.vacuous else ""
    if bound.certified:
        return f"{empty}{bound.claim}"
    return f"{empty}{bound.quantity}: estimate {bound.value:.4g}, not certified"


def bound_standing(bound: Bound) -> str:
    """What a bound is worth, in a word or two."""
    if not bound.computable:
        return "no value"
    if bound.vacuous:
        return says_nothing(bound)
    return "certified" if bound.certified else "estimate"


def says_nothing(bound: Bound) -> str:
    """What is written in place of a number that the quantity cannot exceed anyhow."""
    n = examples_of(bound)
    return "says nothing" if n is None else f"says nothing at n = {n}"


def examples_of(bound: Bound) -> int | None:
    """n of a bound, where its record of constants has it, with the examples that its prior has seen."""
    n, seen = getattr(bound.constants, "n", None), getattr(bound.constants, "seen", 0)
    return int(n) + int(seen) if isinstance(n, (int, np.integer)) and n > 0 else None


def strict(value: object) -> Any:
    """Plain JSON values. NaN and infinities become null; in a mapping NAME_note says which."""
    if isinstance(value, Mapping):
        out: dict[str, Any] = {}
        for name, item in value.items():
            out[str(name)] = strict(item)
            if isinstance(item, (float, np.floating)) and not math.isfinite(item):
                out[f"{name}_note"] = str(float(item))
        return out
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [strict(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def interval_record(value: Interval) -> dict[str, Any]:
    """An interval as the mapping that is stored."""
    return {"lower": value.lower, "estimate": value.estimate, "upper": value.upper, "resolved": value.resolved}
