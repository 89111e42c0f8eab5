"""Does one recurrent network learn a function for every position of its output, and how does it use earlier tokens?

Question: every step of a sequence has a label of its own, a sum of functions of earlier tokens that differ from step to
step. One network with one read-out serves all steps. How does its error fall with the number of sequences, step by
step, for kernel regression on all steps at once and for the papers' algorithm, SGD on the W of a finite relu Elman
network? What is proved of it, and what becomes of early tokens on the way?

Command: ntkseq study rnn-positions --out rnn-positions-report (or --quick)

Time: about 10 minutes on two cores, added up from its parts; --quick under a minute.

Numbers to expect (with --quick, sin, t = 8, n = 128, width 256): the error of one kernel predictor grows from 0.014 at
the third position to 0.24 at the last where each step reads the second token, 0.28 where it reads all earlier ones and
0.39 where it reads the one before; f = 0 errs by 0.40 to 0.45 there. Fitted to the last step alone the same kernel errs
by 0.21, 0.14 and 0.13: not the token is dear but that steps must be told apart. The squared norm of the one function is
7, 8 and 12 times that of the dearest step alone. Of its effect on the last output the token just before is learnt
least (0.22 of it, by networks 0.16), earlier ones are by 0.5 to 0.7. Networks err 1.0 to 1.5 times as much as kernel
flow of the same time. No norm and no error is above its bound. The bounds are vacuous: 2.0 to 2.6 from y'K^-1 y, 3.7 to
8.4 before any label, which certifies an error of one half from 7,000 (second token) to 36,000 sequences on (token
before).
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from ntkseq import _checks
from ntkseq.reports import Sheet
from ntkseq.studies import named
from ntkseq.studies.facts import provenance
from ntkseq.studies.rnn_additive_runs import function
from ntkseq.studies.rnn_learning import Fingerprint
from ntkseq.studies.rnn_positions_runs import SOURCES, Plan, cases
from ntkseq.studies.rnn_positions_sheet import sheet
from ntkseq.studies.run import Clock, Stage

QUICK: dict[str, Any] = {
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


@dataclasses.dataclass(frozen=True)
class RnnPositions:
    """Position-to-position targets: one kernel predictor, and one network, with an output at every step.

    Sequences of random tokens of one norm after a common first one; a label at every step from the third on. Kernel
    regression on all steps of all sequences with `kernels.every_step`; plain SGD on the W of the papers' network, its
    start subtracted; `bounds.every_step`. Writes report.html, report.json, arrays.npz.
    """

    quick: bool = False
    """Length 8, one function, 128 sequences at most, small networks: under three minutes on two cores."""
    out: str | None = None
    """Folder to write. Default: rnn-positions-report in the working directory."""
    overwrite: bool = False
    """Replace the files of an earlier report in --out; other files there are left alone."""
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
        named.fill(self, QUICK)
        for name in ("length", "features", "draws", "n_test", "probes", "seeds", "epochs", "batch"):
            _checks.positive_int(name, getattr(self, name))
        named.distinct(self, "examples", "widths", "sgd_examples", "functions", "sources")
        for name in ("examples", "widths", "sgd_examples"):
            for value in getattr(self, name):
                _checks.positive_int(name, value)
        for source in self.sources:
            _checks.choice("sources", source, SOURCES)
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
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be an integer in 0..2^32 - 1; got {self.seed}.")

    @property
    def command(self) -> str:
        """The command line that asks for this study."""
        return named.command("rnn-positions", self)

    def run(self, stage: Stage | None = None) -> Sheet:
        """Measure everything and put it on a sheet."""
        clock, mark = Clock(stage), Fingerprint()
        plan = Plan(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Plan)})
        found = list(cases(plan, mark=mark, clock=clock))
        with clock("sheet", "theorem"):
            made = sheet(plan, found)
        return dataclasses.replace(
            made,
            question=named.passage(__doc__, "Question"),
            expect=named.passage(__doc__, "Numbers to expect"),
            command=self.command,
            provenance=provenance(self, mark, clock.seconds),
        )
