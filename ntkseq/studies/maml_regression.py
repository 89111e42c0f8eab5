"""When does MAML trained by averaged SGD generalise on linear regression tasks, and how sharp are its bounds?

Question: how does the excess risk of a meta-trained start fall with the number of tasks, for tasks that are alike and
for tasks that differ? What do the inner rates of training and of test time trade against each other, and how early is a
given risk reached? The exact risk is held against the bounds derived here, the paper's form and simulation.

Command: ntkseq study maml-regression --out maml-regression-report (or --quick)

Time: --quick a minute on two cores that others used as well. In full some fifteen minutes, by count.

Numbers to expect (--quick, 100 coordinates, 600 steps, 160 runs): no exact risk of 7306 leaves its derived bounds and
no simulated mean of 144 is more than 4 standard errors away; the largest distance is 2.4. With the spectrum "log" tasks
that are alike (diversity 0.137) end at a risk of 0.00093, those of diversity 6.5 at 0.0032; with "levels" the risk of
diversity 187 rises from 0.037 to 0.074 at T = 171 and is still 0.062 at the end. Negative rates of training shorten the
bias and raise the variance: the least risk is at beta_tr lambda_1 = -0.75 (log) and -0.7 (levels), the largest near
+0.9, where the first direction is hardly learnt. A fifth of the first risk is reached after 36 steps at -0.6, 96 at
0.1 and 251 at 0.5 (log); the bounds alone say 36 to 196, 95 to 210 and 250 to 435. At the end the derived upper bound
is 1.7 to 6 times the risk and the lower one within 2 %; the paper's form, where its conditions hold (|beta_tr| lambda_1
up to 0.2), is 39 to 680 times the risk. Adapting at the rate 0.61 (log, alike) takes 5 % off the loss of theta*.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import jax
import numpy as np

from ntkseq import _checks
from ntkseq.reports import Sheet
from ntkseq.studies import named
from ntkseq.studies.facts import provenance
from ntkseq.studies.maml_regression_adapted import adaptation
from ntkseq.studies.maml_regression_runs import BATCHES, KINDS, Course, Plan, course, sweep
from ntkseq.studies.maml_regression_sheet import Found, sheet
from ntkseq.studies.rnn_learning import Fingerprint
from ntkseq.studies.run import Clock, Stage

QUICK: dict[str, Any] = {"d": 100, "steps": 600, "runs": 160}
GRID = np.round(np.arange(-120, 141, 5) / 100, 2)  # inner rates of training whose risk is exact, in units of 1/lam_1
GRID_TE = np.round(np.arange(-40, 201, 5) / 100, 2)  # at test time


@dataclasses.dataclass(frozen=True)
class MamlRegression:
    """MAML on made linear regression tasks: exact risk, bounds and simulation over horizons, rates and diversity.

    Gaussian inputs, one fresh task per step, the average of the iterates. Rates are in units of 1/lambda_1. Writes
    report.html, report.json, arrays.npz.
    """

    quick: bool = False
    """100 coordinates, 600 steps, 160 runs: under three minutes on two cores."""
    out: str | None = None
    """Folder to write. Default: maml-regression-report in the working directory."""
    overwrite: bool = False
    """Replace the files of an earlier report in --out; other files there are left alone."""
    spectra: tuple[Literal["log", "levels", "power", "exponential"], ...] = ("log", "levels")
    """Eigenvalues of the inputs' covariance: i^-1 log(i+1)^-2; two large ones and as much in all the others; i^-2;
    exp(-i/10)."""
    d: int = 500
    """Coordinates."""
    steps: int = 1000
    """Steps T of SGD, a fresh task in each."""
    runs: int = 400
    """Simulated runs of each problem, rounded down to a multiple of 8."""
    rates: tuple[float, ...] = (-0.6, -0.2, 0.1, 0.5, 0.9)
    """Inner rates beta_tr lambda_1 of training, to be simulated."""
    rate: float = 0.1
    """The one of them at which tasks of different diversity are compared."""
    rate_te: float = 0.2
    """Rate beta_te lambda_1 of adaptation at test time, where it is not varied."""
    growths: tuple[float, ...] = (0.0, 4.0)
    """Powers r: a task's variances grow as log(i+1)^r. The first and lowest is used everywhere else."""
    n1: int = 20
    """Support examples of a training task."""
    n2: int = 5
    """Query examples of a training task."""
    m: int = 20
    """Examples to adapt to at test time."""
    noise: float = 1.0
    """Standard deviation of the noise on labels."""
    spread: float = 0.3
    """Standard deviation of a task's first coordinate."""
    start: float = 0.3
    """w_0 - theta* has start/i in coordinate i."""
    step: float = 0.05
    """Step size of SGD times tr Sigma."""
    eps: float = 0.2
    """The risk to be reached, in units of that at the start."""
    seed: int = 0
    """Seed of the simulated runs."""

    def __post_init__(self) -> None:
        named.fill(self, QUICK)
        for name in ("d", "steps", "runs", "n1", "n2", "m"):
            _checks.positive_int(name, getattr(self, name))
        named.distinct(self, "spectra", "rates", "growths")
        for kind in self.spectra:
            _checks.choice("spectra", kind, tuple(KINDS))
        for growth in self.growths:
            _checks.nonnegative("growths", growth)
        for name in ("noise", "spread"):
            _checks.nonnegative(name, getattr(self, name))
        for name in ("start", "step"):
            _checks.nonnegative(name, getattr(self, name), positive=True)
        _checks.probability("eps", self.eps)
        for rate in (*self.rates, self.rate_te):
            if not np.isfinite(rate):
                raise ValueError(f"rates must be finite numbers; got {rate}.")
        if self.rate not in self.rates:
            raise ValueError(f"rate must be one of rates, {self.rates}; got {self.rate}. Add it to --rates.")
        if list(self.growths) != sorted(self.growths):
            raise ValueError(f"growths must ascend, the first is used everywhere else; got {self.growths}.")
        if self.runs < 2 * BATCHES:
            raise ValueError(f"runs must be {2 * BATCHES} or more, in {BATCHES} batches; got {self.runs}.")
        if self.steps < 20:
            raise ValueError(f"steps must be 20 or more, for a slope over the last decade; got {self.steps}.")
        if self.d < 3:
            raise ValueError(f"d must be 3 or more; got {self.d}.")
        if not 0 <= self.seed < 2**31:
            raise ValueError(f"seed must be an integer in 0..2^31 - 1; got {self.seed}.")

    @property
    def _plan(self) -> Plan:
        return Plan(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Plan)})

    @property
    def command(self) -> str:
        """The command line that asks for this study."""
        return named.command("maml-regression", self)

    def run(self, stage: Stage | None = None) -> Sheet:
        """Compute and simulate everything and put it on a sheet.

        Raises:
            ValueError: a step size that is not stable at one of the rates.
        """
        clock, mark, plan = Clock(stage), Fingerprint(), self._plan
        found = [self._found(plan, kind, i, clock) for i, kind in enumerate(self.spectra)]
        for one in (c for f in found for c in f.all):
            mark.add(one.problem.spectrum, one.problem.start, one.problem.spread, one.batches)
        with clock("sheet", "slopes and conditions"):
            made = sheet(plan, found)
        return dataclasses.replace(
            made,
            question=named.passage(__doc__, "Question"),
            expect=named.passage(__doc__, "Numbers to expect"),
            command=self.command,
            provenance=provenance(self, mark, clock.seconds),
        )

    def _found(self, plan: Plan, kind: str, index: int, clock: Clock) -> Found:
        key = jax.random.fold_in(jax.random.key(self.seed), index)
        courses: dict[tuple[float, float], Course] = {}
        asked = [(rate, plan.growths[0]) for rate in sorted(plan.rates)] + [(plan.rate, g) for g in plan.growths[1:]]
        with clock(f"{kind}-rates", f"{kind}: rates of training"):
            swept = sweep(plan, kind, GRID.tolist())
        for i, (rate, growth) in enumerate(asked):
            with clock(f"{kind}-{i}", f"{kind}: beta_tr = {rate:g}, r = {growth:g}"):
                courses[rate, growth] = course(plan, kind, rate, growth, key=jax.random.fold_in(key, i))
        with clock(f"{kind}-adaptation", f"{kind}: rates at test time"):
            drawn = GRID_TE[:: max(1, len(GRID_TE) // 6)].tolist()
            adapted = [adaptation(plan, kind, growth, GRID_TE.tolist(), drawn) for growth in plan.growths]
        return Found(
            kind,
            tuple(courses[plan.rate, growth] for growth in plan.growths),
            tuple(courses[rate, plan.growths[0]] for rate in sorted(plan.rates)),
            swept,
            tuple(adapted),
        )
