"""Do attribution scores foretell what leaving out examples does? The linear datamodeling score, with an interval."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import scipy  # its parts load when they are first used
from jaxtyping import Bool, Float

from ntkseq import _checks, _display, _statistics
from ntkseq._types import ArrayLike, Seed

LEAST = 4
"""Subsets below which a rank correlation, and its change without one of them, say nothing."""


@dataclasses.dataclass(frozen=True, eq=False)
class DatamodelingScore:
    """The linear datamodeling score (LDS) of attribution scores. Made by `datamodeling_score`.

    Attributes:
        value: the mean over test examples of the rank correlations, in [-1, 1]; 1 if the scores order all subsets.
        lower, upper: its interval at `level`, over random subsets and what else was drawn anew for each of them.
        standard_error: of the value, by the jackknife over subsets.
        each: the rank correlation of each test example, (m,); nan where all predictions or outputs are equal.
        level: the probability with which the interval covers what infinitely many subsets would give.
        subsets: their number.
        without: the value without each of the subsets, (subsets,).

    Reference: park2023trak, section 2 (the score); efron1981jackknife.
    """

    value: float
    lower: float
    upper: float
    standard_error: float
    each: Float[np.ndarray, " m"]
    level: float
    subsets: int
    without: Float[np.ndarray, " subsets"]

    def minus(self, other: DatamodelingScore) -> tuple[float, float, float]:
        """By how much this score is above another one on the same subsets and outputs, and its interval at `level`.

        What the subsets have in common is left out of it, so that it is narrower than those of both.

        Args:
            other: the other score.

        Returns:
            The difference, and the lower and upper end of its interval.

        Raises:
            ValueError: another number of subsets.
        """
        _checks.kind("other", other, DatamodelingScore)
        if other.subsets != self.subsets:
            raise ValueError(
                f"other must be a score on the same subsets; got {other.subsets} and {self.subsets} of them."
            )
        return _interval(self.value - other.value, self.without - other.without, self.level)[:3]

    def __repr__(self) -> str:
        return _display.folded(
            f"DatamodelingScore({self.value:.3f} in [{self.lower:.3f}, {self.upper:.3f}] at level {self.level:g}, "
            f"{len(self.each)} test examples, {self.subsets} subsets)"
        )


def datamodeling_score(
    scores: ArrayLike, subsets: ArrayLike, outputs: ArrayLike, *, level: float = 0.95
) -> DatamodelingScore:
    """The linear datamodeling score (LDS): do scores foretell the outputs of models trained on subsets?

        LDS = mean over j of Spearman(sum over i in S_b of scores_ji, outputs_bj)                       over subsets b

    `outputs` come from any training: a model is trained on each subset, and its output at each test example is written
    down; the mean over several seeds where the seed makes noise. `data_subsets` draws subsets.

    The interval is that of Student with the jackknife over subsets. It is about other subsets of the same law, and
    these test examples; noise of training in `outputs` lowers the score itself, and no interval shows by how much.

    Args:
        scores: what each of n training examples adds at each of m test examples, (m, n): of `trak`, `influence`, or
            anything else.
        subsets: which examples each subset holds, (subsets, n), True or 1 where it does; independent draws.
        outputs: of the model trained on each subset, (subsets, m): margin, loss, prediction, as the scores are of.
        level: of the interval.

    Raises:
        ValueError: shapes that do not fit, fewer than 4 subsets, numbers that are not finite, correlations that do not
            exist for any test example.

    Reference: park2023trak, section 2; ilyas2022datamodels.

    Example:
        >>> import numpy as np
        >>> from ntkseq import predictors
        >>> subsets = predictors.data_subsets(20, 100, seed=0)
        >>> effects = np.random.default_rng(1).normal(size=(3, 20))
        >>> predictors.datamodeling_score(effects, subsets, subsets @ effects.T).value
        1.0
    """
    scores, outputs = _checks.numbers("scores", scores), _checks.numbers("outputs", outputs)
    chosen = _subsets(subsets)
    count, n = chosen.shape
    if scores.ndim != 2 or scores.shape[1] != n or not scores.size:
        raise ValueError(f"scores must have shape (m, {n}), one column per training example; got {scores.shape}.")
    if outputs.shape != (count, len(scores)):
        raise ValueError(
            f"outputs must have shape ({count}, {len(scores)}), subsets by test examples; got {outputs.shape}."
        )
    _checks.finite("scores", scores)
    _checks.finite("outputs", outputs)
    level = _checks.probability("level", level)
    predicted = chosen.astype(np.float64) @ scores.T
    each = _spearman(predicted, outputs)
    there = np.isfinite(each)
    if not there.any():
        raise ValueError("scores and outputs must differ between subsets; at every test example one of them does not.")
    without = np.empty(count)
    for b in range(count):
        rest = np.arange(count) != b
        left = _spearman(predicted[rest][:, there], outputs[rest][:, there])
        without[b] = np.mean(np.where(np.isfinite(left), left, 0.0))  # alike but for this subset: nothing is foretold
    value = float(np.mean(each[there]))
    _, lower, upper, error = _interval(value, without, level)
    return DatamodelingScore(value, lower, upper, error, each, level, count, without)


def data_subsets(n: int, count: int, *, share: float = 0.5, seed: Seed = 0) -> Bool[np.ndarray, "count n"]:
    """Independent random subsets of n examples, each of round(share n) of them: rows of True and False.

    Args:
        n: examples, 2 or more.
        count: subsets.
        share: of the examples that each holds, in (0, 1).
        seed: of the draws.

    Raises:
        ValueError: counts that are too small, a share that leaves none or takes all.

    Example:
        >>> from ntkseq import predictors
        >>> predictors.data_subsets(6, 4, share=0.5).sum(axis=1).tolist()
        [3, 3, 3, 3]
    """
    n, count = _checks.integer("n", n, 2), _checks.positive_int("count", count)
    share, seed = _checks.probability("share", share), _checks.seed("seed", seed)
    size = round(share * n)
    if not 0 < size < n:
        raise ValueError(f"share must leave some of the {n} examples and take some; got {share}, {size} of them.")
    order = np.argsort(np.random.default_rng(seed).random((count, n)), axis=1)
    return order < size


def _interval(value: float, without: np.ndarray, level: float) -> tuple[float, float, float, float]:
    """A value with Student's interval by the jackknife, and its standard error (attribution.10)."""
    error = float(np.sqrt(_statistics.jackknife(value, without)[0]))
    half = _statistics.half_width(error, len(without) - 1, level)
    return value, value - half, value + half, error


def _spearman(a: Float[np.ndarray, "b m"], b: Float[np.ndarray, "b m"]) -> Float[np.ndarray, " m"]:
    """The rank correlation of each column, ties at their mean rank; nan where a column is constant."""
    ranks = [scipy.stats.rankdata(columns, axis=0) for columns in (a, b)]
    left, right = (rank - (len(rank) + 1) / 2 for rank in ranks)
    size = np.sqrt(np.sum(left**2, axis=0) * np.sum(right**2, axis=0))
    dots = np.sum(left * right, axis=0)
    return np.where(size > 0, dots / np.where(size > 0, size, 1.0), np.nan)


def _subsets(subsets: Any) -> np.ndarray:
    chosen = _checks.numbers("subsets", subsets)
    if chosen.ndim != 2 or not chosen.size:
        raise ValueError(
            f"subsets must have shape (subsets, n), True where a subset holds the example; got {chosen.shape}."
        )
    if not np.isin(chosen, (0.0, 1.0)).all():
        raise ValueError("subsets must hold True and False, or 1 and 0, not indices of examples.")
    if len(chosen) < LEAST:
        raise ValueError(f"subsets must be {LEAST} or more, for a rank correlation; got {len(chosen)}.")
    return chosen
