"""How the risk of ridge regression falls with the number of examples: predicted from one spectrum, and measured."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import scipy.linalg
from jaxtyping import Float, Int

from ntkseq import _checks, _display, _plots, _statistics
from ntkseq._types import ArrayLike, GramLike, Key
from ntkseq.grams.arrays import symmetric
from ntkseq.predictors import left_out, plots
from ntkseq.predictors.kernel_ridge import factorise
from ntkseq.predictors.left_out import Problem, Residuals
from ntkseq.predictors.omniscient import Equivalent, equivalent
from ntkseq.predictors.risk import PredictedRisk, ends, estimate, finite_or_none, of_problem

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, eq=False)
class LossCurve:
    """The mean of one loss over numbers of training examples, measured and predicted. Made by `learning_curve`.

    Attributes:
        losses: measured on the examples that were not drawn, (draws, s).
        measured: their mean over draws, (s,).
        lower, upper: Student's interval of the mean over all ways to draw from these n examples. It holds nothing of
            how other examples would differ.
        predicted: from one eigendecomposition of all n, (s,).
        predicted_lower, predicted_upper: its interval for the risk over all examples there could be.
        rounding: how far rounding of K may have moved `predicted`, (s,).

    Reference: simon2021eigenlearning; canatar2021.
    """

    losses: Float[np.ndarray, "draws s"]
    measured: Float[np.ndarray, " s"]
    lower: Float[np.ndarray, " s"]
    upper: Float[np.ndarray, " s"]
    predicted: Float[np.ndarray, " s"]
    predicted_lower: Float[np.ndarray, " s"]
    predicted_upper: Float[np.ndarray, " s"]
    rounding: Float[np.ndarray, " s"]

    __repr__ = _display.record

    def to_dict(self) -> dict[str, Any]:
        """Everything as lists; what is infinite becomes None."""
        return {one.name: _listed(getattr(self, one.name)) for one in dataclasses.fields(self)}


@dataclasses.dataclass(frozen=True, eq=False)
class RiskCurve:
    """Predicted against measured risk over numbers of training examples. Made by `learning_curve`.

    Attributes:
        sizes: numbers of training examples m, (s,), ascending.
        squared: of the squared error, mean over outputs.
        zero_one: of the zero-one error; None where y does not encode classes.
        omniscient: the squared error predicted from eigenvalues and coefficients of y alone, (s,) (risk.8).
        kappa: the ridge on all n that stands for reg on m of them, (s,), in units of K (risk.6).
        whole: what all n examples predict of the fit on all of them.
        n, draws: examples, and draws of each size.
        reg: the ridge.
        level: of the intervals.

    Reference: simon2021eigenlearning; canatar2021.
    """

    sizes: Int[np.ndarray, " s"]
    squared: LossCurve
    zero_one: LossCurve | None
    omniscient: Float[np.ndarray, " s"]
    kappa: Float[np.ndarray, " s"]
    whole: PredictedRisk
    n: int
    draws: int
    reg: float
    level: float

    @property
    def certified(self) -> bool:
        """Always False: a prediction is no bound."""
        return False

    def plot(self, ax: Axes | None = None, *, loss: str = "squared error") -> Axes:
        """Measured risks with their intervals, and the predicted ones in a band; see `reports.learning.predicted`.

        Args:
            ax: matplotlib Axes to draw into; new ones of pyplot if None.
            loss: "squared error" or "zero-one error".

        Raises:
            ValueError: something else than Axes; the zero-one error of targets that do not encode classes.
            ImportError: matplotlib is not installed.
        """
        return plots.risk_curve(self, _plots.shown(ax), loss=loss)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-ready values; what is infinite becomes None."""
        return {
            "sizes": self.sizes.tolist(),
            "squared": self.squared.to_dict(),
            "zero_one": None if self.zero_one is None else self.zero_one.to_dict(),
            "omniscient": _listed(self.omniscient),
            "kappa": _listed(self.kappa),
            "whole": self.whole.to_dict(),
            "n": self.n,
            "draws": self.draws,
            "reg": self.reg,
            "level": self.level,
            "certified": False,
        }

    def __repr__(self) -> str:
        return _display.clipped(str(self))

    def _repr_html_(self) -> str:
        head, names, *rows = str(self).splitlines()
        return _display.table(head, [row.split() for row in rows], names.split())

    def __str__(self) -> str:
        name, shown = ("squared error", self.squared) if self.zero_one is None else ("zero-one error", self.zero_one)
        rows = [
            f"  {m:>6}  {measured:>9.4g}  {predicted:>9.4g}"
            for m, measured, predicted in zip(self.sizes, shown.measured, shown.predicted, strict=True)
        ]
        head = f"RiskCurve of {self.n} examples, {self.draws} draws, reg={self.reg:.3g}: {name}, not certified"
        return "\n".join([head, f"  {'m':>6}  {'measured':>9}  {'predicted':>9}", *rows])


