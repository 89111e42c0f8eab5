"""What does the kernel along a run say of how fast the run must learn, and does the assumption of Du et al. hold?"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from ntkseq import _checks, _display
from ntkseq._types import PyTree
from ntkseq.spectra.interval import Interval

REFERENCES = ("du2019provably",)
_EPS = float(np.finfo(np.float64).eps)
_LOSS = 64.0 * float(np.finfo(np.float32).eps)
"""What rounding may add to an observed residual: losses are sums in float32 as a rule."""
_COLUMNS = ("min_eigenvalue", "min_eigenvalue_lower", "min_eigenvalue_upper", "max_eigenvalue", "max_eigenvalue_error")


@dataclasses.dataclass(frozen=True, eq=False)
class Trajectory:
    """How fast full-batch gradient descent on the mean squared loss learns, by the kernels a probe saw; an estimate.

    A certified statement would need the kernel at every step and its change within each (training.4). Here it is
    known at the records and taken as constant from each to the next. Lower and upper ends hold the errors of the
    eigenvalues, not this. Where the kernel was not finite, all is nan from there on.

    Attributes:
        steps: of the records, (r,); the first is 0.
        rate: max(|1 - lr lambda_min/n|, |1 - lr lambda_max/n|), by which one step shortens the residual at least.
        rate_lower, rate_upper: its interval; the upper end is nan where the probe saw only a part of the training set.
        factor: the product of the rates over the steps before the record: the estimate of |r_s| / |r_0| at most.
        factor_lower, factor_upper: its interval, with the kernel constant between records.
        recalled: (1 - lr lambda_0/(2 n))^(s/2), the form of Du et al., with the lower end of lambda_0; nan without one.
        status: of lambda_min >= lambda_0/2 for the training set, "holds", "fails" or "unresolved" per record;
            never "holds" where lambda_0 itself cannot be told from zero.
        probe_status: the same for the kernel of the probe set with its own start.
        min_eigenvalue: lambda_min of the probe set at the records.
        start: lambda_0 of the training set; its lower end is 0 where only the probe set is known.
        observed: |r_s| / |r_0| from the losses, or None.
        lr, n, whole: as given.
    """

    steps: Int[np.ndarray, " r"]
    rate: Float[np.ndarray, " r"]
    rate_lower: Float[np.ndarray, " r"]
    rate_upper: Float[np.ndarray, " r"]
    factor: Float[np.ndarray, " r"]
    factor_lower: Float[np.ndarray, " r"]
    factor_upper: Float[np.ndarray, " r"]
    recalled: Float[np.ndarray, " r"]
    status: tuple[str, ...]
    probe_status: tuple[str, ...]
    min_eigenvalue: Float[np.ndarray, " r"]
    start: Interval
    observed: Float[np.ndarray, " r"] | None
    lr: float
    n: int
    whole: bool

    __repr__ = _display.printed

    @property
    def first_failure(self) -> int | None:
        """The step of the first record at which lambda_min is certainly below lambda_0/2; None if at none."""
        return _first(self.steps, self.status)

    @property
    def slower(self) -> Bool[np.ndarray, " r"]:
        """Where the observed residual is longer than `factor_upper` (or `factor`, if that is nan) lets expect.

        Never for a kernel that does not change and a probe set that is the training set.
        """
        if self.observed is None:
            return np.zeros(len(self.steps), bool)
        most = np.where(np.isnan(self.factor_upper), self.factor, self.factor_upper)
        return self.observed > most * (1.0 + _LOSS)

    def __str__(self) -> str:
        seen = "the training set" if self.whole else "a part of the training set"
        lines = [
            f"linear rate along a run, full-batch gradient descent, lr = {self.lr:.4g}, n = {self.n}; kernel of {seen}",
            f"  {'step':>8}  {'lambda_min':>10}  {'rate':>10}  {'estimate':>10}  {'recalled':>10}  {'observed':>10}  "
            "lambda_min >= lambda_0/2",
        ]
        observed = np.full(len(self.steps), np.nan) if self.observed is None else self.observed
        for i in _shown(len(self.steps)):
            numbers = (self.min_eigenvalue[i], self.rate[i], self.factor[i], self.recalled[i], observed[i])
            cells = "  ".join(f"{'-' if math.isnan(x) else format(x, '.4g'):>10}" for x in numbers)
            own = "" if self.whole else f" (probe set: {self.probe_status[i]})"
            lines.append(f"  {self.steps[i]:>8}  {cells}  {self.status[i]}{own}")
        if len(self.steps) > _MOST:
            lines.append(f"  {len(self.steps)} records, {_MOST} shown")
        return "\n".join([*lines, *self._remarks()])

    def _remarks(self) -> list[str]:
        remarks = [
            "  estimate of |r_s|/|r_0|: product of max(|1 - lr lambda_min/n|, |1 - lr lambda_max/n|) [derived; kernel "
            "constant between records]",
            "  recalled: (1 - lr lambda_0/(2n))^(s/2), Du et al. 2019 [recalled; asks for lambda_min >= lambda_0/2 "
            "throughout, and for a small lr]",
        ]
        if not self.whole:
            remarks.append(
                "  of the whole training set the estimate is no smaller than this one, and may be much larger"
            )
        failed = self.first_failure
        if failed is not None:
            remarks.append(f"  lambda_min fell below lambda_0/2 by step {failed}")
        if self.observed is not None:
            remarks.append(f"  observed above the estimate at {int(self.slower.sum())} of {len(self.steps)} records")
        return [*remarks, "  not certified: the kernel between records is not known"]


def learning_speed(
    table: Any, *, lr: float, n: int, whole: bool, start: PyTree = None, losses: Any = None
) -> Trajectory:
    """What the kernels along a tracked run say of the speed of learning, and of the assumption of Du et al.

        |r_s| ~ product over j < s of max(|1 - lr lambda_min(j)/n|, |1 - lr lambda_max(j)/n|) |r_0| or less,
                                                                                                        (training.3)

    for full-batch gradient descent on the mean over n examples of |f - y|^2 / 2, r = f - y, and one output (or outputs
    that share a kernel which does not couple them). The assumption is lambda_min >= lambda_0/2 along the run.

    A part of the training set has no smaller lambda_min than the whole (training.5). So only a fall below half of the
    *whole* set's lambda_0 proves that the assumption fails, which needs `start`; that it holds is never seen.

    Args:
        table: a `training.ProbeTable` of a `training.KernelProbe`, from step 0 on.
        lr: learning rate of the run.
        n: size of the training set.
        whole: whether the probe set is the training set, all of it; False: a part.
        start: lambda_0 of the whole training set, as an interval (`spectrum(...).min_eigenvalue`) or a number taken as
            exact: at initialisation, or in the limit of infinite width, as in the source. None: with whole=True that
            of the first record, otherwise all that is known of it is that it is no larger.
        losses: the mean training loss at the records, (r,), to put what was observed beside; only ratios count.

    Raises:
        ValueError: a table without the columns or without step 0, shapes or numbers that do not fit.

    Reference: du2019provably, for the assumption and the recalled rate.

    Example:
        >>> import numpy as np
        >>> from ntkseq.training.history import ProbeTable
        >>> columns = {
        ...     "min_eigenvalue": [1.0, 0.4],
        ...     "min_eigenvalue_lower": [0.9, 0.3],
        ...     "min_eigenvalue_upper": [1.1, 0.41],
        ... }
        >>> columns |= {"max_eigenvalue": [2.0, 2.0], "max_eigenvalue_error": [0.1, 0.1]}
        >>> table = ProbeTable(np.array([0, 10]), {name: np.array(column) for name, column in columns.items()})
        >>> run = learning_speed(table, lr=0.2, n=2, whole=True)
        >>> run.status, run.first_failure, run.factor.round(3).tolist()
        (('holds', 'fails'), 10, [1.0, 0.349])
    """
    lr, n = _checks.nonnegative("lr", lr, positive=True), _checks.positive_int("n", n)
    whole = _checks.flag("whole", whole)
    steps, columns = _columns(table)
    low, middle, high = (
        float(columns[name][0]) for name in ("min_eigenvalue_lower", "min_eigenvalue", "min_eigenvalue_upper")
    )
    own = Interval(low, middle, high)
    if isinstance(start, Interval):
        first = start
    elif start is None:
        first = own if whole else Interval(0.0, 0.5 * high, high)  # (training.5)
    else:
        number = _checks.nonnegative("start", start)
        first = Interval(number, number, number)
    x = {name: lr * column / n for name, column in columns.items()}
    rate = np.maximum(np.abs(1 - x["min_eigenvalue"]), np.abs(1 - x["max_eigenvalue"]))
    ends = (x["max_eigenvalue"] - x["max_eigenvalue_error"], x["max_eigenvalue"] + x["max_eigenvalue_error"])
    low = np.maximum(_least(x["min_eigenvalue_lower"], x["min_eigenvalue_upper"]), _least(*ends))
    high = np.max(
        np.abs([1 - x["min_eigenvalue_lower"], 1 - x["min_eigenvalue_upper"], 1 - ends[0], 1 - ends[1]]), axis=0
    )
    touch = 4.0 * _EPS * (1.0 + ends[1])  # of 1 - x
    low, high = np.maximum(low - touch, 0.0), high + touch
    if not whole:
        high = np.full(len(steps), np.nan)
    slack = 4.0 * _EPS * (1.0 + steps)  # a product of s rounded numbers
    with np.errstate(over="ignore", invalid="ignore"):
        factor, lower, upper = (_product(value, steps) for value in (rate, low, high))
        lower, upper = lower * np.maximum(1.0 - slack, 0.0), upper * (1.0 + slack)
    observed = None if losses is None else _observed(losses, len(steps))
    lambda_0 = max(first.lower, 0.0)
    inside = 0.5 * lr * lambda_0 / n
    recalled = (1.0 - inside) ** (0.5 * steps) if 0 < inside <= 1 else np.full(len(steps), np.nan)
    return Trajectory(
        steps=steps,
        rate=rate,
        rate_lower=low,
        rate_upper=high,
        factor=factor,
        factor_lower=lower,
        factor_upper=upper,
        recalled=recalled,
        status=_status(columns, first, whole),
        probe_status=_status(columns, own, True),
        min_eigenvalue=columns["min_eigenvalue"],
        start=first,
        observed=observed,
        lr=lr,
        n=n,
        whole=bool(whole),
    )


_MOST = 12
"""Records that are printed."""


def _shown(count: int) -> list[int]:
    return sorted(set(np.linspace(0, count - 1, min(count, _MOST)).round().astype(int).tolist()))


def _first(steps: np.ndarray, status: tuple[str, ...]) -> int | None:
    return next((int(step) for step, word in zip(steps, status, strict=True) if word == "fails"), None)


def _columns(table: Any) -> tuple[Int[np.ndarray, " r"], dict[str, np.ndarray]]:
    try:
        columns = {name: np.asarray(table[name], np.float64) for name in _COLUMNS}
        steps = np.asarray(table.steps, np.int64)
    except (KeyError, AttributeError, TypeError, ValueError, IndexError) as error:
        raise ValueError(
            f"table must be that of a training.KernelProbe, with steps and {', '.join(_COLUMNS)}; got "
            f"{_checks.shown(table)} ({_checks.why(error)})."
        ) from None
    if steps.ndim != 1 or not steps.size or steps[0] != 0 or (np.diff(steps) <= 0).any():
        raise ValueError(f"table must have ascending steps from 0, the initialisation, on; got {steps[:5].tolist()}.")
    for name, column in columns.items():
        if column.shape != steps.shape:
            raise ValueError(f"column {name!r} must have shape {steps.shape}; got {column.shape}.")
        if not np.isfinite(column[0]):  # later rows are nan where training diverged
            raise ValueError(f"column {name!r} must be finite at initialisation; got {column[0]:g}.")
    return steps, columns


def _least(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """min of |1 - x| over low <= x <= high."""
    return np.where((low <= 1) & (high >= 1), 0.0, np.minimum(np.abs(1 - low), np.abs(1 - high)))


def _product(rate: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The product over the steps before each record, the rate of a record counting until the next."""
    return np.concatenate([[1.0], np.cumprod(rate[:-1] ** np.diff(steps))])


def _status(columns: dict[str, np.ndarray], start: Interval, whole: bool) -> tuple[str, ...]:
    words = []
    for low, high in zip(columns["min_eigenvalue_lower"], columns["min_eigenvalue_upper"], strict=True):
        if high < 0.5 * start.lower:
            words.append("fails")
        elif whole and start.lower > 0 and low >= 0.5 * start.upper:
            words.append("holds")
        else:
            words.append("unresolved")
    return tuple(words)


def _observed(losses: Any, r: int) -> Float[np.ndarray, " r"]:
    values = _checks.numbers("losses", losses)
    if values.shape != (r,):
        raise ValueError(f"losses must have shape ({r},), one per record of the table; got {values.shape}.")
    if not 0 < values[0] < math.inf or (values < 0).any():
        raise ValueError(
            f"losses must be >= 0, and the first > 0 and finite; got {values[0]:g} and least {values.min():g}."
        )
    return np.sqrt(values / values[0])
