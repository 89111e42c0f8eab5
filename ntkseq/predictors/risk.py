"""The risk of kernel ridge regression as its own training examples predict it: three estimates, none a certificate."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import scipy  # its parts load when they are first used

from ntkseq import _checks, _display
from ntkseq._outward import interval as outward_interval
from ntkseq._types import ArrayLike, GramLike
from ntkseq.predictors import left_out
from ntkseq.predictors.left_out import Pairs, Problem, Residuals
from ntkseq.predictors.omniscient import equivalent

OPEN = "the rounding of K leaves it open; compute K in float64, or take a larger reg"


@dataclasses.dataclass(frozen=True)
class RiskEstimate:
    """A risk predicted from training examples, with an interval. Never certified: it rests on independent examples.

    Attributes:
        method: "leave-one-out", "generalized cross-validation" or "omniscient".
        loss: "squared error" (mean over outputs), or "zero-one error".
        value: the estimate.
        lower, upper: ends of the interval for the risk of the fitted predictor, that is for its mean loss over all
            examples there could be; `on` has the one for a test set.
        level: of the interval.
        trained_on: examples that the predictor it speaks of was trained on.
        standard_error: of the value, with what the losses have in common (risk.4).
        shift: how far the value may be off in one direction: one example less in the fit, and for estimates that
            assume more than independence, the distance from leave-one-out.
        rounding: how far rounding of K and of the arithmetic may have moved the value.
        spread: standard deviation of the loss of one example.
        largest: the largest loss among the examples.
        share: of the variance of the losses, what the largest one makes. Beyond a half the losses are all but that
            one example's: where rarer ones are larger still, the interval is too short.
        freedom: degrees of freedom of the interval.
        estimated: why `rounding` is an estimate; empty if it is a bound.
        reason: why the interval says nothing; empty if it does.

    Reference: bayle2020cross (intervals of cross-validation).
    """

    method: str
    loss: str
    value: float
    lower: float
    upper: float
    level: float
    trained_on: int
    standard_error: float
    shift: float
    rounding: float
    spread: float
    largest: float
    share: float
    freedom: int
    estimated: str = ""
    reason: str = ""

    @property
    def certified(self) -> bool:
        """Always False: an estimate is no bound."""
        return False

    def on(self, examples: int) -> RiskEstimate:
        """The same estimate with the interval for the mean loss on so many new examples, as a test set has them.

        Args:
            examples: of the test set, >= 1.

        Raises:
            ValueError: examples below 1.
        """
        examples = _checks.positive_int("examples", examples)
        variance = self.standard_error**2 + self.spread**2 / examples
        low, high = ends(self, variance)
        return dataclasses.replace(self, lower=low, upper=high)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-ready values; what is infinite becomes None."""
        held = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        return {name: finite_or_none(value) for name, value in held.items()} | {"certified": False}

    def __repr__(self) -> str:
        return "\n".join(_display.cut(_display.wrapped(str(self))))

    def __str__(self) -> str:
        heavy = f"{self.share:.0%} of the variance is one example's"
        why = f": {self.reason}" if self.reason else f"; {heavy}" if self.share > 0.5 else ""
        rounding = f", rounding {self.rounding:.1e}{' (an estimate)' if self.estimated else ''}"
        return (
            f"{self.loss} about {self.value:.4g} by {self.method}, {self.level:.3g} interval "
            f"{outward_interval(self.lower, self.upper)}{rounding} (predicted, not certified{why})"
        )


