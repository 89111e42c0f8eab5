"""Which of a grid of kernels has the least leave-one-out error? The grid is fixed before the data are seen."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from ntkseq import _checks, predictors
from ntkseq.grams import DenseGram
from ntkseq.kernels import Kernel, catalogue
from ntkseq.studies.kernel_choices import Choice
from ntkseq.studies.provenance import Clock
from ntkseq.studies.tangent import fits
from ntkseq.studies.tangent.inputs import Problem
from ntkseq.studies.tangent.ridge import Centre, choose_ridge
from ntkseq.studies.tangent.spec import Study

GRID: dict[str, tuple[object, ...]] = {
    "read": ("last", "mean"),
    "sigma_w": (0.8, 1.1, 1.4),
    "sigma_b": (0.1, 0.7),
    "depth": (1, 2, 3),
}
"""Values of settings: recurrent weights that forget, nearly keep and keep a past, a small and a large bias."""


@dataclasses.dataclass(frozen=True, eq=False)
class Tuned:
    """What a grid gave.

    Attributes:
        choice, kernel, K: of least error.
        errors: mean squared leave-one-out residual of every kernel, by name, the least first; None where its values
            overflow the dtype.
    """

    choice: Choice
    kernel: Kernel
    K: DenseGram
    errors: tuple[tuple[str, float | None], ...]


def grid(study: Study) -> tuple[Choice, ...]:
    """The kernels that are compared: those asked for, each with all values of `GRID` of what was not set.

    `depth` is varied for kernels that read no sequence. A kernel without a short name stands for itself.
    """
    return tuple(one for choice in study.kernels for one in _varied(choice, study))


def _varied(choice: Choice, study: Study) -> list[Choice]:
    if not choice.takes:
        return [choice]
    fixed = {*study.changed, *choice.own}
    names = [name for name in GRID if name in choice.takes and name not in fixed]
    names = [name for name in names if name != "depth" or "read" not in choice.takes]
    if choice.vectors:  # all their weights are of one size: the last of the values
        names = [name for name in names if name != "sigma_w"]
    made = []
    for values in itertools.product(*(GRID[name] for name in names)):
        varied = dict(zip(names, values, strict=True))
        settings = {**choice.settings, **varied}
        kernel = catalogue.get(choice.entry, **settings)
        one = dataclasses.replace(
            choice, own={**choice.own, **varied}, settings=settings, make=lambda shape, k=kernel: k
        )
        made.append(dataclasses.replace(one, name=one.text))
    return made


def tuned(study: Study, posed: Problem, clock: Clock) -> Tuned:
    """The kernel of the grid with the least mean squared leave-one-out residual, each with its best ridge.

    Raises:
        ValueError: no kernel of the grid is finite on these data.
    """
    aims = fits.targets(posed) if posed.classes else _centred(posed)
    best: tuple[float, Choice, Kernel, DenseGram] | None = None
    errors: list[tuple[str, float | None]] = []
    candidates = grid(study)
    n = len(posed.train.y)
    for i, choice in enumerate(candidates, 1):
        kernel = choice.make(posed.train.x.shape[1:])
        with clock(f"gram {i}", f"kernel matrix {n} x {n} ({i} of {len(candidates)}: {choice.name})"):
            try:
                K = fits.square(choice, kernel, posed)
            except _checks.Overflow:
                errors.append((choice.name, None))
                continue
        reg, _ = choose_ridge(K, aims, float(np.trace(np.asarray(K.array, np.float64))), study.reg)
        error = float(np.mean(np.square(predictors.ridge(K, aims, reg=reg).loo_residuals)))
        errors.append((choice.name, error))
        if best is None or error < best[0]:
            best = error, choice, kernel, K
    if best is None:
        raise ValueError(f"every kernel of the grid overflows {study.dtype} on these data. Scale them down.")
    ordered = sorted(errors, key=lambda pair: np.inf if pair[1] is None else pair[1])
    return Tuned(*best[1:], tuple(ordered))


def _centred(posed: Problem) -> np.ndarray:
    y = np.asarray(posed.train.y, np.float64)
    return y - Centre.of(y).value


def paid(count: int, *, fair: bool) -> str:
    """What a choice among so many kernels costs the bounds, in a sentence.

    Args:
        count: how many.
        fair: whether no test example was trained on.
    """
    return (
        f"The kernel was chosen among {count} by leave-one-out on the training examples. The bounds take these for "
        f"fixed before the data were seen, and pay for each: it has at most a share 1/{count} of delta, so that the "
        f"certified ones hold for the chosen one. The leave-one-out error flatters"
        f"{'; the test error does not' if fair else ''}."
    )
