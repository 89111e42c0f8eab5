"""What can be asked of the study of position-to-position targets of recurrent networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from ntkseq import _checks
from ntkseq.studies.base import NamedStudy
from ntkseq.studies.recurrent.targets import function

FIRST = 2  # the first step with a label, counted from 0; the papers' third


@dataclasses.dataclass(frozen=True)
class PositionsOptions(NamedStudy):
    """Options of the study of position-to-position targets."""

    quick_values: ClassVar[Mapping[str, Any]] = {
        "length": 8,
        "examples": (16, 32, 64, 128),
        "functions": ("sin",),
        "draws": 2,
        "n_test": 300,
        "probes": 100,
        "widths": (64, 256),
        "sgd_examples": (32, 128),
        "epochs": 20,
    }

    quick: bool = False
    """Length 8, one function, 128 sequences at most, small networks: under three minutes on two cores."""
    length: int = 10
    """Length t of the sequences, 3 or more; steps from the third on have a label."""
    eps_x: float = 1.0
    """Norm of all tokens but the first; the target's directions are as much longer."""
    examples: tuple[int, ...] = (16, 32, 64, 128, 256)
    """Numbers n of training sequences, two or more. The kernel matrix has n (t - 2) points."""
    functions: tuple[str, ...] = ("linear", "sin")
    """Functions of a token: linear, square, cube, or an analytic one of ntkseq.concepts.series by its name."""
    sources: tuple[Literal["near", "far", "all"], ...] = ("near", "far", "all")
    """Which tokens a step adds up: the one before it, the second of the sequence, or all from the second on."""
    features: int = 4
    """Features d of a token; the last one belongs to the first token."""
    draws: int = 3
    """Independent training and test sets."""
    n_test: int = 500
    """Test sequences of each draw."""
    probes: int = 200
    """Test sequences whose tokens are replaced one by one, n_test at most."""
    delta: float = 0.05
    """Probability that a bound fails."""
    grid: float = 0.5
    """B0 of the bounds in units of 1/sqrt(K(x, x)) of the last step, fixed before any label is seen."""
    widths: tuple[int, ...] = (64, 512)
    """Widths m of the networks."""
    sgd_examples: tuple[int, ...] = (32, 128, 256)
    """Numbers n of sequences that the networks learn from."""
    seeds: int = 2
    """How many initialisations of each network."""
    epochs: int = 40
    """Passes of SGD over the sequences; 1 is one pass in the order given."""
    batch: int = 8
    """Sequences of a step."""
    rate: float = 1.0
    """Step of SGD in units of the inverse curvature of a batch in the kernel limit; 2 is the edge of stability."""
    seed: int = 0
    """Seed of directions, data, networks and batches."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for one in self.functions:
            function(one)
        _checks.probability("delta", self.delta)
        for name in ("eps_x", "grid", "rate"):
            _checks.nonnegative(name, getattr(self, name), positive=True)
        if self.length < 3:
            raise ValueError(f"length must be 3 or more: steps have a label from the third on; got {self.length}.")
        if len(self.examples) < 2:
            raise ValueError(f"examples must be two or more, for a curve; got {self.examples}.")
        if self.features < 2:
            raise ValueError(f"features must be 2 or more: the first token has one of its own; got {self.features}.")
        if not 2 <= self.probes <= self.n_test:
            raise ValueError(
                f"probes must lie in 2..n_test = {self.n_test}: test sequences that lend tokens to each other; "
                f"got {self.probes}."
            )

    @property
    def steps(self) -> int:
        """How many steps have a label."""
        return self.length - FIRST
