"""When do attention matrices collapse to rank one at the start, and what becomes of the tangent kernel then?

Time: --quick two to three minutes on two cores. In full some ten minutes, by count.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import jax

from ntkseq import _checks
from ntkseq.reports import Sheet
from ntkseq.studies.attention_collapse.initial import Cell, Shape, measure
from ntkseq.studies.attention_collapse.sentences import findings
from ntkseq.studies.attention_collapse.sheet import sheet
from ntkseq.studies.base import NamedStudy
from ntkseq.studies.provenance import Clock, Fingerprint
from ntkseq.studies.records import Reading
from ntkseq.studies.tangent.facts import facts
from ntkseq.studies.tangent.inputs import problem
from ntkseq.studies.tangent.spec import Study


@dataclasses.dataclass(frozen=True)
class AttentionCollapse(NamedStudy, Reading):
    """Ranks of attention and spectrum of the tangent kernel at the start, over depth, temperature and mask.

    Networks of attention blocks on tokens with positions, each followed by LayerNorm, at infinite width and at finite
    widths; no training. Writes report.html, report.json, arrays.npz.
    """

    name = "attention-collapse"
    summary = "Ranks of attention and spectrum of the tangent kernel at the start, over depth, temperature and mask."
    question = (
        "Attention over attention averages tokens until all look at the same. By layer, temperature and mask, with and "
        "without a skip connection: what are the effective ranks of the attention matrices of an untrained network, "
        "and their distance from rank one? Is the tangent kernel worse conditioned where they collapse? At infinite "
        "width and at finite."
    )
    # --quick, digits as 8 tokens with positions
    expect = (
        "Without mask and skip and with flat scores (sigma = 0.5) the entropy rank of attention falls from 3.37 in "
        "layer 1 to 1 in layer 4, where |A - 1a'|/|A| is 9e-17 at infinite width; with a skip it stays at 1.9, under a "
        "causal mask at 5.3. Sharp scores (sigma = 8) keep attention near the identity, rank 8 of 8. The least "
        "eigenvalue of the infinitely wide kernel, over the mean one, is smallest where attention averages but has not "
        "collapsed (0.002 to 0.0065 at sigma = 0.5), and larger for sharp attention (0.010 to 0.016). Where all tokens "
        "are one it is large again, 0.015: the kernel is then that of the mean token. So a collapse does not by itself "
        "spoil this kernel. Finite networks of four blocks and width 128 are off by 0.06 to 1.1 of its norm, and their "
        "least eigenvalues are smaller. At infinite width float64 tells all 24 least eigenvalues from zero, float32 "
        "17."
    )
    quick_values: ClassVar[Mapping[str, Any]] = {
        "depths": (1, 4),
        "sigmas": (0.5, 2.0, 8.0),
        "widths": (32, 128),
        "seeds": 2,
        "n": 32,
    }

    quick: bool = False
    """Depths 1 and 4, three temperatures, widths 32 and 128: two to three minutes on two cores."""
    source: str = "digits"
    """"digits", row by row, or a file with sequences, as `ntkseq study FILE` takes it."""
    classes: tuple[str, ...] = ()
    """Names of two or more classes. Default: all."""
    depths: tuple[int, ...] = (1, 2, 4, 8)
    """Numbers of attention blocks for the kernel; ranks are shown for every layer of the deepest."""
    sigmas: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0)
    """Scales of the scores, sigma_Q sigma_K: large is cold, sharp attention."""
    masks: tuple[Literal["none", "causal"], ...] = ("none", "causal")
    """Which masks."""
    widths: tuple[int, ...] = (64, 256)
    """Of finite networks: coordinates of a token."""
    seeds: int = 3
    """Finite networks of each width."""
    n: int = 48
    """Examples."""
    dtype: Literal["float32", "float64"] = "float32"
    """Precision. float64 needs JAX's 64-bit mode: set the environment variable JAX_ENABLE_X64=1."""
    seed: int = 0
    """Seed of the choice of examples and, counted up, of the networks."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n < 2:
            raise ValueError(f"n must be 2 or more, a spectrum needs examples; got {self.n}.")
        for sigma in self.sigmas:
            _checks.nonnegative("sigmas", sigma, positive=True)

    def measure(self, clock: Clock, mark: Fingerprint) -> Sheet:
        """Measure every architecture at every temperature."""
        with clock("load", "data"):
            asked = Study(
                self.source, classes=self.classes or ("all",), n_train=self.n, seed=self.seed, dtype=self.dtype,
                **self.reading,
            )  # fmt: skip
            posed = problem(asked)
            mark.add(*posed.arrays)
        if len(posed.train.y) < self.n:
            raise ValueError(f"n must be at most {len(posed.train.y)}, the training examples; got {self.n}. Lower --n.")
        if posed.train.x.shape[1] < 2:
            raise ValueError(
                f"{posed.name}: attention over one token is always 1; got sequences of one. Take longer ones."
            )
        found: list[Cell] = []
        for shape in (Shape(mask, skip) for mask in self.masks for skip in (False, True)):
            with clock(shape.name, str(shape)):
                found += measure(
                    shape, posed.train, sigmas=tuple(sorted(self.sigmas)), depths=tuple(sorted(self.depths)),
                    widths=tuple(sorted(self.widths)), seeds=self.seeds, seed=self.seed,
                )  # fmt: skip
            jax.clear_caches()  # programs of one shape are of no use to the next
        made = sheet(found)
        return dataclasses.replace(
            made,
            title=f"{posed.name}: {made.title}",
            findings=findings(self, found),
            numbers={**made.numbers, "data": facts(posed)},
        )
