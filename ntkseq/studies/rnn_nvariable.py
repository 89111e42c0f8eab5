"""How many examples do functions of N tokens take, against their number, their span and the length of the sequence?

Question: labels are functions of N tokens together, which are not additive in them. How do the certified and the
measured number of examples for a given error grow with N, with the distance between the tokens that count, and with the
length t? Where does "almost polynomial in t" hold, and where does it stop? How does the kernel forget early tokens?

Command: ntkseq study rnn-nvariable --out rnn-nvariable-report (or --quick)

Time: 10 minutes on two cores (estimated from --quick); --quick a minute.

Numbers to expect (--quick, eps = 0.2, three draws): no violation. At t = 8 some 60 to 120 examples are enough where
9,600 to 31,000 are certified. Certified n grows with t as t^1.82 [1.72, 1.91] where two tokens stand late; where they
stand early the power itself grows, from 4.2 between t = 8 and 16 to 9.9 between 32 and 64 (1.3e4 at t = 8, 2e10 at 64).
Measured, late: t^1.88 [1.44, 2.33]; early, not
all draws get there at t = 12 with 256 examples. Fits of the memory law at 64 steps give exponents 0.705, 0.728 and
0.794 for c = 0, 1/4 and 3/4, falling towards the derived 2/3 as t grows (to 0.729 for c = 3/4 at 200 steps), and with
the exponent held at 2/3 constants of 1.055, 0.908 and 0.536 beside the derived 1.009, 0.916 and 0.635. K(x, x)/a of
y^p at a late token grows as t^1.23, 1.71 and 2.03 for p = 1, 2 and 3 where 4/3, 5/3 and 2 are derived.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from ntkseq import _checks
from ntkseq.reports import Sheet
from ntkseq.studies import named
from ntkseq.studies.facts import provenance
from ntkseq.studies.rnn_additive_runs import function
from ntkseq.studies.rnn_learning import Fingerprint
from ntkseq.studies.rnn_nvariable_runs import Plan, cases, remembered, window
from ntkseq.studies.rnn_nvariable_sheet import sheet
from ntkseq.studies.run import Clock, Stage

QUICK: dict[str, Any] = {
    "length": 8,
    "spans": (2, 3, 5),
    "lengths": (5, 8, 12),
    "functions": ("sin",),
    "examples": (16, 32, 64, 128, 256),
    "n_test": 500,
    "memory": 64,
}


@dataclasses.dataclass(frozen=True)
class RnnNVariable:
    """Functions of N tokens: certified and measured sample size against N, span and length, and the memory law.

    Sequences of random unit tokens after a common first one, labelled by phi(sum_j <beta_j, x[l_j]>). Kernel regression
    with `kernels.Recurrent.preset("allen-zhu-li")`; the kernel's memory without data. Writes report.html, report.json,
    arrays.npz.
    """

    quick: bool = False
    """Lengths up to 12, one function, 256 examples at most, memory to 64 steps: under three minutes on two cores."""
    out: str | None = None
    """Folder to write. Default: rnn-nvariable-report in the working directory."""
    overwrite: bool = False
    """Replace the files of an earlier report in --out; other files there are left alone."""
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
        named.fill(self, QUICK)
        for name in ("length", "features", "draws", "n_test", "memory"):
            _checks.positive_int(name, getattr(self, name))
        named.distinct(self, "variables", "functions", "fractions")
        named.distinct(self, "spans", "lengths", "examples", least=2)  # for a slope
        for name in ("spans", "variables", "lengths", "examples"):
            for value in getattr(self, name):
                _checks.positive_int(name, value)
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
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be an integer in 0..2^32 - 1; got {self.seed}.")
        for span in self.spans:
            for variables in self.variables:
                window(self.length, variables, span, "late")
        for t in self.lengths:
            window(t, *self._plan.pair, "late")

    @property
    def _plan(self) -> Plan:
        return Plan(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Plan)})

    @property
    def command(self) -> str:
        """The command line that asks for this study."""
        return named.command("rnn-nvariable", self)

    def run(self, stage: Stage | None = None) -> Sheet:
        """Measure everything and put it on a sheet."""
        clock, mark = Clock(stage), Fingerprint()
        plan = self._plan
        with clock("memory", "memory of the kernel"):
            kernel = remembered(plan)
        found = list(cases(plan, mark=mark, clock=clock))
        with clock("sheet", "fits and theorem"):
            made = sheet(plan, found, kernel)
        return dataclasses.replace(
            made,
            question=named.passage(__doc__, "Question"),
            expect=named.passage(__doc__, "Numbers to expect"),
            command=self.command,
            provenance=provenance(self, mark, clock.seconds),
        )
