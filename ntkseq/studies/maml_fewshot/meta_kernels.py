"""What do adaptation, the meta-kernel and finite networks answer on few-shot tasks of seen and of new classes?"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from ntkseq import kernels, models
from ntkseq._types import PyTree
from ntkseq.bounds import Bound, meta_kernel
from ntkseq.data.tasks import Tasks
from ntkseq.predictors.task_prediction import FewShot, few_shot
from ntkseq.spectra.meta import MetaSpectrum, meta_spectra
from ntkseq.studies.maml_fewshot.options import FewShotOptions
from ntkseq.studies.maml_fewshot.pool import Pool
from ntkseq.training import maml
from ntkseq.training.maml import networks

ALGORITHMS = ("maml", "anil")
PLACES = ("seen classes", "new classes")
SPECTRUM_TASKS = 100
"""Tasks whose spectra are shown, at most."""
REGS = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
"""Ridges that are tried, in units of the largest eigenvalue of Phi."""


@dataclasses.dataclass(frozen=True, eq=False)
class Drawn:
    """Tasks to meta-train on, and new ones of seen and of held-out classes.

    shots: support examples per class.
    permuted: whether each task names its classes at random.
    """

    shots: int
    permuted: bool
    train: Tasks
    test: dict[str, Tasks]


@dataclasses.dataclass(frozen=True, eq=False)
class Kernels:
    """What the infinitely wide network does with the tasks of one setting.

    Attributes:
        drawn: the tasks.
        lr: of the inner loop, by algorithm.
        fits: ridge with the meta-kernel, by algorithm; of the ridges that of least error at tasks left out.
        reg: that ridge.
        time: how long the flow takes that networks are compared with, by algorithm.
        accuracy: method -> place -> share of right answers.
        bounds, measured: of the fits or of a larger ridge, on new tasks of seen classes.
        spectra: by algorithm.
    """

    drawn: Drawn
    lr: dict[str, float]
    fits: dict[str, FewShot]
    reg: dict[str, float]
    time: dict[str, float]
    accuracy: dict[str, dict[str, maml.FewShotAccuracy]]
    bounds: dict[str, Bound]
    measured: dict[str, float]
    spectra: dict[str, MetaSpectrum]

    @property
    def name(self) -> str:
        """The setting in words."""
        return f"{self.drawn.shots}-shot, labels {'permuted' if self.drawn.permuted else 'fixed'}"


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """One meta-trained network.

    Attributes:
        deviation: |F - F_kernel| / |F_kernel| over the queries of new tasks, F_kernel after as long a flow.
        diverged_at: step, or None.
    """

    algorithm: str
    width: int
    seed: int
    losses: Float[np.ndarray, " steps"]
    accuracy: dict[str, maml.FewShotAccuracy]
    deviation: float
    diverged_at: int | None


def draw(pool: Pool, study: FewShotOptions, shots: int, permuted: bool) -> Drawn:
    """All tasks of one setting."""
    keys = jax.random.split(jax.random.fold_in(jax.random.key(study.seed), shots), 3)
    common: dict[str, Any] = {"ways": study.ways, "shots": shots, "queries": study.queries, "permute": permuted}
    train = pool.tasks(True, tasks=study.tasks, key=keys[0], **common)
    test = {
        place: pool.tasks(place == PLACES[0], tasks=study.test_tasks, key=key, **common)
        for place, key in zip(PLACES, keys[1:], strict=True)
    }
    return Drawn(shots, permuted, train, test)


def meta(pool: Pool, study: FewShotOptions, algorithm: str, support: int) -> tuple[kernels.Meta, float]:
    """The meta-kernel, and its inner step size: inner_rate over an upper bound of any support's largest eigenvalue."""
    head = pool.head if algorithm == "anil" else None
    lr = study.inner_rate / (support * float(np.max(np.diagonal((head or pool.theta).values))))
    return kernels.Meta(pool.theta, kernels.GD(study.inner_steps, lr), algorithm, head), lr


