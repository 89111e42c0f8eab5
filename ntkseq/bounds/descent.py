"""How far from the labels is gradient descent after k steps? Exact in the kernel regime, a recalled rate beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ntkseq import _checks
from ntkseq._bound import Assumption, Bound, Constants, Term
from ntkseq._types import ArrayLike, GramLike
from ntkseq.bounds.system import EPS, System, system


def du2019(K: GramLike, y: ArrayLike, *, eta: float | None = None, steps: int | None = None) -> Bound[DescentConstants]:
    """Bound the training residual of gradient descent in the kernel regime, exactly, after `steps` steps.

        |f_k - y| = |(I - eta K)^k y|     for gradient descent on |f - y|^2 / 2 from f_0 = 0

    Beside it stands the rate that Du et al. give for a wide network, (1 - eta lambda_0/2)^(k/2) |y|, as recalled; the
    width at which a network follows the kernel is known only as a rate.

    Args:
        K: Gram matrix of the training examples, (n, n).
        y: labels, with the network's output at initialisation subtracted, (n,).
        eta: the step size; 1 / lambda_max by default.
        steps: the number of steps k; by default as many as surely leave 1 % of |y|, ceil(log(100)/(eta lambda_0)).

    Returns:
        Bound of |f_k - y|, certified for eta <= 2 / lambda_max; NaN with the reason if `steps` is not given and the
        least eigenvalue of K cannot be told from zero, for then no number of steps is known to suffice.

    Raises:
        ValueError: shapes or options that do not fit.

    Reference: du2019provably, for the rate shown beside; arora2019finegrained, Theorem 4.1, for the exact statement.

    Example:
        >>> import numpy as np
        >>> bound = du2019(np.diag([1.0, 0.5]), [1.0, 1.0], eta=1.0, steps=2)
        >>> bound.certified, round(bound.value, 6)
        (True, 0.25)
    """
    known = system(K, y, vectors=True)
    largest = float(known.spectrum.max_eigenvalue.upper)
    eta = (1 / largest if largest > 0 else 1.0) if eta is None else _checks.nonnegative("eta", eta, positive=True)
    reason = ""
    if steps is not None:
        steps = _checks.positive_int("steps", steps)
    elif known.resolved:
        steps = max(1, math.ceil(math.log(100) / (eta * known.lower)))
    else:
        reason = f"no number of steps is known to suffice, the {known.interval} cannot be told from zero; pass steps"
    start = float(np.linalg.norm(known.y))
    exact = rate = math.nan
    if steps is not None:
        exact = _residual(known, eta, steps, start)
        if eta * largest <= 2:
            rate = (1 - 0.5 * eta * max(known.lower, 0.0)) ** (0.5 * steps) * start
        if not math.isfinite(exact):
            reason = f"gradient descent diverges: eta = {eta:.3g} is above 2/lambda_max = {2 / largest:.3g}"
    terms = (
        Term(
            "kernel gradient descent",
            "|(I - eta K)^k y|",
            exact,
            explicit=True,
            provenance="exact",
            note="raised by the rounding of K",
        ),
        Term(
            "Du et al. 2019",
            "(1 - eta lambda_0/2)^(k/2) |y|",
            rate,
            explicit=True,
            provenance="recalled",
            note="asks for eta = O(lambda_0/n^2)",
            counted=False,
        ),
        Term(
            "transfer to finite width",
            "m >= poly(n, 1/lambda_0, 1/delta)",
            None,
            explicit=False,
            provenance="recalled",
            counted=False,
        ),
    )
    return Bound(
        name="training residual of kernel gradient descent",
        quantity="|f_k - y|",
        value=exact,
        terms=terms,
        assumptions=(
            Assumption("start", "the model is 0 at initialisation, or was subtracted from y", "declared"),
            Assumption(
                "step size",
                "eta <= 2/lambda_max",
                _step_size(eta, known),
                f"eta lambda_max = {eta * largest:.4g}",
            ),
            known.semidefinite(),
            known.arithmetic(),
        ),
        applies_to="gradient descent with a fixed kernel (a network only as its width -> infinity)",
        references=("du2019provably", "arora2019finegrained"),
        constants=DescentConstants(known.n, eta, steps, known.lower, largest, start),
        trivial=start,
        reason=reason,
    )


@dataclass(frozen=True)
class DescentConstants(Constants):
    """The number of examples, step size and steps, ends of the spectrum of K (outwards), and |y|."""

    n: int
    eta: float
    steps: int | None
    lambda_0: float
    lambda_max: float
    start: float


def _step_size(eta: float, known: System) -> str:
    top = known.spectrum.max_eigenvalue
    return "holds" if eta * top.upper <= 2 * (1 - EPS) else "fails" if eta * top.lower > 2 * (1 + EPS) else "unresolved"


def _residual(known: System, eta: float, steps: int, start: float) -> float:
    """Upper estimate of |(I - eta K)^k y| for the exact K, where eta lambda_max <= 2; a plain value beyond."""
    values, vectors = np.asarray(known.spectrum.values), np.asarray(known.spectrum.vectors)
    with np.errstate(over="ignore", under="ignore"):
        shrunk = np.abs(1 - eta * values) ** steps
        plain = float(np.linalg.norm(shrunk * (vectors.T @ known.y)))
    if eta * float(known.spectrum.max_eigenvalue.upper) > 2 or known.upper < 0:
        return plain
    # A = I - eta K and its computed form have norm <= 1 (+ their distance), so |A^k y - B^k y| <= k |A - B| |y|
    error = float(known.spectrum.errors.max()) + known.n * EPS * float(known.spectrum.trace)
    raised = plain + steps * eta * error * start
    slowest = max(abs(1 - eta * max(known.lower, 0.0)), abs(1 - eta * float(known.spectrum.max_eigenvalue.upper)))
    return min(raised, slowest**steps * start, start)
