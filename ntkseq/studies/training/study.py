"""Do kernel, spectrum and effective rank stand still while recurrent networks and a transformer learn real sequences?

Time: 20 minutes on two cores; --quick 80 seconds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import jax

from ntkseq import _checks
from ntkseq.reports import Sheet
from ntkseq.studies.base import NamedStudy
from ntkseq.studies.provenance import Clock, Fingerprint
from ntkseq.studies.records import Reading
from ntkseq.studies.tangent.facts import facts
from ntkseq.studies.tangent.inputs import Problem, problem
from ntkseq.studies.tangent.spec import Study
from ntkseq.studies.training.networks import MODELS, Runs, Task, train
from ntkseq.studies.training.sentences import findings
from ntkseq.studies.training.sheet import sheet, summary


@dataclasses.dataclass(frozen=True)
class Training(NamedStudy, Reading):
    """Kernels through training: least eigenvalue, effective rank and drift of networks of several widths.

    Trains every model at every width from several seeds by mini-batch SGD on the squared loss of labels -1/+1, tracks
    the kernel of the whole training set, and trains the linearised network by the same batches. The learning rate is
    --rate times n / lambda_max of each network's kernel at the start. Writes report.html, report.json, arrays.npz.
    """

    name = "training"
    summary = "Kernels through training: least eigenvalue, effective rank and drift of networks of several widths."
    question = (
        "An Elman network, a GRU and a small transformer of several widths learn handwritten 3s and 8s, row by row, by "
        "mini-batch SGD. How far do their tangent kernels move, what becomes of the least eigenvalue and the effective "
        "rank, and does the network do what its linearisation at the start does? Kernel theory says: ever more so as "
        "the width grows."
    )
    # 3 against 8, 128 training examples, widths 64 to 1024, three seeds, float32
    expect = (
        "The kernel's relative drift falls as width^-0.60 [-0.73, -0.46] (Elman), -0.81 [-0.93, -0.70] (GRU), -0.67 "
        "[-1.07, -0.27] (transformer), the error of the linearised prediction on test data as -0.63, -0.66, -0.43. At "
        "width 64 recurrent kernels change by 1.4 to 1.6 times their size, at 1024 by 0.2 to 0.3. The entropy rank "
        "grows where networks are narrow (Elman, width 64: 1.75 to 2.57) and stands still where they are wide. The "
        "least eigenvalue is told from zero for wide Elman networks and transformers; for the GRU it is below what "
        "float32 resolves."
    )
    quick_values: ClassVar[Mapping[str, Any]] = {"widths": (32, 64, 128), "seeds": 2, "steps": 150, "n_train": 64}

    two_or_more = ("widths",)  # for a slope

    quick: bool = False
    """Three widths up to 128, two seeds, 150 steps, 64 examples: under three minutes on two cores."""
    source: str = "digits"
    """"digits" (3 against 8) or a file with sequences of two classes, as `ntkseq study FILE` takes it."""
    classes: tuple[str, ...] = ()
    """Names of two classes. Default: 3 8 for digits, those of the file if it has two."""
    models: tuple[Literal["elman", "gru", "transformer"], ...] = ("elman", "gru", "transformer")
    """Which networks."""
    widths: tuple[int, ...] = (64, 128, 256, 512, 1024)
    """Two or more widths."""
    seeds: int = 3
    """How many initialisations of each network."""
    steps: int = 400
    """Steps of SGD."""
    batch: int = 32
    """Examples of a step."""
    rate: float = 0.5
    """Learning rate in units of n / lambda_max; a full batch is stable below 2, a small one below less."""
    n_train: int = 128
    """Training examples at most, all of them probe examples of the kernel."""
    n_test: int = 100
    """Test examples at most."""
    seed: int = 0
    """Seed of the choice of examples and, counted up, of the networks."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _checks.nonnegative("rate", self.rate, positive=True)

    def measure(self, clock: Clock, mark: Fingerprint) -> Sheet:
        """Train every network and its linearisation."""
        with clock("load", "data"):
            asked = Study(
                self.source, classes=self.classes, n_train=self.n_train, n_test=self.n_test, seed=self.seed,
                **self.reading,
            )  # fmt: skip
            posed = problem(asked)
            mark.add(*posed.arrays)
            task = self._task(posed)
        found: dict[str, Runs] = {}
        notes: list[str] = []
        lost_runs: dict[str, int] = dict.fromkeys(self.models, 0)
        for model in self.models:
            found[model] = {}
            for width in sorted(self.widths):
                net = MODELS[model](width)
                with clock(f"{model}-{width}", f"{model}, width {width}"):
                    outcomes = [
                        train(net, task, rate=self.rate, width=width, seed=self.seed + i) for i in range(self.seeds)
                    ]
                kept = [outcome for outcome in outcomes if outcome.diverged_at is None]
                if len(kept) < len(outcomes):
                    lost = len(outcomes) - len(kept)
                    lost_runs[model] += lost
                    notes.append(f"{model}, width {width}: {lost} of {len(outcomes)} runs diverged.")
                if kept:
                    found[model][width] = kept
                jax.clear_caches()  # programs of one width are of no use to the next
        shown = [model for model in self.models if len(found[model]) >= 2]
        if not shown:
            raise ValueError("every network diverged at all widths but one; lower --rate.")
        made = sheet({model: found[model] for model in shown}, task)
        told = {model: summary(found[model], lost_runs[model]) for model in shown}
        return dataclasses.replace(
            made,
            title=f"{posed.name}: {made.title}",
            findings=findings(self, told, [model for model in self.models if model not in shown]),
            notes=(*notes, *made.notes),
            numbers={**made.numbers, "data": facts(posed)},
        )

    def _task(self, posed: Problem) -> Task:
        if len(posed.classes) != 2:
            raise ValueError(
                f"{posed.name} has {len(posed.classes)} classes; the study trains networks on two. Pass --classes A B."
            )
        n, batch = len(posed.train.y), min(self.batch, len(posed.train.y))
        train, test = posed.train, posed.test
        if n > 4096:
            raise ValueError(f"n_train must be 4096 at most, the kernel of all of them is tracked; got {n}.")
        return Task(
            train.x, posed.signs(train), test.x, posed.signs(test), train.lengths, test.lengths,
            self.steps, batch, max(1, self.steps // 20),
        )  # fmt: skip
