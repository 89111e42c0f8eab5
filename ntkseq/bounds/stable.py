"""How much can one example change kernel ridge regression, and what does that say of its test loss? Every constant."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from jaxtyping import Float

from ntkseq import _checks
from ntkseq._bound import Assumption, Bound, Constants, Term, total
from ntkseq._types import ArrayLike, GramLike
from ntkseq.bounds.assumptions import EPS as ULP
from ntkseq.bounds.assumptions import beforehand, ceiling
from ntkseq.bounds.losses import Loss, named
from ntkseq.bounds.system import EPS, System, system
from ntkseq.bounds.uniform import moderate, ridge_dual

_UP = 1.0 + 32.0 * EPS  # of a dozen float64 operations


def stability(
    K: GramLike,
    y: ArrayLike,
    *,
    reg: float,
    kappa: float,
    M: float = 1.0,
    loss: str = "absolute",
    gamma: float | None = None,
    of: str = "training",
    form: str = "best",
    delta: float = 0.05,
    tried: int = 1,
) -> Bound[StabilityConstants]:
    """Bound the expected loss of kernel ridge regression by how little one example can change it, rigorously.

    For K(x, x) <= kappa^2 and |y| <= M everywhere, and a loss in [0, 1] with Lipschitz constant L, leaving one of n
    examples out moves no loss by more than

        beta = L M c(t) (1 + sqrt(t (n-1))/2),   t = kappa^2/reg,   c(t) = t/(1+t) for t <= 1, else sqrt(t)/2

    so that with probability at least 1 - delta, f_-i fitted without example i,

        E l(f) <= mean l(f(x_i), y_i) + 2 beta + spread,     E l(f) <= mean l(f_-i(x_i), y_i) + beta + spread
        spread = (4 n beta + 1) sqrt(log(tried/delta) / (2n))         form="bounded differences"
                 sqrt((1/(4n) + 4 beta^2) (tried/delta - 1))          form="second moment"

    The second is far smaller where n beta is above 1 and delta is not tiny; both are known beforehand, so the smaller
    one costs nothing: form="best". It says something where reg is a good part of n kappa^2, or a tenth of it.

    Args:
        K: Gram matrix of the training examples, (n, n).
        y: labels, (n,).
        reg: the ridge, added to the diagonal, > 0; chosen without these data, or counted in `tried`.
        kappa: sup of sqrt(K(x, x)) over all inputs.
        M: sup of |y| over all labels.
        loss: "absolute", min(1, |f - y|); "squared", min(1, (f - y)^2); "margin", min(1, max(0, 1 - y f/gamma)), for
            labels -1/+1, which bounds the classification error.
        gamma: the margin of loss="margin", fixed beforehand; None: 1.
        of: "training" or "leave-one-out", the losses that are measured.
        form: of the spread, "best", "bounded differences" or "second moment"; or "expected", 2 beta or beta alone,
            which bounds the mean over samples of E l(f) minus the mean of the losses, and nothing of this sample.
        delta: the probability that the bound fails.
        tried: how many kernels, ridges, losses or margins were looked at with these data.

    Returns:
        Bound, certified unless kappa, M or K are contradicted by these data. The form of Bousquet, Klochkov and
        Zhivotovskiy, whose constants are not derived here, stands beside it.

    Raises:
        ValueError: reg or kappa that is not positive; labels other than -1/+1 for the margin; shapes or options that do
            not fit.

    Reference: bousquet2002stability; feldman2018stability, for the order of the second moment; constants:
        risk_bounds.5 to 10. Beside: bousquet2020sharper.

    Example:
        >>> import numpy as np
        >>> bound = stability(np.ones((900, 900)), 0.3 * np.ones(900), reg=900.0, kappa=1.0, M=0.3)
        >>> print(bound.verdict)
        E min(1, |f(x) - y|) <= 0.2238 with probability at least 0.95
    """
    _checks.choice("of", of, ("training", "leave-one-out"))
    _checks.choice("form", form, ("best", *_SPREADS, "expected"))
    chosen, delta, tried = named(loss, gamma), _checks.probability("delta", delta), _checks.positive_int("tried", tried)
    reg, kappa = _checks.nonnegative("reg", reg, positive=True), moderate("kappa", kappa)
    M = _checks.nonnegative("M", M, positive=True)
    known = system(K, y, signs=chosen.signs)
    beta = chosen.lipschitz * _change(known.n, kappa, reg, M)
    log, fit = math.log(tried) - math.log(delta), _Fit.of(known, reg)
    if form == "best":
        form = min(_SPREADS, key=lambda one: _SPREADS[one](known.n, beta, log))
    measured = _measured(known, fit, chosen, reg, of)
    if form == "expected":
        quantity = f"mean over samples of {chosen.risk()} - {measured.formula}"
        terms = (_drift(beta, of, fit), dataclasses.replace(measured, counted=False))
    else:
        # f as computed is at most this far from the exact one, anywhere: (risk_bounds.9)
        solved = chosen.lipschitz * kappa * fit.left / (2.0 * math.sqrt(reg)) * _UP
        words = "L kappa |y - (K + reg) a|/(2 sqrt(reg))"
        quantity = chosen.risk()
        terms = (
            measured,
            _drift(beta, of, fit),
            Term("spread", _WORDS[form], _SPREADS[form](known.n, beta, log), explicit=True, provenance="derived"),
            Term("arithmetic", words, solved, explicit=True, provenance="derived"),
            _sharper(known.n, beta, log),
        )
    return Bound(
        name=f"uniform stability of kernel ridge regression, reg = {reg:.3g}, {of} losses, {form}",
        quantity=quantity,
        value=total(terms),
        terms=terms,
        assumptions=(
            known.independent(),
            beforehand("kernel, reg, loss, kappa, M, delta" + (", gamma" if chosen.signs else ""), tried),
            ceiling(np.diagonal(known.matrix), kappa, known.rounding),
            _labels(known.y, M),
            known.semidefinite(),
            known.arithmetic(),
        ),
        delta=None if form == "expected" else delta,
        applies_to="kernel ridge regression with these coefficients (not a network of finite width)",
        references=("bousquet2002stability", "feldman2018stability", "bousquet2020sharper"),
        constants=StabilityConstants(known.n, beta, kappa * kappa / reg, reg, kappa, M, form, tried),
        reason=fit.reason or ("" if math.isfinite(beta) else "beta leaves the range of float64: pass a larger reg"),
    )


@dataclass(frozen=True)
class StabilityConstants(Constants):
    """Numbers of a bound by stability.

    Attributes:
        n: the number of examples.
        beta: what leaving one example out changes of any loss, at most.
        t: kappa^2 / reg.
        form: of the spread.
        reg, kappa, M, tried: as given.
    """

    n: int
    beta: float
    t: float
    reg: float
    kappa: float
    M: float
    form: str
    tried: int


def _change(n: int, kappa: float, reg: float, M: float) -> float:
    """What leaving one of n examples out changes of f(x), at most, rounded up; (risk_bounds.7)."""
    t = kappa * kappa / reg
    reach = t / (1.0 + t) if t <= 1.0 else 0.5 * math.sqrt(t)
    return M * reach * (1.0 + 0.5 * math.sqrt(t) * math.sqrt(n - 1.0)) * _UP


def _labels(y: np.ndarray, M: float) -> Assumption:
    largest = float(np.abs(y).max())
    status = "fails" if largest > M * (1 + 2 * ULP) else "declared"
    return Assumption(
        "labels", f"|y| <= M, M = {M!r}, for every label", status, f"largest on these data: {largest:.4g}"
    )


@dataclass(frozen=True)
class _Fit:
    """The coefficients as computed, and how far they leave the exact equations (K + reg) a = y: |y - (K + reg) a|."""

    dual: Float[np.ndarray, " n"]
    left: float
    reason: str = ""

    @staticmethod
    def of(known: System, reg: float) -> _Fit:
        dual = ridge_dual(known, known.y, reg)
        if isinstance(dual, str):
            return _Fit(np.zeros(known.n), math.nan, dual)
        n, size = known.n, float(np.linalg.norm(dual))
        sums = np.abs(known.matrix) @ np.abs(dual) + reg * np.abs(dual) + np.abs(known.y)
        left = float(np.linalg.norm(known.y - known.matrix @ dual - reg * dual))
        return _Fit(dual, (left + known.rounding * size + 2 * (n + 2) * EPS * float(np.linalg.norm(sums))) * _UP)


def _bounded_differences(n: int, beta: float, log: float) -> float:
    return (4 * n * beta + 1) * math.sqrt(log / (2 * n)) * _UP


def _second_moment(n: int, beta: float, log: float) -> float:
    """(risk_bounds.10); exp(log) = tried/delta may leave the range."""
    variance = 0.25 / n + 4 * beta * beta
    odds = math.expm1(log) if log < 700 else math.inf
    return math.sqrt(variance * odds) * _UP


_SPREADS = {"bounded differences": _bounded_differences, "second moment": _second_moment}
_WORDS = {
    "bounded differences": "(4 n beta + 1) sqrt(log(tried/delta)/(2n))",
    "second moment": "sqrt((1/(4n) + 4 beta^2)(tried/delta - 1))",
}


def _drift(beta: float, of: str, fit: _Fit) -> Term:
    value, words = (beta, "beta") if of == "leave-one-out" else (2 * beta, "2 beta")
    value = math.nan if fit.reason else value
    return Term("stability", words, value, explicit=True, provenance="derived", note=f"beta = {beta:.3g}")


def _sharper(n: int, beta: float, log: float) -> Term:
    return Term(
        "Bousquet, Klochkov and Zhivotovskiy 2020",
        "c (beta log(n) log(1/delta) + sqrt(log(1/delta)/n))",
        beta * math.log(n) * log + math.sqrt(log / n),
        explicit=False,
        provenance="recalled",
        counted=False,
        note="c = 1 taken; wins over the second moment where delta is tiny",
    )


def _measured(known: System, fit: _Fit, loss: Loss, reg: float, of: str) -> Term:
    if of == "training":
        return loss.measured(_trained(known, fit, loss), "K")
    value, note = _left_out(known, fit, loss, reg), "raised by the rounding of K"
    return Term("leave-one-out loss", loss.training("f_-i"), value, explicit=True, provenance="exact", note=note)


def _trained(known: System, fit: _Fit, loss: Loss) -> float:
    """Upper estimate of the mean loss of the exact predictor at the examples."""
    if fit.reason:
        return math.nan
    n, answers = known.n, known.matrix @ fit.dual
    sums = np.abs(known.matrix) @ np.abs(fit.dual)
    # |K (a - exact a)| <= |y - (K + reg) a|, and K as computed is off by its rounding
    off = (fit.left + known.rounding * float(np.linalg.norm(fit.dual))) / math.sqrt(n) + 2 * n * EPS * float(
        sums.mean()
    )
    return min(1.0, (float(np.mean(loss.value(answers, known.y))) + loss.lipschitz * off) * (1 + 2 * n * EPS))


def _left_out(known: System, fit: _Fit, loss: Loss, reg: float) -> float:
    """Upper estimate of the mean loss of the exact predictors without one example, at that example; (bounds.9)."""
    if fit.reason:
        return math.nan
    n, system = known.n, known.matrix + reg * np.eye(known.n)
    inverse = scipy.linalg.inv(system)
    sums = 2 * (n + 2) * EPS * float(np.linalg.norm(np.abs(system) @ np.abs(inverse)) + math.sqrt(n))
    # A^-1 - B = A^-1 (I - A B), |A^-1| <= 1/reg
    left = float(np.linalg.norm(np.eye(n) - system @ inverse)) + sums
    wrong = (left + known.rounding * float(np.linalg.norm(inverse))) / reg
    own = np.diagonal(inverse)
    known_own = own > 2 * wrong
    safe = np.where(known_own, own, 1.0)
    ratio = fit.dual / safe
    off = (fit.left / reg + np.abs(ratio) * wrong) / (safe - np.where(known_own, wrong, 0.0)) + 8 * EPS * np.abs(ratio)
    values = np.where(known_own, np.minimum(1.0, loss.value(known.y - ratio, known.y) + loss.lipschitz * off), 1.0)
    return min(1.0, float(np.mean(values)) * (1 + 2 * n * EPS))
