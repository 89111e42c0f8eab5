"""Do recurrent networks learn sums of functions of single tokens, from how many examples, and what do the bounds say?

Question: labels are sums of analytic functions of single tokens. How does the test error fall with the number n of
examples for kernel regression with the kernel of the papers, and for their algorithm, SGD on the W of a finite relu
Elman network, for sequences of 4 to 64 tokens? Do errors and norms stay below what is proved without seeing a label?
And what changes when all tokens but the first are made short, as the first of these theorems asks?

Command: ntkseq study rnn-additive --out rnn-additive-report (or --quick)

Time: about 20 minutes on two cores; --quick about a minute.

Numbers to expect (K(x, x) = t (t-1)/4; linear targets, three draws, n = 32 to 1024): no y'K^-1 y above its bound and no
risk bound below the error, which falls as n^-1.2, n^-1.0, n^-0.8, n^-0.4 for the last but one token and t = 4, 8, 16,
64 (to 0.002, 0.019, 0.057, 0.23), and as n^-1.25, n^-0.97, n^-0.2, n^0.00 for the second: at t = 64 that is not
learnt at all, and the bound of its norm has grown from 7 to 1.3e8 / K(x, x). Certified at n = 1024 for the last but
one: 0.25, 0.41, 0.60, 1.3. With tokens of norm t^-1.5 the second one is learnt at all lengths (n^-1.2 to n^-0.8, to
0.08 at t = 64; norm bound 600 / K(x, x)), and late tokens less well than before (0.38 against 0.23 at t = 64), since
theirs is 1e4. Functions that bend cost more, and short tokens make that worse. Networks of width 512 err as the
kernel does at n = 32 (1.1 times at t = 4) and up to 3 times as much at n = 256; those of width 64 at t = 64 have
nothing of their limit: K(x, x) is up to 1e6 times as large.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from ntkseq import _checks
from ntkseq.reports import Sheet
from ntkseq.studies import named
from ntkseq.studies.facts import provenance
from ntkseq.studies.rnn_additive_runs import PLACES, Case, Plan, cases, function, profiles
from ntkseq.studies.rnn_additive_sheet import sheet
from ntkseq.studies.rnn_learning import Fingerprint
from ntkseq.studies.run import Clock, Stage

QUICK: dict[str, Any] = {
    "steps": (4, 8, 16),
    "examples": (16, 32, 64, 128, 256),
    "functions": ("linear", "sin"),
    "widths": (64, 256),
    "sgd_examples": (32, 128),
    "epochs": 20,
    "n_test": 500,
}


@dataclasses.dataclass(frozen=True)
class RnnAdditive:
    """Additive targets: test error, norm and bounds of the recurrent kernel and of finite networks against n and t.

    Sequences of random unit tokens after a common first one, labelled by sums of functions of single tokens. Kernel
    regression with `kernels.Recurrent.preset("allen-zhu-li")`; plain SGD on the W of the papers' network, its start
    subtracted; the same with short tokens. Writes report.html, report.json, arrays.npz.
    """

    quick: bool = False
    """Lengths up to 16, two functions, 256 examples at most, small networks: under three minutes on two cores."""
    out: str | None = None
    """Folder to write. Default: rnn-additive-report in the working directory."""
    overwrite: bool = False
    """Replace the files of an earlier report in --out; other files there are left alone."""
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
        named.fill(self, QUICK)
        for name in ("features", "draws", "n_test", "seeds", "epochs", "batch"):
            _checks.positive_int(name, getattr(self, name))
        named.distinct(self, "steps", "widths", "sgd_examples", "functions", "places")
        named.distinct(self, "examples", least=2)  # for an exponent
        for name in ("steps", "examples", "widths", "sgd_examples"):
            for value in getattr(self, name):
                _checks.positive_int(name, value)
        for place in self.places:
            _checks.choice("places", place, PLACES)
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
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be an integer in 0..2^32 - 1; got {self.seed}.")

    @property
    def command(self) -> str:
        """The command line that asks for this study."""
        return named.command("rnn-additive", self)

    def run(self, stage: Stage | None = None) -> Sheet:
        """Measure everything and put it on a sheet."""
        clock, mark = Clock(stage), Fingerprint()
        plan = Plan(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Plan)})
        found: dict[bool, list[Case]] = {}
        for short in (False, True) if self.short > 0 else (False,):
            found[short] = [
                case
                for t in sorted(self.steps)
                for case in cases(plan, t, t**-self.short if short else 1.0, networks=not short, mark=mark, clock=clock)
            ]
        t = max(self.steps)
        memory = {short: profiles(t, t**-self.short if short else 1.0, self.features) for short in found}
        with clock("bounds", "theorems"):
            made = sheet(plan, found, memory)
        return dataclasses.replace(
            made,
            question=named.passage(__doc__, "Question"),
            expect=named.passage(__doc__, "Numbers to expect"),
            command=self.command,
            provenance=provenance(self, mark, clock.seconds),
        )