def learning_curve(
    K: GramLike,
    y: ArrayLike,
    *,
    reg: float,
    key: Key,
    sizes: ArrayLike | None = None,
    draws: int = 20,
    level: float = 0.95,
) -> RiskCurve:
    """The risk of `ridge` on m of the n examples, over m: measured on the rest, and predicted from one spectrum.

        sum_i (l_i + reg) / (l_i + kappa) = m              the m examples learn as all n would with the ridge kappa
        predicted(m) = mean over i of ([B y]_i / B_ii)^2 * m A / (n M),       B = (K + kappa)^-1
        A = sum_i 1/(l_i + kappa),       M = sum_i (l_i + reg)/(l_i + kappa)^2

    At m = n this is leave-one-out, at m = 0 the mean of y^2. The zero-one error is predicted from the same numbers,
    with outputs that are normal over draws. The derivation assumes that the eigenvectors lie evenly over the examples;
    it gets worse for a small ridge with examples that are much nearer to some than to others. The difference between
    `predicted` and `omniscient` shows that, and is part of the interval.

    Args:
        K: Gram matrix of the examples, a Gram or an array, (n, n), n >= 2.
        y: targets (n,) or (n, k); see `predicted_risk`.
        reg: the ridge, the same for all m.
        key: random key of the draws: `jax.random.key(seed)`.
        sizes: numbers of training examples, each in 1..n - 1; None: up to eight between n / 32 and 4 n / 5.
        draws: of each size, >= 2. A draw is an order of the examples: its first m are trained on, for every m.
        level: of the intervals.

    Returns:
        RiskCurve: sizes, measured and predicted risks with their intervals.

    Raises:
        ValueError: sizes outside 1..n - 1, one draw, and as `predicted_risk`.

    Reference: simon2021eigenlearning and canatar2021 for a population; of n examples without replacement derived here.

    Example:
        >>> import jax
        >>> import numpy as np
        >>> x = np.linspace(-1.0, 1.0, 40)
        >>> K = np.exp(-((x[:, None] - x) ** 2))
        >>> curve = learning_curve(K, np.sin(3 * x), reg=0.1, key=jax.random.key(0), sizes=(5, 20))
        >>> bool(np.all(curve.squared.predicted[1:] < curve.squared.predicted[:-1]))
        True
    """
    draws, level = _checks.integer("draws", draws, 2), _checks.probability("level", level)
    key = _checks.prng_key("key", key)
    held = symmetric(K)
    known = left_out.problem(held, y, reg)
    n = known.n
    sizes = _sizes(sizes, n)
    found = [equivalent(known, int(m)) for m in sizes]
    orders = np.asarray(_orders(jax.random.split(key, draws), n))
    measured = _measured(np.ldexp(held.matrix, -int(math.log2(known.scale))), known, sizes, orders)
    predicted = [_predicted(known, one, level) for one in found]
    curves = [
        LossCurve(losses, *_means(losses, level), *(np.array(column) for column in zip(*rows, strict=True)))
        for losses, rows in zip(measured, zip(*predicted, strict=True), strict=True)
    ]
    return RiskCurve(
        sizes=sizes,
        squared=curves[0],
        zero_one=curves[1] if known.classes else None,
        omniscient=np.array([one.omniscient(known) for one in found]),
        kappa=np.array([one.kappa * known.scale for one in found]),
        whole=of_problem(known, level),
        n=n,
        draws=draws,
        reg=known.reg * known.scale,
        level=level,
    )


@functools.partial(jax.jit, static_argnums=1)
def _orders(keys: jax.Array, n: int) -> jax.Array:
    return jax.vmap(lambda key: jax.random.permutation(key, n))(keys)


