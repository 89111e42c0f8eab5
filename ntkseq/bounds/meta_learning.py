"""How large can the loss of a meta-trained kernel predictor be on a new task? Its sample size counts tasks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ntkseq import _checks
from ntkseq._bound import Assumption, Bound, Constants, Term, total
from ntkseq._outward import outward
from ntkseq._types import ArrayLike, PyTree
from ntkseq.bounds.assumptions import beforehand, ceiling, independent_tasks
from ntkseq.bounds.losses import named
from ntkseq.bounds.system import EPS, System, system
from ntkseq.bounds.uniform import confidence, multiple, ridge_dual

PREDICTOR = "the meta-kernel predictor with these coefficients (not a network of finite width)"


def meta_kernel(
    Phi: ArrayLike,
    labels: ArrayLike,
    start: PyTree = None,
    *,
    kind: str = "derived",
    reg: float = 0.0,
    loss: str = "absolute",
    delta: float = 0.05,
    B0: float = 1.0,
    kappa: float | None = None,
    tried: int = 1,
) -> Bound[MetaConstants]:
    """Bound the loss of `predictors.few_shot` at the queries of a new task, rigorously (kind "derived").

    With probability at least 1 - delta over the N tasks of q queries each, for all F = start + sum_j dual_j Phi(., x_j)

        E l(F) <= mean l(F, y) + 2 L i B0 sqrt(tr Phi / q)/N + 3 sqrt(log(2 i (i+1) tried/delta)/(2 N))

    with i = max(1, ceil(|dual|_Phi / B0)), for a loss l in [0, 1] with Lipschitz constant L, its mean over the queries
    of a task. If Phi(x, x) <= kappa^2 for every query of every task, the middle term is 2 L i B0 kappa/sqrt(N) and the
    last sqrt(log(i (i+1) tried/delta)/(2 N)). Queries of one task share its support and are no independent examples:
    more of them make the bound no smaller. Of several outputs the mean is bounded, with the largest of their norms.

    Kind "recalled" is the published form sqrt(Y' Phi^-1 Y / N) + sqrt(log(1/delta)/N), Y = labels - start, its
    constants hidden and taken as 1: a number to compare with, never certified.

    Args:
        Phi: the kernel between all N q queries, task by task: a Gram (`FewShot.gram`) or an array.
        labels: of the queries, (N, q) or (N, q, k).
        start: what adaptation alone answers, R y' (`FewShot.start`), shape of labels; None: 0.
        kind: "derived" or "recalled".
        reg: the ridge of the predictor; 0 for the interpolant, of which alone the recalled form speaks.
        loss: "absolute", min(1, |F - y|): for labels -1/+1 it bounds the share of wrong signs, for k one-hot outputs k
            times it bounds the share of wrong classes; "squared"; or "margin", min(1, max(0, 1 - y F)), for labels
            -1/+1.
        delta: the probability that the bound fails.
        B0: grid of the norm, fixed before seeing the labels.
        kappa: sup of sqrt(Phi(x, x)) over all queries of all tasks, if known. A stable inner loop that adapts all
            parameters only shrinks Phi(x, x) from Theta(x, x).
        tried: how many kernels, inner loops or B0 were looked at with these labels.

    Returns:
        Bound; inf with the reason where Phi is singular, reg = 0 and the labels are outside its range.

    Raises:
        ValueError: shapes or options that do not fit.

    Reference: bartlett2002rademacher, for the ingredients; meta.5. Recalled: wang2020meta; meta.6.

    Example:
        >>> import numpy as np
        >>> print(meta_kernel(0.01 * np.eye(1000), 0.02 * np.ones((500, 2))).verdict)
        E min(1, |F - y|) on a new task <= 0.3262 with probability at least 0.95
    """
    _checks.choice("kind", kind, ("derived", "recalled"))
    chosen = named(loss)
    delta, B0 = _checks.probability("delta", delta), _checks.nonnegative("B0", B0, positive=True)
    reg, tried = _checks.nonnegative("reg", reg), _checks.positive_int("tried", tried)
    kappa = None if kappa is None else _checks.nonnegative("kappa", kappa, positive=True)
    if kind == "recalled" and reg > 0:
        raise ValueError(f'kind="recalled" speaks of the interpolant; got reg={reg:g}. Leave reg=0.')
    y = _checked("labels", labels)
    begun = np.zeros_like(y) if start is None else _checked("start", start)
    if begun.shape != y.shape:
        raise ValueError(f"start must have the shape of labels, {y.shape}; got {begun.shape}.")
    if chosen.signs and not np.isin(y, (-1.0, 1.0)).all():
        raise ValueError('loss="margin" needs labels -1 and +1; got others. Take loss="absolute".')
    (N, q), outputs = y.shape[:2], y[0, 0].size
    rest = (y - begun).reshape(N * q, outputs)
    known = system(Phi, rest[:, 0], name="Phi", vectors=True)
    found = _Fit.of(known, rest, reg)
    if kind == "recalled":
        return _recalled(known, found, N, q, delta)
    norm, training = math.inf, 1.0
    if found.dual is not None:
        norm, answers, off = found.size(known)
        values = chosen.value(answers + begun.reshape(N * q, outputs), y.reshape(N * q, outputs))
        training = min(1.0, float(np.mean(values)) + chosen.lipschitz * off)
    trace, slope = _trace(known), f"{2 * chosen.lipschitz:g}"
    if kappa is None:
        formulas = (f"{slope} i B0 sqrt(tr Phi/q)/N", "3 sqrt(log(2 i(i+1) tried/delta)/(2N))")
    else:
        formulas = (f"{slope} i B0 kappa/sqrt(N)", "sqrt(log(i(i+1) tried/delta)/(2N))")
    i = capacity = sure = math.inf
    if math.isfinite(norm):
        i = multiple(norm, B0)
        radius = math.sqrt(trace / (q * N)) if kappa is None else kappa
        capacity = 2 * chosen.lipschitz * i * B0 * radius / math.sqrt(N)
        sure = confidence(i, tried, delta, N, ceiling=kappa is not None)
    terms = (
        chosen.measured(training, "Phi", "F"),
        Term(
            "capacity",
            formulas[0],
            capacity,
            explicit=True,
            provenance="derived",
            note=f"i = {i}, |f| <= {outward(norm)}, N = {N} tasks",
        ),
        Term("confidence", formulas[1], sure, explicit=True, provenance="derived"),
    )
    what = "kernel, inner loop, loss, delta, B0" + (", kappa" if kappa is not None else "")
    assumptions = [
        independent_tasks(N),
        beforehand(what, tried),
        known.semidefinite(),
        known.arithmetic(),
    ]
    if kappa is not None:
        assumptions.append(
            ceiling(np.diagonal(known.matrix), kappa, known.rounding, K="Phi", inputs="every query of every task")
        )
    return Bound(
        name="meta-kernel bound, " + ("interpolant" if reg == 0 else f"ridge regression, reg = {reg:.3g}"),
        quantity=f"{chosen.risk('F')} on a new task",
        value=total(terms),
        terms=terms,
        assumptions=tuple(assumptions),
        delta=delta,
        applies_to=PREDICTOR,
        references=("bartlett2002rademacher", "wang2020meta"),
        constants=MetaKernelConstants(
            N=N, q=q, outputs=outputs, norm=norm, i=i, B0=B0, trace=trace, reg=reg, kappa=kappa, tried=tried
        ),
        reason=found.reason,
    )


@dataclass(frozen=True)
class MetaConstants(Constants):
    """N tasks of q queries each."""

    N: int
    q: int


@dataclass(frozen=True)
class MetaKernelConstants(MetaConstants):
    """Numbers of the derived bound.

    Attributes:
        outputs: of the predictor.
        norm: the largest norm of an output, raised by its rounding.
        i: the step of the grid of the norm, the least with norm <= i B0.
        B0, reg, kappa, tried: as given.
        trace: tr Phi, raised by its rounding.
    """

    outputs: int
    norm: float
    i: float
    B0: float
    trace: float
    reg: float
    kappa: float | None
    tried: int


@dataclass(frozen=True)
class _Fit:
    """Coefficients (n, k) of labels - start, or why there are none."""

    dual: np.ndarray | None
    reason: str = ""

    @staticmethod
    def of(known: System, rest: Float[np.ndarray, "n k"], reg: float) -> _Fit:
        if reg > 0 or known.resolved:
            dual = ridge_dual(known, rest, reg)
            return _Fit(None, dual) if isinstance(dual, str) else _Fit(dual)
        values, errors, U = known.spectrum.values, known.spectrum.errors, known.spectrum.vectors
        assert U is not None
        kept = values > 2 * errors
        turned = U.T @ rest
        # the range is known up to the angle of its eigenvectors, error / gap, and the labels are rounded themselves
        angle = len(rest) * EPS + (float(errors.max() / values[kept].min()) if kept.any() else 0.0)
        if (np.linalg.norm(turned[~kept], axis=0) > angle * np.linalg.norm(rest, axis=0)).any():
            return _Fit(
                None,
                f"Phi cannot be told from a singular matrix ({known.interval}), and labels - start are outside its "
                "range as far as that is known: no function of known norm fits them; use reg > 0",
            )
        return _Fit(U[:, kept] @ (turned[kept] / values[kept, None]))

    def size(self, known: System) -> tuple[float, np.ndarray, float]:
        """The largest norm of an output, the answers, and how far their mean is off; all raised by rounding."""
        assert self.dual is not None
        n = len(self.dual)
        answers, terms = known.matrix @ self.dual, np.abs(known.matrix) @ np.abs(self.dual)
        lengths = np.linalg.norm(self.dual, axis=0)
        # exact Phi = computed + E, |E| <= rounding; float64 sums are off by n eps of their absolute terms
        squares = np.sum(self.dual * answers, axis=0) + known.rounding * lengths**2
        squares += 2 * n * EPS * np.sum(np.abs(self.dual) * terms, axis=0)
        off = n * EPS * float(np.mean(terms)) + known.rounding * float(np.mean(lengths)) / math.sqrt(n)
        return math.sqrt(max(float(squares.max(initial=0.0)), 0.0)), answers, off


def _recalled(known: System, found: _Fit, N: int, q: int, delta: float) -> Bound[MetaConstants]:
    fit = math.inf
    if found.dual is not None:
        fit = math.sqrt(max(float(np.sum(found.dual * (known.matrix @ found.dual))), 0.0) / N)
    terms = (
        Term(
            "complexity", "sqrt(Y' Phi^-1 Y / N)", fit, explicit=False, provenance="recalled", note="Y = labels - start"
        ),
        Term(
            "confidence",
            "sqrt(log(1/delta)/N)",
            math.sqrt(math.log(1 / delta) / N),
            explicit=False,
            provenance="recalled",
        ),
    )
    wide = Assumption("width", "the network is wide enough to follow its meta-kernel", "unchecked")
    return Bound(
        name="Wang, Sun and Li, recalled",
        quantity="loss on a new task",
        value=total(terms),
        terms=terms,
        assumptions=(independent_tasks(N), known.semidefinite(), known.arithmetic(), wide),
        delta=delta,
        applies_to="a wide network meta-trained by MAML",
        references=("wang2020meta",),
        constants=MetaConstants(N, q),
        reason=found.reason,
    )


def _trace(known: System) -> float:
    """Upper estimate of the exact trace; errors known entry by entry, |error_ii| <= e Phi_ii, say more than a norm."""
    e = known.entrywise
    computed = float(np.trace(known.matrix))
    return min(known.trace, computed / (1 - e)) if e is not None and 0 <= e < 1 else known.trace


def _checked(name: str, values: ArrayLike) -> Float[np.ndarray, "N q ..."]:
    array = _checks.numbers(name, values)
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise ValueError(f"{name} must have shape (N, q), tasks and queries, or (N, q, k); got {array.shape}.")
    _checks.finite(name, array)
    return array
