"""What can be asked of the study of functions of N tokens, and where the tokens that count stand."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from ntkseq import _checks, concepts
from ntkseq.studies.base import NamedStudy
from ntkseq.studies.recurrent.targets import function, unit_directions


def window(t: int, variables: int, span: int, place: str) -> tuple[int, ...]:
    """Positions of N tokens, evenly spread over a span that ends at t - 2 ("late") or begins at 1 ("early").

    One token alone stands where the window begins. The first token is the same in all sequences, and the theorem of
    allenzhu2019rnn leaves out the last one.

    Raises:
        ValueError: a window that is not inside, or has no room for N different tokens.
    """
    start = 1 if place == "early" else t - 2 - span
    found = tuple(start + round(j * span / max(variables - 1, 1)) for j in range(variables))
    if span < variables - 1 or start < 1 or start + span > t - 2:
        raise ValueError(
            f"{variables} tokens over a span of {span} need positions between 1 and t - 2 = {t - 2}, all different. "
            "Take a span of at least N - 1 and at most t - 3."
        )
    return found


@dataclasses.dataclass(frozen=True)
class Setting:
    """phi(sum_j <beta_j, x[l_j]>) over N tokens of a window, with |beta| = 1 over all of them."""

    t: int
    variables: int
    span: int
    place: str
    function: str

    @property
    def positions(self) -> tuple[int, ...]:
        """l_1..l_N, counted from 0."""
        return window(self.t, self.variables, self.span, self.place)

    def target(self, directions: Float[np.ndarray, "N d"]) -> concepts.NVariable:
        """The target, its directions out of given unit ones."""
        betas = directions[: self.variables] / math.sqrt(self.variables)
        return concepts.NVariable(self.positions, betas, function(self.function))


@dataclasses.dataclass(frozen=True)
class NVariableOptions(NamedStudy):
    """Options of the study of functions of N tokens, and the settings that they ask for."""

    quick_values: ClassVar[Mapping[str, Any]] = {
        "length": 8,
        "spans": (2, 3, 5),
        "lengths": (5, 8, 12),
        "functions": ("sin",),
        "examples": (16, 32, 64, 128, 256),
        "n_test": 500,
        "memory": 64,
    }

    two_or_more = ("spans", "lengths", "examples")  # for a slope

    quick: bool = False
    """Lengths up to 12, one function, 256 examples at most, memory to 64 steps: under three minutes on two cores."""
    length: int = 16
    """Length t at which N and the span are varied."""
    spans: tuple[int, ...] = (2, 4, 7, 10, 13)
    """Spans l_0 between the first and the last token that count, two or more spans, t - 3 at most. A single token
    stands so many steps before position t - 2."""
    variables: tuple[int, ...] = (1, 2, 3)
    """Numbers N of tokens that count."""
    lengths: tuple[int, ...] = (5, 8, 16, 32, 64)
    """Lengths t, two or more, at which the same window stands late and early. What is certified is followed further, up
    to --memory."""
    functions: tuple[str, ...] = ("sin", "exp")
    """Functions of the sum: linear, square, cube, or an analytic one of ntkseq.concepts.series by its name."""
    examples: tuple[int, ...] = (16, 32, 64, 128, 256, 512, 1024)
    """Numbers n of training examples, two or more."""
    features: int = 4
    """Features d of a token; the last one belongs to the first token."""
    draws: int = 3
    """Independent training and test sets; the intervals of measured numbers come from them."""
    n_test: int = 1000
    """Test examples of each draw."""
    eps: float = 0.2
    """The error that is to be reached, mean of min(1, |f_n - f|)."""
    delta: float = 0.05
    """Probability that a bound fails."""
    grid: float = 0.1
    """B0 of the bounds in units of 1/sqrt(K(x, x)), fixed before any label is seen."""
    memory: int = 200
    """Steps up to which the memory law is followed, 16 or more; 64 with --quick."""
    fractions: tuple[float, ...] = (0.0, 0.25, 0.75)
    """Shared fractions c of a token in the memory law."""
    seed: int = 0
    """Seed of directions and data."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for one in self.functions:
            function(one)
        for name in ("eps", "delta"):
            _checks.probability(name, getattr(self, name))
        _checks.nonnegative("grid", self.grid, positive=True)
        for c in self.fractions:
            if not 0 <= c < 1:
                raise ValueError(f"fractions must lie in [0, 1), shared parts of tokens of norm 1; got {c}.")
        if self.features < 2:
            raise ValueError(f"features must be 2 or more: the first token has one of its own; got {self.features}.")
        if self.memory < 16:
            raise ValueError(f"memory must be 16 steps or more, for a law to be fitted; got {self.memory}.")
        for span in self.spans:
            for variables in self.variables:
                window(self.length, variables, span, "late")
        for t in self.lengths:
            window(t, *self.pair, "late")

    @property
    def pair(self) -> tuple[int, int]:
        """N and span of the sweep over lengths: the largest N up to 2, the least span."""
        return max(n for n in (*self.variables, 1) if n <= 2), min(self.spans)

    def directions(self) -> Float[np.ndarray, "N d"]:
        """Unit directions, one per token that counts, without the first token's coordinate."""
        return unit_directions(self.seed, max(*self.variables, 2), self.features)

    def settings(self) -> dict[int, list[Setting]]:
        """What is measured at each length, without repeats."""
        found: dict[int, list[Setting]] = {t: [] for t in sorted({self.length, *self.lengths})}
        for name in self.functions:
            found[self.length] += [
                Setting(self.length, n, span, "late", name)
                for n in sorted(self.variables)
                for span in sorted(self.spans)
            ]
            n, span = self.pair
            for t in self.lengths:
                found[t] += [Setting(t, n, span, place, name) for place in ("late", "early")]
        return {t: list(dict.fromkeys(listed)) for t, listed in found.items()}