def _sizes(sizes: ArrayLike | None, n: int) -> np.ndarray:
    if sizes is None:
        return np.unique(np.geomspace(max(1, n / 32), max(1, min(0.8 * n, n - 1)), 8).round().astype(np.int64))
    given = _checks.host("sizes", sizes)
    if given.ndim != 1 or not given.size or given.dtype.kind not in "iu":
        raise ValueError(f"sizes must be a list of integers, numbers of training examples; got {_checks.shown(sizes)}.")
    if given.min() < 1 or given.max() > n - 1:
        raise ValueError(
            f"sizes must lie in 1..{n - 1}, so that of {n} examples one is left to test on; got "
            f"{given.min()}..{given.max()}."
        )
    return np.unique(given.astype(np.int64))


def _measured(matrix: np.ndarray, known: Problem, sizes: np.ndarray, orders: np.ndarray) -> list[np.ndarray]:
    """Losses (draws, s), squared and for classes zero-one: one Cholesky factor per draw, its corners for all sizes."""
    squared, zero_one = np.empty((2, len(orders), len(sizes)))
    most = int(sizes[-1])
    for draw, order in enumerate(orders):
        columns, y = matrix[np.ix_(order, order[:most])], known.y[order]
        factor, lower = factorise(columns[:most], known.reg)
        for at, m in enumerate(sizes):
            residuals = y[m:] - columns[m:, :m] @ scipy.linalg.cho_solve((factor[:m, :m], lower), y[:m])
            squared[draw, at] = np.mean(residuals**2)
            zero_one[draw, at] = np.mean(left_out.wrong(y[m:], residuals)) if known.classes else np.nan
    return [squared, zero_one] if known.classes else [squared]


def _means(losses: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    pairs = np.array([_statistics.mean(column, level) for column in losses.T])
    return pairs[:, 0], np.maximum(pairs[:, 0] - pairs[:, 1], 0.0), pairs[:, 0] + pairs[:, 1]


def _predicted(known: Problem, one: Equivalent, level: float) -> list[tuple[float, float, float, float]]:
    """Value, lower, upper and rounding of the squared and, for classes, of the zero-one error (risk.9)."""
    moved = known.rounding + one.moved
    found = left_out.one_left_out(known, one.kappa, float(known.lowest[0]) + one.low, moved)
    values, errors = found.values, found.errors
    losses = one.inflation * np.mean(values**2, axis=1)
    value, off = float(np.mean(losses)), float(np.mean(2.0 * np.abs(values) * errors + errors**2))
    rounding = one.inflation_error * (value / one.inflation + off) + one.inflation * off
    shift = abs(value - one.omniscient(known))
    rows = [_row(known, losses, value, shift, rounding, level, "squared")]
    if known.classes:
        rows.append(_zero_one(known, one, found, level))
    return rows


def _zero_one(known: Problem, one: Equivalent, found: Residuals, level: float) -> tuple[float, float, float, float]:
    """Each output is normal over draws, its mean y - r, its variance what the inflation adds to r^2 (risk.10)."""
    y, r = known.y, found.values
    mean = np.mean(r**2, axis=0)
    losses = left_out.expected_wrong(y, r, np.sqrt((one.inflation - 1.0) * mean))
    value = float(np.mean(losses))
    if not np.all(np.isfinite(found.errors)) or not math.isfinite(one.inflation_error):
        return _row(known, losses, value, 0.0, math.inf, level, "zero-one")
    towards = np.where(y == y.max(), 1.0, -1.0) if y.shape[1] > 1 else y  # the true output lower, the others higher
    rounding = 0.0
    for sign in (1.0, -1.0):
        for inflation in (one.inflation - one.inflation_error, one.inflation + one.inflation_error):
            spread = np.sqrt(max(inflation - 1.0, 0.0) * mean)
            other = left_out.expected_wrong(y, r + sign * towards * found.errors, spread)
            rounding = max(rounding, abs(float(np.mean(other)) - value))
    return _row(known, losses, value, 0.0, rounding, level, "zero-one")


def _row(
    known: Problem, losses: np.ndarray, value: float, shift: float, rounding: float, level: float, loss: str
) -> tuple[float, float, float, float]:
    alone = left_out.Pairs(0.0, 0.0, 0.0)  # that predictions share examples is seen at m = n only, by `whole`
    alike = left_out.ALIKE if known.alike else ""
    made = estimate("omniscient", losses, value, shift, alone, rounding, level, 0, known.estimated, alike, loss=loss)
    low, high = ends(made, made.standard_error**2)
    return value, low, high, rounding


def _listed(values: np.ndarray) -> list[Any]:
    return [_listed(one) if np.ndim(one) else finite_or_none(float(one)) for one in values]
