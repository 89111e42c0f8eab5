"""Is infinite width right for a network of some width, and which width would be? A table with words."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import scipy  # its parts load when they are first used

from ntkseq import _checks, _display, _statistics
from ntkseq._outward import interval
from ntkseq._types import Integer, Number

PRIOR = 4
"""Degrees of freedom with which the variances of all widths together count in that of one width."""
LEVEL = 0.95
TAIL = 0.9
LEAST = 6
"""Networks of each width below which no width is stated: 3 missed 1 in 6 (squared normals)."""


@dataclasses.dataclass(frozen=True, eq=False)
class Verdict:
    """Whether an infinite-width kernel describes networks of finite width: a table by width, and what follows.

    Intervals hold with probability 0.95 each, over the draws. Those of medians and quantiles are order statistics,
    valid for every continuous law, and infinite where the draws are too few (6 for a median, 36 for the upper end of
    `tail`).

    Attributes:
        columns: arrays by width. `width`; of the sizes <K, limit> / |limit|^2 (1 in the limit) `mean`, `mean_error`
            (its standard error), `median`, `median_low`, `median_high`, and `tail`, `tail_low`, `tail_high`, what 9 of
            10 networks stay below; `heavy`, whether the sizes spread by more than their mean, so that a few draws make
            the average and its standard error understates; `distance`, `distance_low`, `distance_high`, the median
            of |K - limit| / |limit|; `within`, `within_low`, `within_high`, the share of networks with a distance of
            at most `error`.
        width: of the network that is asked about.
        error: the wanted distance.
        answer: "yes" where certainly more than half of the networks of that width are within `error`, "no" where
            certainly fewer are, else "undecided".
        needed, needed_low, needed_high: the width from which the root mean square distance is at most `error`, by the
            line through log deviation against log width (finite_width.6), and its interval; nan where `refused`.
        refused: why no width is stated; "" if one is.

    Reference: fieller1954 (the interval of a width); (finite_width.5).
    """

    columns: Mapping[str, np.ndarray]
    width: int
    error: float
    answer: str
    needed: float
    needed_low: float
    needed_high: float
    refused: str

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.columns:
            raise KeyError(f"no column {name!r}; there are {', '.join(self.columns)}.")
        return self.columns[name]

    def __contains__(self, name: object) -> bool:
        """Whether there is a column of that name."""
        return name in self.columns

    def __iter__(self) -> Iterator[str]:
        """The names of the columns."""
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns["width"])

    def __repr__(self) -> str:
        return _display.folded(
            f"Verdict({self.answer!r} at width {self.width}, error {self.error:.3g}; {len(self)} widths)"
        )

    def __str__(self) -> str:
        at = next(row for row in self._rows() if row["width"] == self.width)
        within = interval(at["within_low"], at["within_high"], 2)
        lines = [
            f"Is infinite width right for a network of width {self.width}, within {self.error:.3g}? {self.answer}: "
            f"{100 * at['within']:.0f} % of the networks are within it, {within} at 95 %",
            "size of the kernel relative to the limit, and distance from it:",
            f"  {'width':>6}  {'mean':<18} {'median':<26} {'9 of 10 below':<26} median distance",
        ]
        for row in self._rows():
            mark = " !" if row["heavy"] else ""
            mean = f"{row['mean']:.3g} +- {row['mean_error']:.1g}{mark}"
            spans = [
                f"{row[name]:.3g} in {interval(row[f'{name}_low'], row[f'{name}_high'], 3)}"
                for name in ("median", "tail", "distance")
            ]
            lines.append(f"  {row['width']:>6.0f}  {mean:<18} {spans[0]:<26} {spans[1]:<26} {spans[2]}")
        if self.columns["heavy"].any():
            lines.append("  ! heavy tails: a few draws make the mean, and its error is too small; compare medians")
        if self.refused:
            return "\n".join([*lines, f"no width can be stated: {self.refused}"])
        span = interval(self.needed_low, self.needed_high, 3)
        return "\n".join([*lines, f"deviation {self.error:.3g} from about width {self.needed:.3g}, in {span}"])

    def _rows(self) -> Iterator[dict[str, float]]:
        for i in range(len(self)):
            yield {name: float(column[i]) for name, column in self.columns.items()}


class Fit(NamedTuple):
    """log deviation = middle + slope (log width - centre), by weighted least squares."""

    own: np.ndarray
    """(widths,) the variance of each log deviation by its own draws."""
    centre: float
    middle: float
    middle_error: float
    slope: float
    slope_error: float
    freedom: int


def fit(widths: tuple[int, ...], squares: np.ndarray) -> Fit:
    """The line through log of the root mean of `squares` (widths, draws) against log width."""
    count = squares.shape[1]
    mean = squares.mean(axis=1)
    own = squares.var(axis=1, ddof=1) / count / mean**2 / 4  # of log deviation = log(mean) / 2
    variances = ((count - 1) * own + PRIOR * own.mean()) / (count - 1 + PRIOR)
    x, y = np.log(np.asarray(widths, np.float64)), np.log(mean) / 2
    # draws that do not differ: every width counts the same, and only the misfit says more
    alike = bool((variances == 0.0).all())
    weights = np.ones_like(y) if alike else 1 / variances
    total = float(weights.sum())
    centre, middle = float(weights @ x) / total, float(weights @ y) / total
    x, y = x - centre, y - middle
    size = float(weights @ x**2)
    slope = float(weights @ (x * y)) / size
    freedom = len(widths) - 2
    misfit = float(weights @ (y - slope * x) ** 2) / freedom if freedom else 0.0
    scale = math.sqrt(max(0.0 if alike else 1.0, misfit))
    error = scale / math.sqrt(size)
    return Fit(own, centre, middle, scale / math.sqrt(total), slope, error, len(widths) * (count - 1))


def extrapolate(widths: tuple[int, ...], squares: np.ndarray, error: float) -> tuple[float, float, float, str]:
    """The width at which the root mean of `squares` is error^2, both ends of its interval, and why there is none.

    The interval is Fieller's: all widths at which the line is within its own error of log error.

    Args:
        widths: of the rows.
        squares: (widths, draws), squared distances.
        error: the wanted distance.
    """
    count = squares.shape[1]
    none = lambda why: (math.nan, math.nan, math.nan, why)  # noqa: E731
    if count < LEAST:
        return none(f"{count} networks of each width are too few: draw {LEAST} at least")
    line = fit(widths, squares)
    q = float(scipy.stats.t.ppf(0.5 + 0.5 * LEVEL, line.freedom))
    shown = f"width^({line.slope:.2f} +- {line.slope_error:.2f})"
    if line.slope + q * line.slope_error >= 0:
        return none(f"the deviation goes like {shown}, and may not fall at all: draw more networks")
    up, gap = (q * line.slope_error) ** 2, math.log(error) - line.middle
    lead = line.slope**2 - up
    root = math.sqrt(up * gap**2 + (q * line.middle_error) ** 2 * lead)
    low, high = ((line.slope * gap + sign * root) / lead + line.centre for sign in (-1, 1))
    at = gap / line.slope + line.centre
    if at > math.log(max(widths)) and abs(line.slope + 0.5) > q * line.slope_error:
        return none(f"the deviation goes like {shown}, not yet like width^(-1/2): take larger widths")
    most = math.log(np.finfo(np.float64).max)
    at, low, high = (math.exp(min(one, most)) for one in (at, low, high))
    return at, low, high, ""


def judge(result: Any, error: Number, width: Integer | None) -> Verdict:
    """See `Convergence.verdict`."""
    error = _checks.nonnegative("error", error, positive=True)
    width = max(result.widths) if width is None else _checks.positive_int("width", width)
    if width not in result.widths:
        raise ValueError(
            f"width must be one at which networks were drawn, {', '.join(map(str, result.widths))}; got {width}."
        )
    columns = _columns(result, error)
    low, high = (float(columns[end][result.widths.index(width)]) for end in ("within_low", "within_high"))
    answer = "yes" if low > 0.5 else "no" if high < 0.5 else "undecided"
    fine = np.flatnonzero(~columns["heavy"])
    if len(fine) < 2:
        needed = (math.nan, math.nan, math.nan, f"{told_heavy(result)}; take larger widths")
    else:
        needed = extrapolate(tuple(result.widths[i] for i in fine), result.distances[fine] ** 2, error)
    return Verdict(columns, width, error, answer, *needed)


def told_heavy(result: Any) -> str:
    """In words, at which widths a few draws make the average."""
    sizes, heavy = result.sizes, result.heavy
    worst = int(np.argmax(np.where(heavy, np.abs(sizes.mean(axis=1)), -np.inf)))
    at = ", ".join(str(width) for width, one in zip(result.widths, heavy, strict=True) if one)
    return (
        f"averages over networks have heavy tails at width {at}: at {result.widths[worst]} the mean kernel is "
        f"{sizes[worst].mean():.3g} times the limit, the median {np.median(sizes[worst]):.3g}"
    )


def _columns(result: Any, error: float) -> dict[str, np.ndarray]:
    rows = []
    for width, sizes, distances in zip(result.widths, result.sizes, result.distances, strict=True):
        count = int((distances <= error).sum())
        middle, tail, far = (
            _statistics.quantile(*one, LEVEL) for one in ((sizes, 0.5), (sizes, TAIL), (distances, 0.5))
        )
        share = _statistics.proportion(count, len(distances), LEVEL)
        mean = (sizes.mean(), _statistics.standard_error(sizes))
        rows.append((width, *mean, *middle, *tail, *far, count / len(distances), *share))
    names = ["width", "mean", "mean_error"]
    names += [name + end for name in ("median", "tail", "distance", "within") for end in ("", "_low", "_high")]
    columns = {name: np.asarray(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    return columns | {"heavy": result.heavy}