def measure(pool: Pool, study: FewShotOptions, drawn: Drawn) -> Kernels:
    """Fit the meta-kernels of all algorithms and try them on new tasks."""
    found = Kernels(drawn, {}, {}, {}, {}, {}, {}, {}, {})
    support = np.shape(drawn.train.support.x)[1]
    some = Tasks(*(jax.tree.map(lambda leaf: leaf[:SPECTRUM_TASKS], part) for part in drawn.train[:3]))
    for algorithm in ALGORITHMS:
        kernel, found.lr[algorithm] = meta(pool, study, algorithm, support)
        wanted = ("none", algorithm) if not found.spectra else (algorithm,)
        found.spectra.update(
            meta_spectra(pool.theta, kernel.inner, some, algorithms=wanted, batch=min(3, study.tasks), head=pool.head)
        )
        share = len(some.labels) / study.tasks
        largest = float(found.spectra[algorithm].spectrum.values[0]) / share
        found.time[algorithm] = study.steps * study.outer_rate / largest
        first = few_shot(kernel, drawn.train, reg=largest)
        regs = [largest * r for r in REGS]
        reg = first.select_reg(regs).reg
        found.fits[algorithm], found.reg[algorithm] = first.refit(reg=reg), reg
        fit = found.fits[algorithm]
        name = algorithm.upper()
        found.accuracy[f"{name}: adaptation alone"] = {
            place: maml.scored(fit.adapted(tasks), tasks.labels) for place, tasks in drawn.test.items()
        }
        found.accuracy[f"{name}: meta-kernel"] = {
            place: maml.scored(fit(tasks), tasks.labels) for place, tasks in drawn.test.items()
        }
        tried = [
            _bound(pool, study, first.refit(reg=one), one, algorithm, drawn.test[PLACES[0]]) for one in {reg, regs[-1]}
        ]
        found.bounds[name], found.measured[name] = min(tried, key=lambda pair: pair[0].value or math.inf)
        found.bounds[f"{name}, recalled"] = meta_kernel(
            fit.gram, fit.labels, fit.start, kind="recalled", delta=study.delta
        )
    return found


def _bound(
    pool: Pool, study: FewShotOptions, fit: FewShot, reg: float, algorithm: str, tasks: Tasks
) -> tuple[Bound, float]:
    """The explicit bound, and its quantity on new tasks of seen classes."""
    largest = float(np.max(np.diagonal(pool.theta.values))) * (1 + pool.theta.error)
    bound = meta_kernel(
        fit.gram,
        fit.labels,
        fit.start,
        reg=reg,
        loss="margin" if study.ways == 2 else "absolute",
        delta=study.delta,
        B0=study.grid / math.sqrt(largest),
        # stable steps shrink Phi(x, x) from Theta(x, x), whose largest value in the pool holds for all tasks
        kappa=math.sqrt(largest) if algorithm == "maml" else None,
    )
    answers, labels = fit(tasks), np.asarray(tasks.labels, np.float64)
    off = answers * labels <= 0 if study.ways == 2 else np.minimum(1, np.abs(answers - labels))
    return bound, float(np.mean(off))


def train(
    pool: Pool, study: FewShotOptions, found: Kernels, net: models.Recurrent, algorithm: str, seed: int
) -> Network:
    """Meta-train one network by SGD, its start subtracted, for as long as the kernel flow it is compared with."""
    drawn = found.drawn
    start, order = jax.random.split(jax.random.key(study.seed + seed))
    params = net.init(start, pool.x[0])

    def moved(p: PyTree, x: PyTree) -> jax.Array:
        one = x if isinstance(x, tuple) else (x,)
        return net.apply(p, *one) - net.apply(params, *one)

    f = maml.learner(moved, lr=found.lr[algorithm], steps=study.inner_steps, algorithm=algorithm)
    fit, count = found.fits[algorithm], found.fits[algorithm].labels.size
    # the loss is a mean over tasks, queries and outputs: a step lr moves F by lr Phi / count
    lr = count * found.time[algorithm] / study.steps
    tasks = Tasks(*pool.sequences(drawn.train), drawn.train.labels)
    trained = maml.meta_train(
        f, params, tasks, lr=lr, batch=min(study.batch, study.tasks), steps=study.steps, key=order
    )
    accuracy, deviation = {}, math.nan
    if trained.diverged_at is None:
        flow = fit.refit(time=found.time[algorithm])
        for place, new in drawn.test.items():
            answers = np.asarray(networks.answers(f, trained.params, pool.sequences(new)), np.float64)
            answers = answers.reshape(np.shape(new.labels))
            accuracy[place] = maml.scored(answers, new.labels)
            limit = flow(new)
            deviation = float(np.linalg.norm(answers - limit) / np.linalg.norm(limit))
    return Network(algorithm, net.width, seed, trained.losses, accuracy, deviation, trained.diverged_at)
