"""How does the exact risk of MAML depend on rates, step sizes and sample sizes? All their combinations at once."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ntkseq import _checks, _display
from ntkseq._types import ArrayLike
from ntkseq.risks.population import risk
from ntkseq.risks.problem import MixedRegression

AXES = ("noise", "n1", "n2", "m", "beta_tr", "beta_te", "alpha")
"""What may vary over a grid: the numbers of a problem."""


@dataclasses.dataclass(frozen=True, eq=False)
class Grid:
    """Exact risks over a grid: one array axis for each name in `axes`, in that order, and the horizons last.

    Attributes:
        axes: name -> its values.
        horizons: T, ascending, (h,).
        bias, variance: (..., h).
        stable: whether the step size is stable in mean square, (...).

    Reference: huang2022maml (the problem); the values are derived here.
    """

    axes: dict[str, np.ndarray]
    horizons: Int[np.ndarray, " h"]
    bias: Float[np.ndarray, "... h"]
    variance: Float[np.ndarray, "... h"]
    stable: np.ndarray

    __repr__ = _display.record

    @property
    def total(self) -> Float[np.ndarray, "... h"]:
        """The excess risk."""
        return self.bias + self.variance


def grid(problem: MixedRegression, horizons: ArrayLike, axes: Mapping[str, Any]) -> Grid:
    """The exact risk at some horizons for every combination of the values in `axes`.

    What is not in `axes` stays as it is in the problem, `beta_te` and `m` too where they were taken from training.

    Args:
        problem: see `MixedRegression`.
        horizons: T, ascending integers, (h,).
        axes: name of a number of the problem -> values: noise, n1, n2, m, beta_tr, beta_te, alpha.

    Raises:
        ValueError: other names, values that the problem refuses, horizons that do not ascend from 1 on.

    Reference: huang2022maml (the problem); the values are derived here.

    Example:
        >>> problem = MixedRegression([1.0, 0.5], 1.0, noise=0.5, n1=4, n2=3)
        >>> grid(problem, [10, 100], {"beta_tr": [-0.3, 0.0, 0.3], "alpha": [0.05, 0.1]}).total.shape
        (3, 2, 2)
    """
    at = _checks.ascending("horizons", horizons, 1)
    shape, problems = variants(problem, axes)
    found = [
        (curve.bias[at - 1], curve.variance[at - 1], curve.stable) for curve in (risk(p, int(at[-1])) for p in problems)
    ]
    bias, variance, stable = (np.array(list(column)) for column in zip(*found, strict=True))
    values = {name: np.asarray(value) for name, value in axes.items()}
    return Grid(values, at, bias.reshape(*shape, -1), variance.reshape(*shape, -1), stable.reshape(shape))


def variants(problem: MixedRegression, axes: Mapping[str, Any]) -> tuple[tuple[int, ...], Iterator[MixedRegression]]:
    """The shape of a grid, and its problems in the order of their indices."""
    _checks.kind("problem", problem, MixedRegression)
    _checks.mapping("axes", axes, "values")
    for name, value in axes.items():
        if name not in AXES or len(_checks.shape("axes", value)) != 1 or not len(value):
            came = f"{name!r}: {_checks.shown(value)}"
            raise ValueError(f"axes must map names among {', '.join(AXES)} to values (k,); got {came}.")
    shape = tuple(len(value) for value in axes.values())
    rows = itertools.product(*axes.values())
    return shape, (problem.with_(**dict(zip(axes, row, strict=True))) for row in rows)
