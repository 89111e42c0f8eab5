"""What does meta-training add to adaptation on few-shot tasks, in the kernel limit and in finite networks?

Question: handwritten digits, row by row, are cut into tasks of two classes and one or five examples each; three digits
are never seen in meta-training. How often are new tasks answered rightly by adaptation alone, by the meta-kernels of
MAML and ANIL, and by finite recurrent networks? How are Theta and the meta-kernels conditioned, and what is certified?

Command: ntkseq study maml-fewshot --out maml-fewshot-report (or --quick)

Time: an estimated 15 minutes on two cores, most of it networks of width 256; --quick two minutes.

Numbers to expect (--quick, 200 tasks; digits 3, 6 and 7 new; one shot): adaptation alone answers 0.79 of the queries of
seen classes and 0.87 of new ones rightly (MAML), 0.73 and 0.83 (ANIL). Where labels are permuted the meta-kernel adds
nothing. Where the smaller digit is always -1 it raises MAML from 0.83 to 0.90 on seen classes and throws it back from
0.86 to 0.59 on new ones. Adaptation brings the condition score from 66 down to 5. Networks of width 64 and 128 gain on
seen classes (0.83) and not on new ones, and are farther from their limit than it is from zero; ANIL diverges at width
64. The explicit bounds are vacuous (1.09 for MAML, of which adaptation's margins make 0.86).
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import jax

from ntkseq import _checks, kernels
from ntkseq.reports import Sheet
from ntkseq.studies import named
from ntkseq.studies.facts import facts, provenance
from ntkseq.studies.inputs import Problem, problem
from ntkseq.studies.maml_fewshot_pool import Pool, pool
from ntkseq.studies.maml_fewshot_runs import ALGORITHMS, Kernels, Network, Plan, draw, measure, train
from ntkseq.studies.maml_fewshot_sheet import sheet
from ntkseq.studies.run import Clock, Stage
from ntkseq.studies.spec import Reading, Study

KERNEL = kernels.Recurrent(sigma_w=1.4, sigma_b=0.1, activation="relu", read="mean")
"""The limit of the networks: Elman networks with relu, their states averaged over the steps."""

QUICK: dict[str, Any] = {
    "tasks": 200, "test_tasks": 200, "inner_steps": 15, "widths": (64, 128), "seeds": 1, "steps": 100,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class MamlFewShot(Reading):
    """Few-shot tasks of seen and of new classes: adaptation, meta-kernels and finite networks, spectra and bounds.

    Cuts tasks out of labelled sequences, some classes held out. Computes the kernels of MAML and ANIL from one Gram
    matrix of all examples, predicts new tasks, meta-trains recurrent networks of several widths by SGD for as long as
    the kernel's flow, and bounds the error on new tasks. Writes report.html, report.json, arrays.npz.
    """

    quick: bool = False
    """200 tasks, 15 inner steps, networks of width 64 and 128 from one start: under three minutes on two cores."""
    out: str | None = None
    """Folder to write. Default: maml-fewshot-report in the working directory."""
    overwrite: bool = False
    """Replace the files of an earlier report in --out; other files there are left alone."""
    source: str = "digits"
    """"digits" or a file with sequences of four classes or more, as `ntkseq study FILE` takes it."""
    classes: tuple[str, ...] = ()
    """Names of the classes to use. Default: all."""
    held_out: int = 3
    """How many classes are never seen in meta-training, drawn with --seed; two or more on either side."""
    new_classes: tuple[str, ...] = ()
    """Their names, instead of a draw."""
    ways: int = 2
    """Classes of a task; 2 are labelled -1 and +1, more one-hot."""
    shots: tuple[int, ...] = (1, 5)
    """Support examples per class. Networks are trained with the first of them."""
    labels: tuple[Literal["permuted", "fixed"], ...] = ("permuted", "fixed")
    """How a task names its classes: at random, or the smaller one always -1. Networks are trained with the first."""
    queries: int = 1
    """Query examples per class."""
    tasks: int = 500
    """Tasks N to meta-train on."""
    test_tasks: int = 500
    """New tasks of seen classes, and as many of new classes."""
    inner_steps: int = 20
    """Steps of the inner loop."""
    inner_rate: float = 0.7
    """Its step size, in units of the inverse of s max K(x, x), which no eigenvalue of a support kernel exceeds."""
    widths: tuple[int, ...] = (64, 128, 256)
    """Two or more widths of the networks."""
    seeds: int = 2
    """How many initialisations of each network."""
    steps: int = 200
    """Steps of SGD over tasks."""
    batch: int = 16
    """Tasks of a step."""
    outer_rate: float = 0.1
    """Its step size, in units of the inverse of the largest eigenvalue of the meta-kernel over its number of rows."""
    delta: float = 0.05
    """Probability that a bound fails."""
    grid: float = 1.0
    """B0 of the bounds in units of 1/sqrt(max K(x, x)), fixed before any label is seen."""
    seed: int = 0
    """Seed of classes, tasks, networks and batches."""

    def __post_init__(self) -> None:
        named.fill(self, QUICK)
        counts = ("ways", "queries", "tasks", "test_tasks", "inner_steps", "seeds", "steps", "batch", "held_out")
        for name in counts:
            _checks.positive_int(name, getattr(self, name))
        named.distinct(self, "shots", "labels")
        named.distinct(self, "widths", least=2)
        for name in ("shots", "widths"):
            for value in getattr(self, name):
                _checks.positive_int(name, value)
        for value in self.labels:
            _checks.choice("labels", value, ("permuted", "fixed"))
        if not 0 < self.inner_rate < 2:
            raise ValueError(f"inner_rate must lie in (0, 2), where the inner loop is stable; got {self.inner_rate}.")
        _checks.nonnegative("outer_rate", self.outer_rate, positive=True)
        _checks.nonnegative("grid", self.grid, positive=True)
        _checks.probability("delta", self.delta)
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be an integer in 0..2^32 - 1; got {self.seed}.")

    @property
    def command(self) -> str:
        """The command line that asks for this study."""
        return named.command("maml-fewshot", self)

    def run(self, stage: Stage | None = None) -> Sheet:
        """Measure everything and put it on a sheet.

        Raises:
            OSError, ImportError: the data are not there.
            ValueError: data with too few classes, or an option that does not fit them.
        """
        clock = Clock(stage)
        with clock("load", "data"):
            posed = problem(Study(self.source, classes=self.classes or ("all",), seed=self.seed, **self.reading))
        with clock("kernel", "kernel of all examples"):
            examples = self._pool(posed)
        plan = Plan(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Plan)})
        found: list[Kernels] = []
        for words in self.labels:
            for shots in self.shots:
                with clock(f"{words}-{shots}", f"labels {words}, {shots}-shot"):
                    found.append(measure(examples, plan, draw(examples, plan, shots, words == "permuted")))
        trained: list[Network] = []
        for algorithm in ALGORITHMS:
            for width in sorted(self.widths):
                with clock(f"{algorithm}-{width}", f"{algorithm}, width {width}"):
                    net = dataclasses.replace(KERNEL.finite(width), outputs=plan.outputs)
                    trained += [train(examples, plan, found[0], net, algorithm, i) for i in range(self.seeds)]
                jax.clear_caches()  # programs of one width are of no use to the next
        made = sheet(plan, found, trained)
        chosen = ", ".join(posed.classes[int(code)] for code in examples.split.test.classes)
        note = (
            f"Classes never seen in meta-training: {chosen}. The split of the data into training and test is put aside."
        )
        return dataclasses.replace(
            made,
            title=f"{posed.name}: {made.title}",
            question=named.passage(__doc__, "Question"),
            expect=named.passage(__doc__, "Numbers to expect"),
            command=self.command,
            notes=(note, *made.notes),
            numbers={**made.numbers, "new_classes": chosen, "data": facts(posed)},
            provenance=provenance(self, posed, clock.seconds),
        )

    def _pool(self, posed: Problem) -> Pool:
        held: Any = self.held_out
        if self.new_classes:
            unknown = [name for name in self.new_classes if name not in posed.classes]
            if unknown:
                raise ValueError(f"{posed.name}: no class {unknown[0]!r}; the classes are {', '.join(posed.classes)}.")
            held = [posed.classes.index(name) for name in self.new_classes]
        return pool(posed, KERNEL, held=held, key=jax.random.key(self.seed))
