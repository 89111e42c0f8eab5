"""Does the effective rank of attention predict how well a trained transformer generalizes, and do proved bounds hold?

Question: small transformers learn the next character of real text, and classes of sequences, from training sets of
several sizes n. How fast does the gap between test and training loss fall with n? Which of many definitions of
effective rank of the attention matrices orders the runs as the gap does? And do certified bounds, which speak of one
attention head and of a read-out behind frozen attention, stay above the true loss of such predictors?

Command: ntkseq study attention-rank --out attention-rank-report (or --quick)

Time: --quick two to three minutes on two cores. In full about six times the runs of it: a quarter of an hour, by count.

Numbers to expect (--quick, 18 transformers of width 32 for each task): no certified bound is violated, of 144. The gap
of the cross-entropy falls as n^-0.81 [-0.93, -0.68] for characters (n = 128 to 2048, from 10 to 1.1; not along a
straight line) and as n^-1.10 [-1.21, -1.00] for digits (64 to 1024). Among runs with the same n no definition of
effective rank is told from useless: every interval of Spearman's correlation holds 0 (best of 20: 0.38 [-0.16, 0.75]
and -0.33 [-0.72, 0.21]), and over all runs n itself orders gaps better than any rank does. The template without a
theorem lies below most gaps of the characters. Bounds on the trained head are 21 and more where the loss is at most 1;
that of the read-out behind frozen attention says something of characters at n = 2048, 0.80 to 0.92 where 0.63 to 0.67
was measured, and nothing yet of digits at n = 1024 (1.08 to 1.16).
"""

from __future__ import annotations

import dataclasses
import hashlib
from types import SimpleNamespace
from typing import Any, Literal

import jax

from ntkseq import _checks
from ntkseq.reports import Sheet
from ntkseq.studies import named
from ntkseq.studies.attention_rank_bounded import Certified
from ntkseq.studies.attention_rank_found import Found
from ntkseq.studies.attention_rank_runs import Bench, Measured, Networks
from ntkseq.studies.attention_rank_sheet import sheet
from ntkseq.studies.attention_rank_tasks import Task, characters, classes
from ntkseq.studies.facts import provenance
from ntkseq.studies.run import Clock, Stage
from ntkseq.studies.spec import Reading

TASKS = ("characters", "classes")


QUICK: dict[str, Any] = {
    "sizes": (128, 512, 2048),
    "class_sizes": (64, 256, 1024),
    "sigmas": (0.5, 2.0),
    "seeds": 3,
    "steps": 400,
}
"""What --quick makes of the defaults."""


