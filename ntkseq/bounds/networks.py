"""What do the theorems on wide trained networks give on these data? Their forms, recalled; never certified."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ntkseq import _checks
from ntkseq._bound import Assumption, Bound, Constants, Term, total
from ntkseq._types import ArrayLike, GramLike
from ntkseq.bounds.assumptions import beforehand
from ntkseq.bounds.svm import hard_margin
from ntkseq.bounds.system import EPS, System, system


def arora2019(K: GramLike, y: ArrayLike, *, delta: float = 0.05, constant: float = 1.0) -> Bound[AroraConstants]:
    """Evaluate the fine-grained bound of Arora et al. for a wide network trained to the end, as recalled.

        E l <= 2 sqrt(y'K^-1 y tr K)/n + constant sqrt(log(n/(lambda_0 delta))/n)

    The source writes sqrt(2 y'K^-1 y/n) for a kernel with K_ii = 1/2, where tr K = n/2. Recurrent kernels have other
    diagonals, so the first term carries the trace, and lambda_0 is the least eigenvalue of K scaled to tr K = n/2:
    the value does not change under K -> cK. `rademacher` is the explicit bound for the kernel predictor.

    Args:
        K: Gram matrix of the training examples, (n, n).
        y: labels with |y| <= 1, (n,).
        delta: the probability that the bound fails.
        constant: stands for the constant that the source hides in O(.).

    Returns:
        Bound, an estimate; NaN with the reason if the least eigenvalue of K cannot be told from zero.

    Raises:
        ValueError: shapes or options that do not fit.

    Reference: arora2019finegrained, Theorem 5.1.

    Example:
        >>> import numpy as np
        >>> bound = arora2019(0.5 * np.eye(400), np.ones(400))
        >>> bound.certified, round(bound.terms[0].value, 3)
        (False, 2.0)
    """
    delta = _checks.probability("delta", delta)
    constant = _checks.nonnegative("constant", constant, positive=True)
    known = system(K, y)
    n, trace = known.n, known.trace
    estimate = norm_squared = least = first = second = math.nan
    if known.resolved:
        estimate, norm_squared = known.norm_squared()
        least = known.lower * 0.5 * n / trace  # of K scaled to tr K = n/2
        first = 2 * math.sqrt(norm_squared * trace) / n
        second = constant * math.sqrt(math.log(n / (least * delta)) / n)
    shown = f"{constant:g} sqrt(log(n/(lambda_0 delta))/n)"
    terms = (
        Term(
            "capacity",
            "2 sqrt(y'K^-1 y tr K)/n",
            first,
            explicit=True,
            provenance="recalled",
            note="is sqrt(2 y'K^-1 y/n) where K_ii = 1/2",
        ),
        Term(
            "confidence",
            shown,
            second,
            explicit=False,
            provenance="recalled",
            note="lambda_0 of these data, K scaled to tr K = n/2",
        ),
    )
    return Bound(
        name="Arora et al. 2019, Theorem 5.1, plugged in",
        quantity="E l(f(x), y), l in [0, 1], 1-Lipschitz, l(y, y) = 0",
        value=total(terms),
        terms=terms,
        assumptions=(
            known.independent(),
            beforehand("kernel, delta", 1),
            _bounded(known),
            _unit_inputs(known),
            known.positive(),
            known.semidefinite(),
            _width("poly(n, 1/lambda_0, 1/delta)"),
            _training("full-batch gradient descent, eta = O(lambda_0/n^2), until log(n/delta)/(eta lambda_0) steps"),
            _architecture("two-layer ReLU network, first layer trained, small initialisation"),
        ),
        delta=delta,
        applies_to="trained network, width -> infinity",
        references=("arora2019finegrained",),
        constants=AroraConstants(n, estimate, norm_squared, trace, least, constant),
        reason="" if known.resolved else known.singular,
    )


def cao_gu2019(
    K: GramLike, y: ArrayLike, *, delta: float = 0.05, constant: float = 1.0, depth: int = 1
) -> Bound[CaoGuConstants]:
    """Evaluate the bound of Cao & Gu for one pass of SGD, as recalled.

        E P(sign f(x) != y) <= constant depth sqrt(inf tr K)/n + constant sqrt(log(1/delta)/n),
        inf = min over y~ with y_i y~_i >= 1 of y~' K^-1 y~

    The infimum is a hard-margin support vector machine and is solved as one; `constants` has the interval it lies
    in, from duality. The source writes sqrt(inf/n) in its own scaling of the kernel; here K counts as scaled to
    tr K = n, so that the value does not change under K -> cK, and `constant` stands for what is left.
    `margin(K, y, fit="svm")` is the explicit bound for the same function.

    Args:
        K: Gram matrix of the training examples, (n, n).
        y: labels -1/+1, (n,).
        delta: the probability that the bound fails.
        constant: stands for the constants and logarithms that the source hides in O~(.).
        depth: the depth of the feed-forward network of the source; for a recurrent network nothing is known here but
            that it is a polynomial in the number of steps.

    Returns:
        Bound, an estimate; NaN with the reason if the least eigenvalue of K cannot be told from zero.

    Raises:
        ValueError: labels other than -1/+1; shapes or options that do not fit.

    Reference: cao2019sgd, the corollary that puts the tangent kernel in.

    Example:
        >>> import numpy as np
        >>> bound = cao_gu2019(np.array([[2.0, 1.0], [1.0, 2.0]]), [1, 1])
        >>> round(bound.constants.infimum, 6)
        0.666667
    """
    delta = _checks.probability("delta", delta)
    constant = _checks.nonnegative("constant", constant, positive=True)
    depth = _checks.positive_int("depth", depth)
    known = system(K, y, signs=True)
    n, reason = known.n, ""
    lower = upper = support = math.nan
    if known.resolved:
        solved = hard_margin(known.matrix, known.y, rounding=known.rounding)
        lower, upper, support = solved.lower, solved.upper, solved.support
        if not math.isfinite(upper):
            reason = "the support vector machine was not solved: K is too badly conditioned in float64"
    else:
        reason = known.singular
    margin_term = constant * depth * math.sqrt(upper * known.trace) / n
    noise = constant * math.sqrt(math.log(1 / delta) / n)
    interval = "" if math.isnan(upper) else f"inf in [{lower:.6g}, {upper:.6g}]; "
    explicit = 'explicit alternative: margin(K, y, fit="svm")'
    terms = (
        Term(
            "margin",
            f"{constant:g} depth sqrt(inf tr K)/n",
            margin_term,
            explicit=False,
            provenance="recalled",
            note=f"{interval}{explicit}",
        ),
        Term("confidence", f"{constant:g} sqrt(log(1/delta)/n)", noise, explicit=False, provenance="recalled"),
    )
    return Bound(
        name="Cao & Gu 2019, plugged in",
        quantity="E P(sign f(x) != y)",
        value=total(terms),
        terms=terms,
        assumptions=(
            known.independent(),
            beforehand("kernel, delta", 1),
            _unit_inputs(known),
            known.positive(),
            known.semidefinite(),
            _width("n^7 poly(1/lambda_0, depth) log(1/delta), up to logarithms"),
            _training("one pass of SGD on the logistic loss, step size as in the source, mean over the iterates"),
            _architecture(f"ReLU network of depth {depth}, without recurrence"),
        ),
        delta=delta,
        applies_to="trained network, width -> infinity",
        references=("cao2019sgd",),
        constants=CaoGuConstants(n, 0.5 * (lower + upper), lower, upper, support, known.trace, constant, depth),
        reason=reason,
    )


@dataclass(frozen=True)
class AroraConstants(Constants):
    """The number of examples, y'K^-1 y as computed and from above, tr K, lambda_0 of K scaled to tr K = n/2, and the
    constant taken for that of the source.
    """

    n: int
    norm_squared: float
    norm_squared_upper: float
    trace: float
    lambda_0: float
    constant: float


@dataclass(frozen=True)
class CaoGuConstants(Constants):
    """The number of examples, the infimum as the middle of its interval, the number of support vectors, tr K, and what
    was taken for constant and depth of the source.
    """

    n: int
    infimum: float
    infimum_lower: float
    infimum_upper: float
    support: float
    trace: float
    constant: float
    depth: int


def _bounded(known: System) -> Assumption:
    largest = float(np.abs(known.y).max())
    return Assumption("labels", "|y_i| <= 1", "holds" if largest <= 1 else "fails", f"largest |y_i| = {largest:.4g}")


def _unit_inputs(known: System) -> Assumption:
    diagonal = np.diagonal(known.matrix)
    least, largest = float(diagonal.min()), float(diagonal.max())
    off = 2 * known.rounding + 2 * EPS * largest
    status = "fails" if largest - least > off else "holds" if off == 0 else "unresolved"
    return Assumption(
        "unit inputs",
        "|x_i| = 1, visible as a constant diagonal of K",
        status,
        f"K_ii in [{least:.4g}, {largest:.4g}]",
    )


def _width(required: str) -> Assumption:
    return Assumption("width", f"m >= {required}", "unchecked", "the source hides the constants and degrees")


def _training(statement: str) -> Assumption:
    return Assumption("training", statement, "unchecked", "not visible in K and y")


def _architecture(statement: str) -> Assumption:
    return Assumption("architecture", statement, "unchecked", "for the kernel of another model this is a plug-in")
