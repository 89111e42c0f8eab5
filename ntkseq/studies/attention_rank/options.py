"""What can be asked of the study of attention ranks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from ntkseq import _checks
from ntkseq.studies.base import NamedStudy
from ntkseq.studies.records import Reading

TASKS = ("characters", "classes")


@dataclasses.dataclass(frozen=True)
class RankOptions(NamedStudy, Reading):
    """Options of the study of attention ranks."""

    quick_values: ClassVar[Mapping[str, Any]] = {
        "sizes": (128, 512, 2048),
        "class_sizes": (64, 256, 1024),
        "sigmas": (0.5, 2.0),
        "seeds": 3,
        "steps": 400,
    }

    two_or_more = ("sizes", "class_sizes")  # for an exponent

    quick: bool = False
    """Three sizes up to 2048, two sigmas, three seeds, 400 steps: two to three minutes on two cores."""
    tasks: tuple[Literal["characters", "classes"], ...] = TASKS
    """"characters": the next character of a text. "classes": classes of sequences."""
    text: str | None = None
    """A text file (UTF-8). Default: scikit-learn's descriptions of data sets (BSD 3-Clause), 40,000 characters."""
    window: int = 16
    """Characters that are seen."""
    source: str = "digits"
    """"digits", row by row, or a file with sequences, as `ntkseq study FILE` takes it."""
    classes: tuple[str, ...] = ()
    """Names of two or more classes. Default: all."""
    sizes: tuple[int, ...] = (128, 256, 512, 1024, 2048, 4096, 8192)
    """Training windows of text: two or more different numbers."""
    class_sizes: tuple[int, ...] = (32, 64, 128, 256, 512, 1024)
    """Training sequences: two or more different numbers, at most as many as there are."""
    sigmas: tuple[float, ...] = (0.5, 1.0, 2.0)
    """Factors of the queries at the start: flat or sharp attention."""
    seeds: int = 5
    """Runs of each n and sigma, each with training examples and weights of its own."""
    width: int = 32
    """Coordinates of a token in the transformer."""
    heads: int = 4
    """Heads of each of its attention blocks."""
    depth: int = 2
    """Its attention blocks."""
    hidden: int = 4
    """Coordinates behind the single head."""
    steps: int = 1000
    """Steps of Adam."""
    batch: int = 32
    """Examples of a step."""
    rate: float = 0.03
    """Learning rate of Adam, on weights that are N(0, 1) at the start."""
    n_test: int = 1000
    """Test windows, and twice the test digits. A file: its test split, or a quarter of it."""
    delta: float = 0.05
    """Probability that one bound fails."""
    seed: int = 0
    """Seed of the test examples and, counted up, of the runs."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window < 2:
            raise ValueError("window must be 2 or more: attention over one token is 1 whatever it learns; got 1.")
        _checks.nonnegative("rate", self.rate, positive=True)
        _checks.probability("delta", self.delta)
        for sigma in self.sigmas:
            _checks.nonnegative("sigmas", sigma, positive=True)
