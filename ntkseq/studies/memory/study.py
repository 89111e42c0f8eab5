"""How do the kernels of recurrent, state-space and attention networks forget a token?

Time: --quick about a minute and a half on two cores; in full some four minutes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax

from ntkseq.reports import Sheet
from ntkseq.studies.base import NamedStudy
from ntkseq.studies.memory import curves
from ntkseq.studies.memory.sentences import findings
from ntkseq.studies.memory.sheet import KINDS, sheet
from ntkseq.studies.provenance import Clock, Fingerprint


@dataclasses.dataclass(frozen=True)
class Memory(NamedStudy):
    """How much a token p steps ago counts in the kernels of Elman, leaky, GRU, LRU, S4D and attention networks.

    Infinite width and finite networks at the start; no data and no training. Writes report.html, report.json,
    arrays.npz.
    """

    name = "memory"
    summary = (
        "How much a token p steps ago counts in the kernels of Elman, leaky, GRU, LRU, S4D and attention networks."
    )
    question = (
        "How much does a token count in the kernel when it was p steps ago? Does it fade like a power of p, or "
        "geometrically? Of the tangent kernel and of the covariance of the outputs, at infinite width and of finite "
        "networks."
    )
    # in full, 32 tokens
    expect = (
        "The covariance of the outputs of Elman networks and of the GRU forgets geometrically, 0.31 to 0.74 per step, "
        "that of linear recurrent units on the whole disc like p^-1.6. The tangent kernel of Elman networks, leaky "
        "ones and the GRU forgets geometrically, too (0.36 to 0.91 per step); that of state-space models does not: it "
        "counts old tokens more than new ones, like p^0.34 (LRU on the whole disc) and p^1.2 (S4D), since what is "
        "trained in the recurrence moves them most. On a ring of moduli of 0.9 and more it is nearly level, p^-0.21. "
        "Attention that sees no likeness counts all lags alike but the token it reads at. At width 256 the networks "
        "without saturation scatter so much from seed to seed that their means say little beyond a few lags."
    )
    quick_values: ClassVar[Mapping[str, Any]] = {"t": 16, "widths": (64,), "seeds": 2, "particles": 4096}

    quick: bool = False
    """16 tokens, width 64, two seeds."""
    t: int = 32
    """Tokens of a sequence."""
    widths: tuple[int, ...] = (64, 256)
    """Of finite networks."""
    seeds: int = 4
    """Finite networks of each width."""
    particles: int = 16384
    """Samples of the kernel of the GRU, a multiple of 32."""
    seed: int = 0
    """Seed of the samples and, counted up, of the networks."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.t < curves.FEWEST + 1:
            raise ValueError(f"t must be {curves.FEWEST + 1} or more, a law needs {curves.FEWEST} lags; got {self.t}.")
        if self.particles % curves.BATCHES or self.particles < 2 * curves.BATCHES:
            raise ValueError(
                f"particles must be a multiple of {curves.BATCHES}, two or more times; got {self.particles}."
            )

    def measure(self, clock: Clock, mark: Fingerprint) -> Sheet:
        """Measure every network."""
        x = curves.sequences(self.t)
        mark.add(x)
        limits: dict[str, dict[str, curves.Curve]] = {kind: {} for kind in KINDS}
        finite: dict[int, dict[str, list[curves.Curve]]] = {width: {} for width in sorted(self.widths)}
        for name, kernel in curves.families(self.particles, self.seed).items():
            with clock(name, name):
                for kind in KINDS:
                    limits[kind][name] = curves.limit(kernel.with_(kind=kind), x)
                for width in finite:
                    finite[width][name] = curves.finite(kernel, width, x, self.seeds, self.seed)
            jax.clear_caches()  # programs of one network are of no use to the next
        return dataclasses.replace(sheet(limits, finite), findings=findings(self, limits, finite))
