"""How large can the test loss of a kernel predictor be? Rademacher bounds with every constant explicit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ntkseq import _checks
from ntkseq._bound import Bound, Constants, Term, total
from ntkseq._outward import outward
from ntkseq._types import ArrayLike, GramLike
from ntkseq.bounds.assumptions import beforehand, ceiling
from ntkseq.bounds.losses import Loss, at_margin, named
from ntkseq.bounds.svm import hard_margin
from ntkseq.bounds.system import System, system
from ntkseq.bounds.uniform import confidence, measured, multiple, ridge_dual


def rademacher(
    K: GramLike,
    y: ArrayLike,
    *,
    delta: float = 0.05,
    B0: float = 1.0,
    reg: float = 0.0,
    loss: str = "absolute",
    kappa: float | None = None,
    tried: int = 1,
) -> Bound[KernelConstants]:
    """Bound the expected loss of the kernel interpolant (reg = 0) or of kernel ridge regression, rigorously.

    With probability at least 1 - delta over the n examples, for every f in the function space of the kernel,

        E l(f) <= mean l(f(x_i), y_i) + 2 L i B0 sqrt(tr K)/n + 3 sqrt(log(2 i (i+1) tried/delta) / (2n))

    with i = max(1, ceil(|f| / B0)), for a loss l in [0, 1] with Lipschitz constant L. If K(x, x) <= kappa^2 is known
    for all x, the sharper form has 2 L i B0 kappa/sqrt(n) and sqrt(log(i (i+1) tried/delta) / (2n)).

    |f|^2 = a'Ka and the training loss are those of the coefficients a as computed, raised by the rounding of K, so the
    bound speaks of `ntkseq.ridge(K, y, reg=reg)` itself. It holds for every f at once: choosing `reg` on these data
    costs nothing, choosing the kernel or B0 on them must be counted in `tried`.

    Args:
        K: Gram matrix of the training examples, a Gram or an array, (n, n).
        y: labels, (n,). They need not be bounded: the loss is clipped at 1.
        delta: the probability that the bound fails.
        B0: grid of the norm, fixed before seeing the labels. In units of |f|: K -> cK goes with B0 -> B0/sqrt(c).
        reg: the ridge, added to the diagonal; 0 for the interpolant.
        loss: "absolute", min(1, |f - y|), which for labels -1/+1 also bounds the classification error; or "squared",
            min(1, (f - y)^2).
        kappa: sup of sqrt(K(x, x)) over all inputs, if known (say from a fixed token norm).
        tried: how many kernels, hyper-parameter settings or B0 were looked at with these labels.

    Returns:
        Bound, certified unless K is contradicted by its own numbers; NaN with the reason if reg = 0 and the least
        eigenvalue of K cannot be told from zero.

    Raises:
        ValueError: shapes or options that do not fit.

    Reference: bartlett2002rademacher, for the two ingredients; constants: bounds.3 and bounds.4.

    Example:
        >>> import numpy as np
        >>> bound = rademacher(0.5 * np.eye(400) + 0.5, np.ones(400))
        >>> print(bound.verdict)
        E min(1, |f(x) - y|) <= 0.4484 with probability at least 0.95
    """
    chosen = named(loss, among=("absolute", "squared"))
    options = _options(delta=delta, B0=B0, reg=reg, kappa=kappa, tried=tried)
    known = system(K, y)
    name = "Rademacher bound, kernel " + ("interpolant" if options.reg == 0 else f"ridge regression, reg = {reg:.3g}")
    return _uniform(known, ridge_dual(known, known.y, options.reg), chosen, options, name=name)


def margin(
    K: GramLike,
    y: ArrayLike,
    *,
    gamma: float = 1.0,
    delta: float = 0.05,
    B0: float = 1.0,
    reg: float = 0.0,
    fit: str = "ridge",
    kappa: float | None = None,
    tried: int = 1,
) -> Bound[MarginConstants]:
    """Bound the classification error of sign(f) for a kernel predictor f through its margin, rigorously.

        P(sign f(x) != y) <= mean min(1, max(0, 1 - y_i f(x_i)/gamma)) + (2/gamma) i B0 sqrt(tr K)/n
                          + 3 sqrt(log(2 i (i+1) tried/delta) / (2n)),     i = max(1, ceil(|f| / B0))

    `fit="svm"` is the function of least norm with all margins >= 1 (reg > 0: with squared hinge losses): the explicit
    alternative to `cao_gu2019`.

    Args:
        K: Gram matrix of the training examples, (n, n).
        y: labels -1/+1, (n,).
        gamma: the margin, fixed before seeing the labels (or counted in `tried`).
        delta: the probability that the bound fails.
        B0: grid of the norm, see `rademacher`.
        reg: the ridge, added to the diagonal.
        fit: "ridge", the predictor of `ntkseq.ridge`; or "svm".
        kappa: sup of sqrt(K(x, x)) over all inputs, if known.
        tried: how many kernels, hyper-parameter settings, gamma or B0 were looked at with these labels.

    Returns:
        Bound of the 0-1 risk; NaN with the reason if reg = 0 and the least eigenvalue cannot be told from zero.

    Raises:
        ValueError: labels other than -1/+1; shapes or options that do not fit.

    Reference: bartlett2002rademacher, for the two ingredients; constants: bounds.5.

    Example:
        >>> import numpy as np
        >>> margin(np.eye(2), [1.0, -1.0], fit="svm").quantity
        'P(sign f(x) != y)'
    """
    _checks.choice("fit", fit, ("ridge", "svm"))
    gamma = _checks.nonnegative("gamma", gamma, positive=True)
    options = _options(delta=delta, B0=B0, reg=reg, kappa=kappa, tried=tried)
    known = system(K, y, signs=True)
    dual = ridge_dual(known, known.y, options.reg) if fit == "ridge" else _svm_dual(known, options.reg)
    words = {"ridge": "ridge regression", "svm": "support vector machine"}[fit]
    return _uniform(
        known, dual, at_margin(gamma), options, name=f"margin bound, kernel {words}, reg = {reg:.3g}", gamma=gamma
    )


@dataclass(frozen=True)
class KernelConstants(Constants):
    """Numbers of a bound for a kernel predictor.

    Attributes:
        n: the number of examples.
        norm_squared: |f|^2, raised by its rounding.
        i: the step of the grid of the norm, the least with |f| <= i B0.
        B0, reg, kappa, tried: as given.
        trace: tr K, raised by its rounding.
        min_eigenvalue_lower: lower end of the least eigenvalue of K.
    """

    n: int
    norm_squared: float
    i: float
    B0: float
    trace: float
    reg: float
    kappa: float | None
    tried: int
    min_eigenvalue_lower: float


@dataclass(frozen=True)
class MarginConstants(KernelConstants):
    """`KernelConstants` and the margin."""

    gamma: float


@dataclass(frozen=True)
class _Options:
    delta: float
    B0: float
    reg: float
    kappa: float | None
    tried: int


def _options(*, delta: float, B0: float, reg: float, kappa: float | None, tried: int) -> _Options:
    return _Options(
        delta=_checks.probability("delta", delta),
        B0=_checks.nonnegative("B0", B0, positive=True),
        reg=_checks.nonnegative("reg", reg),
        kappa=None if kappa is None else _checks.nonnegative("kappa", kappa, positive=True),
        tried=_checks.integer("tried", tried, 1, 10**100),  # a centre of many digits counts for as many
    )


def _svm_dual(known: System, reg: float) -> np.ndarray | str:
    if reg == 0.0 and not known.resolved:
        return known.singular
    try:
        return hard_margin(known.matrix, known.y, rounding=known.rounding, reg=reg).dual
    except np.linalg.LinAlgError:
        return f"K + reg is not positive definite in float64 with reg = {reg:.3g}; pass a larger reg"


def _uniform(
    known: System, dual: np.ndarray | str, loss: Loss, options: _Options, *, name: str, gamma: float | None = None
) -> Bound[Any]:
    """(bounds.3) for f = sum_j dual_j K(., x_j), whatever the coefficients are."""
    n, kappa = known.n, options.kappa
    if isinstance(dual, str):
        norm_squared = training = norm = i = math.nan
    else:
        fit = measured(known, dual)
        norm_squared, norm = fit.norm_squared, math.sqrt(fit.norm_squared)
        training = fit.mean_loss(loss, known.y)
        i = multiple(norm, options.B0)
    slope = "2" if loss.lipschitz == 1 else f"{2 * loss.lipschitz:g}"
    grid = i * options.B0
    sure = confidence(i, options.tried, options.delta, n, ceiling=kappa is not None)
    if kappa is None:
        capacity = 2 * loss.lipschitz * grid * math.sqrt(known.trace) / n
        formulas = (f"{slope} i B0 sqrt(tr K)/n", "3 sqrt(log(2 i(i+1) tried/delta)/(2n))")
    else:
        capacity = 2 * loss.lipschitz * grid * kappa / math.sqrt(n)
        formulas = (f"{slope} i B0 kappa/sqrt(n)", "sqrt(log(i(i+1) tried/delta)/(2n))")
    terms_ = (
        loss.measured(training, "K"),
        Term(
            "capacity",
            formulas[0],
            capacity,
            explicit=True,
            provenance="derived",
            note="" if math.isnan(i) else f"i = {i}, |f| <= {outward(norm)}",
        ),
        Term("confidence", formulas[1], sure, explicit=True, provenance="derived"),
    )
    assumptions = [
        known.independent(),
        beforehand(_chosen(options, gamma is not None), options.tried),
        known.semidefinite(),
        known.arithmetic(),
    ]
    if options.reg == 0.0:
        assumptions.append(known.positive())
    if kappa is not None:
        assumptions.append(ceiling(np.diagonal(known.matrix), kappa, known.rounding))
    numbers: dict[str, Any] = {
        "n": n,
        "norm_squared": norm_squared,
        "i": i,
        "B0": options.B0,
        "trace": known.trace,
        "reg": options.reg,
        "kappa": kappa,
        "tried": options.tried,
        "min_eigenvalue_lower": known.lower,
    }
    return Bound(
        name=name,
        quantity=loss.risk(),
        value=total(terms_),
        terms=terms_,
        assumptions=tuple(assumptions),
        delta=options.delta,
        applies_to="the kernel predictor with these coefficients (not a network of finite width)",
        references=("bartlett2002rademacher",),
        constants=KernelConstants(**numbers) if gamma is None else MarginConstants(**numbers, gamma=gamma),
        reason=dual if isinstance(dual, str) else "",
    )


def _chosen(options: _Options, with_gamma: bool) -> str:
    return (
        "kernel, loss, delta, B0" + (", gamma" if with_gamma else "") + (", kappa" if options.kappa is not None else "")
    )