@dataclasses.dataclass(frozen=True)
class PredictedRisk:
    """What training examples say of the risk of a ridge fit. Made by `predicted_risk`.

    Attributes:
        leave_one_out: of the squared error, each example predicted without it. The one that assumes least.
        gcv: generalized cross-validation, the same with one leverage for all; also called KARE.
        omniscient: from eigenvalues and coefficients of y alone, n - 1 examples drawn from these n.
        zero_one: leave-one-out of the zero-one error; None where y does not encode classes.
        n, outputs: examples, and columns of y.
        reg: the ridge.
        kappa: the ridge that n - 1 of n examples see (risk.6), in units of K.
        effective_dimension: trace(K (K + reg)^-1).
        reason: what the examples cannot show; empty if nothing.

    Reference: golub1979 (GCV); jacot2020kare; simon2021eigenlearning; canatar2021.
    """

    leave_one_out: RiskEstimate
    gcv: RiskEstimate
    omniscient: RiskEstimate
    zero_one: RiskEstimate | None
    n: int
    outputs: int
    reg: float
    kappa: float
    effective_dimension: float
    reason: str = ""

    @property
    def certified(self) -> bool:
        """Always False; `ntkseq.bounds` has what is proved."""
        return False

    @property
    def estimates(self) -> tuple[RiskEstimate, ...]:
        """All of them, leave-one-out first."""
        found = (self.leave_one_out, self.gcv, self.omniscient, self.zero_one)
        return tuple(one for one in found if one is not None)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-ready values."""
        held = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        plain = {k: v.to_dict() if isinstance(v, RiskEstimate) else finite_or_none(v) for k, v in held.items()}
        return plain | {"certified": False}

    def __repr__(self) -> str:
        return _display.clipped(str(self))

    def __str__(self) -> str:
        made = f"n={self.n}, reg={self.reg:.3g}, effective_dimension={self.effective_dimension:.4g}"
        head = f"PredictedRisk({made}; not certified)"
        return "\n".join([head, *(f"  {one}" for one in self.estimates)])


def predicted_risk(K: GramLike, y: ArrayLike, *, reg: float, level: float = 0.95, tried: int = 1) -> PredictedRisk:
    """Predict the risk of `ridge(K, y, reg=reg)` from its training examples alone, by one eigendecomposition.

        leave-one-out    mean over i of ([B y]_i / B_ii)^2,                            B = (K + reg)^-1
        GCV              n |B y|^2 / (trace B)^2
        omniscient       m sum_i c_i^2 / (l_i + kappa)^2 / (A M) at m = n - 1, where sum_i (l_i + reg)/(l_i + kappa) = m
                         A = sum_i 1/(l_i + kappa), M = sum_i (l_i + reg)/(l_i + kappa)^2

    with eigenvalues l_i of K and c_i the coefficients of y along its eigenvectors. The interval holds the sampling of
    the losses, what they have in common because every fit shares the other examples (from leaving out two, in closed
    form), one example less in the fit, and the rounding of K. It assumes that examples are independent and of the law
    that the predictor will meet: windows of one series are not, and a test on other data is another question.

    Args:
        K: Gram matrix of the training examples, a Gram or an array, (n, n), n >= 2.
        y: targets (n,), or (n, k) for k outputs. Classes as -1/+1, or by `one_hot`, have the zero-one error as well:
            the sign, or the largest output, decides.
        reg: the ridge, as it stands on the diagonal; 0 for the interpolant.
        level: of the intervals.
        tried: how many settings (ridges, kernels) were compared on these examples before this one was taken. The least
            of several estimates is too small; the interval is widened so that it would hold for all at once.

    Returns:
        PredictedRisk: the estimates, each with an interval.

    Raises:
        ValueError: n = 1, shapes that do not fit, K indefinite, reg = 0 with a Gram matrix whose least eigenvalue
            cannot be told from zero.

    Reference: golub1979 (GCV); jacot2020kare; simon2021eigenlearning; canatar2021; bayle2020cross (intervals).

    Example:
        >>> import numpy as np
        >>> x = np.linspace(-1.0, 1.0, 40)
        >>> found = predicted_risk(np.exp(-((x[:, None] - x) ** 2)), np.sin(3 * x), reg=0.1)
        >>> round(found.leave_one_out.value, 4), round(found.gcv.value, 4), found.certified
        (0.0042, 0.0036, False)
    """
    level, tried = _checks.probability("level", level), _checks.positive_int("tried", tried)
    return of_problem(left_out.problem(K, y, reg), 1.0 - (1.0 - level) / tried)


def of_problem(known: Problem, level: float) -> PredictedRisk:
    """`predicted_risk` of a problem that is decomposed already."""
    n, low = known.n, float(known.lowest[0]) + known.reg
    found = left_out.one_left_out(known, known.reg, low, known.rounding)
    squared, zero_one = left_out.two_left_out(known, found)
    losses, errors = np.mean(found.values**2, axis=1), np.abs(found.errors)
    moved = float(np.mean(2.0 * np.abs(found.values) * errors + errors**2))
    alike = left_out.ALIKE if known.alike else ""

    def made(method: str, terms: np.ndarray, value: float, rounding: float, trained_on: int = n) -> RiskEstimate:
        shift = abs(squared.drift) + abs(value - float(np.mean(losses)))
        return estimate(method, terms, value, shift, squared, rounding, level, trained_on, known.estimated, alike)

    less = equivalent(known, n - 1)
    dual = np.mean(np.square(known.vectors @ (known.turned / (known.values + known.reg)[:, None])), axis=1)
    trace = float(np.sum(1.0 / (known.values + known.reg)))
    terms = dual * (n / trace) ** 2
    gcv = made("generalized cross-validation", terms, float(np.mean(terms)), _of_gcv(known, terms, low))
    spectral = less.omniscient(known)
    return PredictedRisk(
        leave_one_out=made("leave-one-out", losses, float(np.mean(losses)), moved, n - 1),
        gcv=gcv,
        omniscient=made("omniscient", terms, spectral, less.omniscient_rounding(known), n - 1),
        zero_one=None if zero_one is None else _zero_one(known, found, zero_one, level, alike),
        n=n,
        outputs=known.y.shape[1],
        reg=known.reg * known.scale,
        kappa=less.kappa * known.scale,
        effective_dimension=float(np.sum(known.values / (known.values + known.reg))),
        reason=alike,
    )


def _of_gcv(known: Problem, terms: np.ndarray, low: float) -> float:
    """How far rounding moves n |B y|^2 / (trace B)^2: |B y| by a share rounding / low at most, trace B as well."""
    share = known.rounding / low if low > 0 else math.inf
    return float(np.mean(terms)) * (((1.0 + share) / (1.0 - share)) ** 2 - 1.0) if share < 1.0 else math.inf


def _zero_one(known: Problem, found: Residuals, pairs: Pairs, level: float, alike: str) -> RiskEstimate:
    losses = left_out.wrong(known.y, found.values).astype(np.float64)
    rounding = float(np.mean(left_out.unsure(known.y, found)))
    value, method = float(np.mean(losses)), "leave-one-out"
    return estimate(
        method, losses, value, abs(pairs.drift), pairs, rounding, level, known.n - 1, known.estimated, alike, "zero-one"
    )


def estimate(
    method: str,
    losses: np.ndarray,
    value: float,
    shift: float,
    pairs: Pairs,
    rounding: float,
    level: float,
    trained_on: int,
    estimated: str,
    reason: str,
    loss: str = "squared",
) -> RiskEstimate:
    """An estimate with its interval, from losses (n,) whose mean it is or is near to."""
    n = len(losses)
    if loss == "zero-one":  # no error among n is not certainty: the share is taken as if two more were seen, one wrong
        share = (n * value + 1.0) / (n + 2.0)
        spread = math.sqrt(share * (1.0 - share))
    else:
        spread = float(np.std(losses, ddof=1))
    made = RiskEstimate(
        method=method,
        loss=f"{loss} error",
        value=value,
        lower=0.0,
        upper=math.inf,
        level=level,
        trained_on=trained_on,
        standard_error=math.sqrt(spread**2 / n + max(pairs.covariance, 0.0)),
        shift=shift,
        rounding=rounding,
        spread=spread,
        largest=float(np.max(losses)),
        share=_share(losses),
        freedom=n - 1,
        estimated=estimated,
        reason=reason or ("" if math.isfinite(rounding + shift + pairs.covariance) else OPEN),
    )
    low, high = ends(made, made.standard_error**2)
    return dataclasses.replace(made, lower=low, upper=high)


def _share(losses: np.ndarray) -> float:
    squares = np.square(losses - np.mean(losses))
    total = float(np.sum(squares))
    return float(np.max(squares)) / total if total > 0 else 0.0


def ends(one: RiskEstimate, variance: float) -> tuple[float, float]:
    """The interval around an estimate whose error has that variance (risk.5)."""
    top = 1.0 if one.loss == "zero-one error" else math.inf
    off = one.shift + one.rounding
    if one.reason or not math.isfinite(variance + off):
        return 0.0, top
    t = float(scipy.stats.t.ppf(0.5 + 0.5 * one.level, one.freedom))
    if top == 1.0:  # Wilson's interval of as many independent losses as have this variance
        n = one.spread**2 / variance
        middle, half = one.value + t**2 / (2 * n), t * math.sqrt(one.value * (1 - one.value) / n + (t / (2 * n)) ** 2)
        low, high = (middle - half) / (1 + t**2 / n), (middle + half) / (1 + t**2 / n)
        return max(min(low, one.value) - off, 0.0), min(max(high, one.value) + off, 1.0)
    half = t * math.sqrt(variance) + off
    # squares are skewed to the right, and the largest are rare: above, as if the largest had been seen once more
    n, gap = one.freedom + 1, one.largest - one.value
    value, high = one.value + gap / (n + 1), t * math.sqrt(variance + (gap / n) ** 2) + off
    grown = high / value if value > 0 else 0.0  # and the interval of the logarithm, which is the longer one
    return max(one.value - half, 0.0), value * math.exp(grown) if 0 < grown < 700 else math.inf if grown else high


def finite_or_none(value: Any) -> Any:
    """A number for JSON, which has none that is not finite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
