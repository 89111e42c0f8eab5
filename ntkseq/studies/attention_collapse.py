"""When do attention matrices collapse to rank one at the start, and what becomes of the tangent kernel then?

Question: attention over attention averages tokens until all look at the same. By layer, temperature and mask, with and
without a skip connection: what are the effective ranks of the attention matrices of an untrained network, and their
distance from rank one? Is the tangent kernel worse conditioned where they collapse? At infinite width and at finite.

Command: ntkseq study attention-collapse --out attention-collapse-report (or --quick)

Time: --quick two to three minutes on two cores. In full some ten minutes, by count.

Numbers to expect (--quick, digits as 8 tokens with positions): without mask and skip and with flat scores (sigma = 0.5)
the entropy rank of attention falls from 3.37 in layer 1 to 1 in layer 4, where |A - 1a'|/|A| is 9e-17 at infinite
width; with a skip it stays at 1.9, under a causal mask at 5.3. Sharp scores (sigma = 8) keep attention near the
identity, rank 8 of 8. The least eigenvalue of the infinitely wide kernel, over the mean one, is smallest where
attention averages but has not collapsed (0.002 to 0.0065 at sigma = 0.5), and larger for sharp attention (0.010 to
0.016). Where all tokens are one it is large again, 0.015: the kernel is then that of the mean token. So a collapse does
not by itself spoil this kernel. Finite networks of four blocks and width 128 are off by 0.06 to 1.1 of its norm, and
their least eigenvalues are smaller. At infinite width float64 tells all 24 least eigenvalues from zero, float32 17.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import jax

from ntkseq import _checks
from ntkseq.reports import Sheet
from ntkseq.studies import named
from ntkseq.studies.attention_collapse_runs import Cell, Shape, measure
from ntkseq.studies.attention_collapse_sheet import sheet
from ntkseq.studies.facts import facts, provenance
from ntkseq.studies.inputs import problem
from ntkseq.studies.run import Clock, Stage
from ntkseq.studies.spec import Reading, Study

QUICK: dict[str, Any] = {"depths": (1, 4), "sigmas": (0.5, 2.0, 8.0), "widths": (32, 128), "seeds": 2, "n": 32}
"""What --quick makes of the defaults."""


@dataclasses.dataclass(frozen=True)
class AttentionCollapse(Reading):
    """Ranks of attention and spectrum of the tangent kernel at the start, over depth, temperature and mask.

    Networks of attention blocks on tokens with positions, each followed by LayerNorm, at infinite width and at finite
    widths; no training. Writes report.html, report.json, arrays.npz.
    """

    quick: bool = False
    """Depths 1 and 4, three temperatures, widths 32 and 128: two to three minutes on two cores."""
    out: str | None = None
    """Folder to write. Default: attention-collapse-report in the working directory."""
    overwrite: bool = False
    """Replace the files of an earlier report in --out; other files there are left alone."""
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
        named.fill(self, QUICK)
        named.distinct(self, "depths", "widths", "sigmas", "masks")
        for name in ("seeds", "n"):
            _checks.positive_int(name, getattr(self, name))
        if self.n < 2:
            raise ValueError(f"n must be 2 or more, a spectrum needs examples; got {self.n}.")
        for name in ("depths", "widths", "sigmas", "masks"):
            for value in getattr(self, name):
                if name == "sigmas":
                    _checks.nonnegative(name, value, positive=True)
                elif name == "masks":
                    _checks.choice(name, value, ("none", "causal"))
                else:
                    _checks.positive_int(name, value)
        if not 0 <= self.seed < 2**31:
            raise ValueError(f"seed must be an integer in 0..2^31 - 1; got {self.seed}.")

    @property
    def command(self) -> str:
        """The command line that asks for this study."""
        return named.command("attention-collapse", self)

    def run(self, stage: Stage | None = None) -> Sheet:
        """Measure everything and put it on a sheet.

        Raises:
            OSError, ImportError: the data are not there.
            ValueError: data that do not make a problem; sequences of one token; fewer examples than asked for.
        """
        clock = Clock(stage)
        with clock("load", "data"):
            asked = Study(
                self.source, classes=self.classes or ("all",), n_train=self.n, seed=self.seed, dtype=self.dtype,
                **self.reading,
            )  # fmt: skip
            posed = problem(asked)
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
            question=named.passage(__doc__, "Question"),
            expect=named.passage(__doc__, "Numbers to expect"),
            command=self.command,
            numbers={**made.numbers, "data": facts(posed)},
            provenance=provenance(self, posed, clock.seconds),
        )
