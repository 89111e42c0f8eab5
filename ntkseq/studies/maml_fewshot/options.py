"""What can be asked of the study of few-shot tasks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from ntkseq import _checks
from ntkseq.studies.base import NamedStudy
from ntkseq.studies.records import Reading


@dataclasses.dataclass(frozen=True)
class FewShotOptions(NamedStudy, Reading):
    """Options of the study of few-shot tasks."""

    quick_values: ClassVar[Mapping[str, Any]] = {
        "tasks": 200,
        "test_tasks": 200,
        "inner_steps": 15,
        "widths": (64, 128),
        "seeds": 1,
        "steps": 100,
    }

    two_or_more = ("widths",)  # for a slope

    quick: bool = False
    """200 tasks, 15 inner steps, networks of width 64 and 128 from one start: under three minutes on two cores."""
    source: str = "digits"
    """"digits" or a file with sequences of four classes or more, as `ntkseq study FILE` takes it."""
    classes: tuple[str, ...] = ()
    """Names of the classes to use. Default: all."""
    held_out: int = 3
    """How many classes are never seen in meta-training, drawn with --seed; two or more on either side."""
    new_classes: tuple[str, ...] = ()
    """Their names, instead of a draw."""
    ways: int = 2
    """Classes of a task; 2 are labelled -1 and +1, more one-hot."""
    shots: tuple[int, ...] = (1, 5)
    """Support examples per class. Networks are trained with the first of them."""
    labels: tuple[Literal["permuted", "fixed"], ...] = ("permuted", "fixed")
    """How a task names its classes: at random, or the smaller one always -1. Networks are trained with the first."""
    queries: int = 1
    """Query examples per class."""
    tasks: int = 500
    """Tasks N to meta-train on."""
    test_tasks: int = 500
    """New tasks of seen classes, and as many of new classes."""
    inner_steps: int = 20
    """Steps of the inner loop."""
    inner_rate: float = 0.7
    """Its step size, in units of the inverse of s max K(x, x), which no eigenvalue of a support kernel exceeds."""
    widths: tuple[int, ...] = (64, 128, 256)
    """Two or more widths of the networks."""
    seeds: int = 2
    """How many initialisations of each network."""
    steps: int = 200
    """Steps of SGD over tasks."""
    batch: int = 16
    """Tasks of a step."""
    outer_rate: float = 0.1
    """Its step size, in units of the inverse of the largest eigenvalue of the meta-kernel over its number of rows."""
    delta: float = 0.05
    """Probability that a bound fails."""
    grid: float = 1.0
    """B0 of the bounds in units of 1/sqrt(max K(x, x)), fixed before any label is seen."""
    seed: int = 0
    """Seed of classes, tasks, networks and batches."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.inner_rate < 2:
            raise ValueError(f"inner_rate must lie in (0, 2), where the inner loop is stable; got {self.inner_rate}.")
        _checks.nonnegative("outer_rate", self.outer_rate, positive=True)
        _checks.nonnegative("grid", self.grid, positive=True)
        _checks.probability("delta", self.delta)

    @property
    def outputs(self) -> int:
        """Of a network: one for labels -1/+1."""
        return 1 if self.ways == 2 else self.ways
