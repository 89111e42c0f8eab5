"""What was found on one task by the study of attention ranks? Runs, their exponent, and what orders them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from ntkseq.bounds import Bound, effective_rank_capacity
from ntkseq.spectra import Interval
from ntkseq.studies.attention_rank.correlations import Exponent, Predictors, exponent, predictors
from ntkseq.studies.attention_rank.heads import Certified
from ntkseq.studies.attention_rank.networks import Measured
from ntkseq.studies.attention_rank.tasks import Task


@dataclasses.dataclass(frozen=True, eq=False)
class TaskRuns:
    """All runs of one task.

    Attributes:
        runs: transformers that did not diverge.
        certified: heads and read-outs.
        lost, lost_heads: transformers and heads that diverged.
    """

    task: Task
    runs: Sequence[Measured]
    certified: Sequence[Certified]
    lost: int = 0
    lost_heads: int = 0

    @property
    def n(self) -> np.ndarray:
        """Of each transformer."""
        return np.array([run.n for run in self.runs], float)

    def column(self, value: Callable[[Measured], float]) -> np.ndarray:
        """A number of each transformer."""
        return np.array([value(run) for run in self.runs], float)

    @property
    def gap(self) -> np.ndarray:
        """Gap of the cross-entropy."""
        return self.column(lambda run: run.gap.estimate)

    @property
    def fit(self) -> Exponent:
        """Exponent of the gap."""
        return exponent(self.n, self.gap)

    @cached_property
    def everywhere(self) -> Predictors:
        """Every effective rank against the gap, over all runs."""
        return predictors(self._ranks, self.gap)

    @cached_property
    def within(self) -> Predictors:
        """The same among runs of the same n."""
        return predictors(self._ranks, self.gap, groups=self.n)

    @cached_property
    def n_alone(self) -> Interval:
        """What n itself says of the gap, to compare."""
        return predictors({"n": self.n}, self.gap).rho["n"]

    @property
    def _ranks(self) -> dict[str, np.ndarray]:
        one = [run.numbers() for run in self.runs]
        return {name: np.array([numbers[name] for numbers in one]) for name in one[0]}

    def template(self, run: Measured, kind: str) -> Bound:
        """The template for one run and definition."""
        return effective_rank_capacity(run.ranks, run.n, kind=kind)
