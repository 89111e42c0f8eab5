"""How large can the test loss of a kernel predictor with an output at every step be? One function for all steps."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import Float

from ntkseq import _checks
from ntkseq._bound import Bound, Constants, Term, total
from ntkseq._outward import outward
from ntkseq._types import ArrayLike, GramLike
from ntkseq.bounds.assumptions import beforehand, ceiling_of_steps, independent
from ntkseq.bounds.losses import ABSOLUTE
from ntkseq.bounds.system import EPS, System, system
from ntkseq.bounds.uniform import confidence, multiple, ridge_dual
from ntkseq.grams.arrays import as_gram


def rademacher_steps(
    K: GramLike,
    y: ArrayLike,
    *,
    steps: ArrayLike | None = None,
    delta: float = 0.05,
    B0: float = 1.0,
    reg: float = 0.0,
    kappa: ArrayLike | None = None,
    tried: int = 1,
) -> Bound[StepsConstants]:
    """Bound the expected loss of one kernel predictor with outputs at every step, rigorously.

    f(x) = (f_1, .., f_t) is one function of the space of the kernel K[i, j, t, s] of outputs at steps t and s, as a
    network has it that shares its weights between all steps. With probability at least 1 - delta over the n sequences,
    which are the independent draws (steps of one sequence are not),

        E mean_t l(f_t(x), y_t) <= mean_{i,t} l(f_t(x_i), y_it) + (2/T) sum_t i B0 sqrt(sum_j K[j, j, t, t])/n
                                   + 3 sqrt(log(2 i (i+1) tried/delta)/(2n)),    i = max(1, ceil(|f|/B0))

    for l = min(1, |f - y|). It is (bounds.3) with the mean over steps as the loss of a sequence: its Rademacher
    complexity is at most the mean of those of the steps, each at most B sqrt(sum_j K[j, j, t, t])/n for |f| <= B, since
    f_t(x) = <f, K[., x, ., t]>. If `K[t, t](x, x)` <= kappa_t^2 is known for all x, the sharper form has
    (2/T) sum_t i B0 kappa_t/sqrt(n) and sqrt(log(i (i+1) tried/delta)/(2n)), as (bounds.4).

    With several outputs of a step, which have independent read-outs, |f|^2 is the sum of theirs the loss their mean.

    Args:
        K: kernel between all steps of all training sequences, (n, n, t, t) from `kernels.every_step`; or a Gram of
            n t rows, the steps of the first sequence first. Leave out steps whose outputs do not count, or are zero by
            construction: with W alone trained the first one is.
        y: labels (n, t) or (n, t, o).
        steps: whose loss is bounded, the mean over them, fixed beforehand; None: all. f is fitted to all of them.
        delta: the probability that the bound fails.
        B0: grid of the norm, fixed before seeing the labels.
        reg: the ridge, added to the diagonal of all n t points; 0 for the interpolant.
        kappa: sup of sqrt(`K[t, t](x, x)`) over all inputs, a number or (t,), if known.
        tried: how many kernels, settings, B0 or choices of `steps` were looked at with these labels.

    Returns:
        Bound, certified unless K is contradicted by its own numbers; NaN with the reason if reg = 0 and the least
        eigenvalue of the n t points cannot be told from zero.

    Raises:
        ValueError: shapes or options that do not fit.

    Reference: bartlett2002rademacher for the ingredients; allenzhu2019rnn for the class of functions.

    Example:
        >>> import numpy as np
        >>> K = np.einsum("ij,ts->ijts", 0.5 * np.eye(400) + 0.5, np.array([[1.0, 0.5], [0.5, 1.0]]))
        >>> print(rademacher_steps(K, np.ones((400, 2))).verdict)
        E mean_t min(1, |f_t(x) - y_t|) <= 0.4484 with probability at least 0.95
    """
    options = _options(delta=delta, B0=B0, reg=reg, kappa=kappa, tried=tried)
    known, y = _setting(K, y, options)
    chosen = _chosen(steps, y.shape[1])
    return _bound(
        known, y, ridge_dual(known, y.reshape(-1, y.shape[2]), options.reg), chosen, options, named=steps is not None
    )


def rademacher_each_step(
    K: GramLike,
    y: ArrayLike,
    *,
    delta: float = 0.05,
    B0: float = 1.0,
    reg: float = 0.0,
    kappa: ArrayLike | None = None,
    tried: int = 1,
) -> tuple[Bound[StepsConstants], ...]:
    """Bound the expected loss of every single step, all at once.

    For each of the T steps it is `rademacher_steps(K, y, steps=[t], tried=tried T)`. One function
    is fitted to all steps. With probability at least 1 - delta all of these bounds hold together.

    Args:
        K, y, delta, B0, reg, kappa, tried: see `rademacher_steps`.

    Returns:
        t bounds, one for each step of y.

    Raises:
        ValueError: as `rademacher_steps`.

    Reference: bartlett2002rademacher.

    Example:
        >>> import numpy as np
        >>> K = np.einsum("ij,ts->ijts", 0.5 * np.eye(400) + 0.5, np.array([[1.0, 0.5], [0.5, 1.0]]))
        >>> first, second = rademacher_each_step(K, np.ones((400, 2)))
        >>> first.certified and second.certified
        True
    """
    options = _options(delta=delta, B0=B0, reg=reg, kappa=kappa, tried=tried)
    known, y = _setting(K, y, options)
    options = dataclasses.replace(options, tried=options.tried * y.shape[1])
    dual = ridge_dual(known, y.reshape(-1, y.shape[2]), options.reg)
    return tuple(_bound(known, y, dual, np.array([a]), options, named=True) for a in range(y.shape[1]))


@dataclasses.dataclass(frozen=True)
class StepsConstants(Constants):
    """Numbers of a bound for outputs at every step.

    Attributes:
        n: the number of sequences.
        steps: those whose loss is bounded.
        outputs: of a step.
        norm_squared: |f|^2 of the one function of all steps, raised by its rounding.
        i: the step of the grid of the norm, the least with |f| <= i B0.
        B0, reg, kappa, tried: as given, kappa for every step.
        trace_by_step: sum_j K[j, j, t, t], raised by its rounding.
        min_eigenvalue_lower: lower end of the least eigenvalue of K.
    """

    n: int
    steps: tuple[int, ...]
    outputs: int
    norm_squared: float
    i: float
    B0: float
    trace_by_step: tuple[float, ...]
    reg: float
    kappa: tuple[float, ...] | None
    tried: int
    min_eigenvalue_lower: float


@dataclasses.dataclass(frozen=True)
class _Options:
    delta: float
    B0: float
    reg: float
    kappa: Any
    tried: int


def _options(*, delta: float, B0: float, reg: float, kappa: ArrayLike | None, tried: int) -> _Options:
    return _Options(
        delta=_checks.probability("delta", delta),
        B0=_checks.nonnegative("B0", B0, positive=True),
        reg=_checks.nonnegative("reg", reg),
        kappa=kappa,
        tried=_checks.positive_int("tried", tried),
    )


def _setting(K: GramLike, y: ArrayLike, options: _Options) -> tuple[System, Float[np.ndarray, "n t o"]]:
    y = _labels(y)
    n, t, _ = y.shape
    if options.kappa is not None:
        _ceilings(options.kappa, t)
    return system(_points(K, n, t), y[:, :, 0].ravel()), y


def _bound(
    known: System,
    y: Float[np.ndarray, "n t o"],
    dual: np.ndarray | str,
    chosen: np.ndarray,
    options: _Options,
    *,
    named: bool,
) -> Bound[StepsConstants]:
    """The bound of the mean loss over the chosen steps; `named` where they are not simply all of them."""
    n, t, outputs = y.shape
    B0, reg = options.B0, options.reg
    ceilings = None if options.kappa is None else _ceilings(options.kappa, t)
    found = _Fitted(math.nan, math.nan, dual) if isinstance(dual, str) else _fitted(known, y, dual, chosen)
    i = multiple(math.sqrt(found.norm_squared), B0)
    sure = confidence(i, options.tried, options.delta, n, ceiling=ceilings is not None)
    diagonal = np.diagonal(known.matrix).reshape(n, t)
    if ceilings is None:
        spread = np.sqrt(diagonal.sum(axis=0) + n * known.rounding)  # an entry is off by at most the spectral norm
        capacity = 2 * i * B0 * float(spread[chosen].mean()) / n
        formulas = ("(2/T) sum_t i B0 sqrt(sum_j K[j,j,t,t])/n", "3 sqrt(log(2 i(i+1) tried/delta)/(2n))")
    else:
        capacity = 2 * i * B0 * float(ceilings[chosen].mean()) / math.sqrt(n)
        formulas = ("(2/T) sum_t i B0 kappa_t/sqrt(n)", "sqrt(log(i(i+1) tried/delta)/(2n))")
    size = "" if math.isnan(i) else f"i = {i}, |f| <= {outward(math.sqrt(found.norm_squared))}, all steps together"
    terms = (
        ABSOLUTE.measured(found.loss, "K", "f_t", "y_t"),
        Term("capacity", formulas[0], capacity, explicit=True, provenance="derived", note=size),
        Term("confidence", formulas[1], sure, explicit=True, provenance="derived", note=f"n = {n} sequences"),
    )
    assumptions = [
        independent(),
        beforehand(_fixed(named, ceilings), options.tried),
        known.semidefinite(),
        known.arithmetic(),
    ]
    if reg == 0.0:
        assumptions.append(known.positive())
    if ceilings is not None:
        assumptions.append(ceiling_of_steps(diagonal, ceilings, known.rounding))
    where = "mean_t" if not named else f"mean over t in {chosen.tolist()} of"
    return Bound(
        name="Rademacher bound, outputs at every step, kernel "
        + ("interpolant" if reg == 0 else f"ridge regression, reg = {reg:.3g}"),
        quantity=ABSOLUTE.risk("f_t(x)", "y_t", f"E {where}"),
        value=total(terms),
        terms=terms,
        assumptions=tuple(assumptions),
        delta=options.delta,
        applies_to="the kernel predictor of all steps with these coefficients (not a network of finite width)",
        references=("bartlett2002rademacher", "allenzhu2019rnn"),
        constants=StepsConstants(
            n=n,
            steps=tuple(chosen.tolist()),
            outputs=outputs,
            norm_squared=found.norm_squared,
            i=i,
            B0=B0,
            trace_by_step=tuple((diagonal.sum(axis=0) + n * known.rounding).tolist()),
            reg=reg,
            kappa=None if ceilings is None else tuple(ceilings.tolist()),
            tried=options.tried,
            min_eigenvalue_lower=known.lower,
        ),
        reason=found.reason,
    )


@dataclasses.dataclass(frozen=True)
class _Fitted:
    """Norm and training loss of the predictor, both raised by what rounding may hide; NaN with the reason."""

    norm_squared: float
    loss: float
    reason: str = ""


def _fitted(known: System, y: Float[np.ndarray, "n t o"], dual: np.ndarray, chosen: np.ndarray) -> _Fitted:
    labels = y.reshape(-1, y.shape[2])  # (n t, o)
    fitted, terms = known.matrix @ dual, np.abs(known.matrix) @ np.abs(dual)
    sizes, points = np.linalg.norm(dual, axis=0), len(labels)
    # exact K = computed K + E, |E| <= rounding; float64 sums over all points are off by points eps of absolute terms
    norm = float(np.sum(dual * fitted)) + known.rounding * float(np.sum(sizes**2))
    norm += 2 * points * EPS * float(np.sum(np.abs(dual) * terms))
    losses = ABSOLUTE.value(fitted, labels).reshape(y.shape)[:, chosen]
    spent = points * EPS * terms.reshape(y.shape)[:, chosen]
    count = math.sqrt(spent.shape[0] * spent.shape[1])  # |E dual| spread over the points of these steps
    loss = float(losses.mean()) + float(spent.mean()) + known.rounding * float(sizes.mean()) / count
    return _Fitted(max(norm, 0.0), min(1.0, loss))


def _labels(y: ArrayLike) -> Float[np.ndarray, "n t o"]:
    y = _checks.host("y", y)
    if y.dtype.kind not in "fiub" or y.ndim not in (2, 3) or not y.size:
        raise ValueError(
            f"y must be numbers of shape (n, t) or (n, t, o), a label at every step; got {y.dtype} {y.shape}."
        )
    y = y.astype(np.float64)
    _checks.finite("y", y)
    return y if y.ndim == 3 else y[:, :, None]


def _chosen(steps: ArrayLike | None, t: int) -> np.ndarray:
    if steps is None:
        return np.arange(t)
    chosen = _checks.host("steps", steps)
    if chosen.ndim != 1 or not chosen.size or chosen.dtype.kind not in "iu" or len(np.unique(chosen)) != len(chosen):
        raise ValueError(f"steps must be different integers, one or more; got {_checks.shown(steps)}.")
    if chosen.min() < 0 or chosen.max() >= t:
        raise ValueError(f"steps must lie in 0..{t - 1}, counted from 0 among the {t} of y; got {chosen.tolist()}.")
    return chosen


def _ceilings(kappa: ArrayLike | None, t: int) -> Float[np.ndarray, " t"]:
    given = _checks.real("kappa", kappa)
    if given.shape not in ((), (t,)) or (given <= 0).any():
        raise ValueError(
            f"kappa must be finite and > 0, one number or one for each of {t} steps; got {_checks.shown(kappa)}."
        )
    return np.broadcast_to(given, (t,)).copy()


def _points(K: GramLike, n: int, t: int) -> Any:
    """K as a matrix of n t points, the steps of a sequence next to each other."""
    shape = _checks.shape("K", K)
    if len(shape) == 4:
        if shape != (n, n, t, t):
            raise ValueError(
                f"K must have shape ({n}, {n}, {t}, {t}), as kernels.every_step(kernel, x) has for labels of {n} "
                f"sequences at {t} steps; got {shape}. For some steps: grams.computed(K, kernel, x).take(points), "
                "where step s of sequence i is point i t + s."
            )
        return as_gram(K)
    if shape != (n * t, n * t):
        raise ValueError(
            f"K must have shape ({n}, {n}, {t}, {t}) or ({n * t}, {n * t}) for labels of {n} sequences at {t} steps; "
            f"got {shape}."
        )
    return K


def _fixed(named: bool, ceilings: np.ndarray | None) -> str:
    return "kernel, delta, B0" + (", steps" if named else "") + ("" if ceilings is None else ", kappa")
