"""What can be asked of the study of additive targets of recurrent networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from ntkseq import _checks
from ntkseq.studies.base import NamedStudy
from ntkseq.studies.recurrent.targets import function


@dataclasses.dataclass(frozen=True)
class AdditiveOptions(NamedStudy):
    """Options of the study of additive targets."""

    quick_values: ClassVar[Mapping[str, Any]] = {
        "steps": (4, 8, 16),
        "examples": (16, 32, 64, 128, 256),
        "functions": ("linear", "sin"),
        "widths": (64, 256),
        "sgd_examples": (32, 128),
        "epochs": 20,
        "n_test": 500,
    }

    two_or_more = ("examples",)  # for an exponent

    quick: bool = False
    """Lengths up to 16, two functions, 256 examples at most, small networks: under three minutes on two cores."""
    steps: tuple[int, ...] = (4, 8, 16, 32, 64)
    """Lengths t of the sequences, 3 or more each."""
    examples: tuple[int, ...] = (32, 64, 128, 256, 512, 1024)
    """Numbers n of training examples, two or more."""
    functions: tuple[str, ...] = ("linear", "square", "sin", "exp")
    """Functions of a token: linear, square, cube, or an analytic one of ntkseq.concepts.series by its name."""
    places: tuple[Literal["late", "early", "all"], ...] = ("late", "early", "all")
    """Which tokens count: the last but one, the second, or all between the first and the last. Networks learn the
    first of these places only."""
    features: int = 4
    """Features d of a token; the last one belongs to the first token."""
    short: float = 1.5
    """Norm of the later tokens, as the power t^-short, where they are made short; 0 leaves that part out."""
    draws: int = 3
    """Independent training and test sets; the intervals of the exponents come from them."""
    n_test: int = 1000
    """Test examples of each draw."""
    delta: float = 0.05
    """Probability that a bound fails."""
    grid: float = 0.5
    """B0 of the bounds in units of 1/sqrt(K(x, x)), fixed before any label is seen."""
    widths: tuple[int, ...] = (64, 512)
    """Widths m of the networks."""
    sgd_examples: tuple[int, ...] = (32, 128, 256)
    """Numbers n of examples that the networks learn from."""
    seeds: int = 2
    """How many initialisations of each network."""
    epochs: int = 40
    """Passes of SGD over the examples; 1 is one pass in the order given."""
    batch: int = 8
    """Examples of a step."""
    rate: float = 1.0
    """Step of SGD in units of the inverse curvature of a batch in the kernel limit; 2 is the edge of stability."""
    seed: int = 0
    """Seed of directions, data, networks and batches."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for one in self.functions:
            function(one)
        _checks.probability("delta", self.delta)
        _checks.nonnegative("grid", self.grid, positive=True)
        _checks.nonnegative("rate", self.rate, positive=True)
        _checks.nonnegative("short", self.short)
        if min(self.steps) < 3:
            raise ValueError(
                f"steps must be 3 or more: the first token is the same everywhere, and the last is left out; "
                f"got {min(self.steps)}."
            )
        if self.features < 2:
            raise ValueError(f"features must be 2 or more: the first token has one of its own; got {self.features}.")