@dataclasses.dataclass(frozen=True)
class AttentionRank(Reading):
    """Gap, effective ranks of attention and bounds of small transformers trained on real text and sequences.

    For each n, each sigma and each seed trains a transformer with cross-entropy, a single attention head and a read-out
    behind frozen attention, by Adam for the same number of steps. Writes report.html, report.json, arrays.npz.
    """

    quick: bool = False
    """Three sizes up to 2048, two sigmas, three seeds, 400 steps: two to three minutes on two cores."""
    out: str | None = None
    """Folder to write. Default: attention-rank-report in the working directory."""
    overwrite: bool = False
    """Replace the files of an earlier report in --out; other files there are left alone."""
    tasks: tuple[Literal["characters", "classes"], ...] = TASKS
    """"characters": the next character of a text. "classes": classes of sequences."""
    text: str | None = None
    """A text file (UTF-8). Default: scikit-learn's descriptions of data sets (BSD 3-Clause), 40,000 characters."""
    window: int = 16
    """Characters that are seen."""
    source: str = "digits"
    """"digits", row by row, or a file with sequences, as `ntkseq study FILE` takes it."""
    classes: tuple[str, ...] = ()
    """Names of two or more classes. Default: all."""
    sizes: tuple[int, ...] = (128, 256, 512, 1024, 2048, 4096, 8192)
    """Training windows of text: two or more different numbers."""
    class_sizes: tuple[int, ...] = (32, 64, 128, 256, 512, 1024)
    """Training sequences: two or more different numbers, at most as many as there are."""
    sigmas: tuple[float, ...] = (0.5, 1.0, 2.0)
    """Factors of the queries at the start: flat or sharp attention."""
    seeds: int = 5
    """Runs of each n and sigma, each with training examples and weights of its own."""
    width: int = 32
    """Coordinates of a token in the transformer."""
    heads: int = 4
    """Heads of each of its attention blocks."""
    depth: int = 2
    """Its attention blocks."""
    hidden: int = 4
    """Coordinates behind the single head."""
    steps: int = 1000
    """Steps of Adam."""
    batch: int = 32
    """Examples of a step."""
    rate: float = 0.03
    """Learning rate of Adam, on weights that are N(0, 1) at the start."""
    n_test: int = 1000
    """Test windows, and twice the test digits. A file: its test split, or a quarter of it."""
    delta: float = 0.05
    """Probability that one bound fails."""
    seed: int = 0
    """Seed of the test examples and, counted up, of the runs."""

    def __post_init__(self) -> None:
        named.fill(self, QUICK)
        for name in ("window", "seeds", "width", "heads", "depth", "hidden", "steps", "batch", "n_test"):
            _checks.positive_int(name, getattr(self, name))
        if self.window < 2:
            raise ValueError("window must be 2 or more: attention over one token is 1 whatever it learns; got 1.")
        _checks.nonnegative("rate", self.rate, positive=True)
        _checks.probability("delta", self.delta)
        named.distinct(self, "tasks", "sigmas")
        named.distinct(self, "sizes", "class_sizes", least=2)  # for an exponent
        for name in self.tasks:
            _checks.choice("tasks", name, tuple(TASKS))
        for name in ("sizes", "class_sizes"):
            for n in getattr(self, name):
                _checks.positive_int(name, n)
        for sigma in self.sigmas:
            _checks.nonnegative("sigmas", sigma, positive=True)
        if not 0 <= self.seed < 2**31:
            raise ValueError(f"seed must be an integer in 0..2^31 - 1; got {self.seed}.")

    @property
    def command(self) -> str:
        """The command line that asks for this study."""
        return named.command("attention-rank", self)

    def run(self, stage: Stage | None = None) -> Sheet:
        """Train everything and put it on a sheet.

        Raises:
            OSError, ImportError: the data are not there.
            ValueError: data that make no such task, or an option that does not fit them.
        """
        clock = Clock(stage)
        with clock("load", "data"):
            posed = [self._task(name) for name in self.tasks]
        asked = Networks(self.width, self.heads, self.depth, self.hidden, self.steps, self.batch, self.rate, self.delta)
        found = []
        for task, sizes in posed:
            bench = Bench(task, asked)
            runs: list[Measured | None] = []
            certified: list[Certified] = []
            for n in sorted(sizes):
                with clock(f"{task.name}-{n}", f"{task.name}, n = {n}"):
                    for sigma in sorted(self.sigmas):
                        for i in range(self.seeds):
                            watch = n == max(sizes) and i == 0 and sigma == max(self.sigmas)
                            runs.append(bench.measure(n, i, sigma, self.seed, watch=watch))
                            certified += bench.certify(n, i, sigma, self.seed)
                jax.clear_caches()  # programs of one n are of no use to the next
            kept = [run for run in runs if run is not None]
            if len({run.n for run in kept}) < 2:
                raise ValueError(f"{task.name}: every transformer diverged at all n but one; lower --rate.")
            found.append(Found(task, kept, certified, len(runs) - len(kept), 2 * len(runs) - len(certified)))
        made = sheet(found)
        return dataclasses.replace(
            made,
            question=named.passage(__doc__, "Question"),
            expect=named.passage(__doc__, "Numbers to expect"),
            command=self.command,
            numbers={**made.numbers, "data": {task.name: task.summary for task, _ in posed}},
            provenance=provenance(self, _together([task for task, _ in posed]), clock.seconds),
        )

    def _task(self, name: str) -> tuple[Task, tuple[int, ...]]:
        if name == "characters":
            task, sizes = characters(self.text, self.window, self.n_test, self.seed), self.sizes
        else:
            held = max(1, self.n_test // 2) if self.source == "digits" else None
            task, sizes = classes(self.source, self.classes, held, self.seed, **self.reading), self.class_sizes
            if task.test.x.shape[1] < 2:
                raise ValueError(
                    f"{self.source}: sequences must have two or more tokens, attention over one is always 1; got 1."
                )
        if max(sizes) > task.size:
            option = "--sizes" if name == "characters" else "--class-sizes"
            raise ValueError(
                f"{name}: n must be at most {task.size}, the examples to draw from; got {max(sizes)}. Lower {option}."
            )
        return task, sizes


def _together(tasks: list[Task]) -> Any:
    """What `provenance` asks of data, a fingerprint, for several tasks."""
    digest = hashlib.sha256("".join(task.fingerprint() for task in tasks).encode()).hexdigest()
    return SimpleNamespace(fingerprint=lambda: digest)
