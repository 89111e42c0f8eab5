"""What is measured of one position-to-position target: errors at each step, norms, and what becomes of each token?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from ntkseq import bounds, concepts, kernels, predictors
from ntkseq._types import PyTree
from ntkseq.bounds import Bound
from ntkseq.norms import Tokens, rkhs_norm
from ntkseq.norms.rkhs import NormConstants
from ntkseq.studies.provenance import Fingerprint
from ntkseq.studies.recurrent.cases import Case, Trained
from ntkseq.studies.recurrent.kernel_regression import EPS, BoundedFit, errors, leading
from ntkseq.studies.recurrent.sgd import step_size
from ntkseq.studies.recurrent.targets import KERNEL, function, label_error, unit_directions
from ntkseq.studies.rnn_positions.network import positions_sgd
from ntkseq.studies.rnn_positions.options import FIRST, PositionsOptions
from ntkseq.studies.rnn_positions.step_regression import (
    StepsFit,
    Used,
    alone,
    by_step,
    cross_points,
    fit,
    points,
    probed,
    used,
)


def target(name: str, source: str, directions: Float[np.ndarray, "t t d"], eps_x: float) -> concepts.PositionToPosition:
    """f_j(x) = sum_i phi(<beta_ij, x[i]>/eps_x)/sqrt(k) at every step j >= 2 over k earlier tokens i.

    "near": the one before; "far": the second of all; "all": from the second on. The first is common to all sequences.
    """
    parts = []
    for j in range(FIRST, len(directions)):
        tokens = {"near": [j - 1], "far": [1], "all": list(range(1, j))}[source]
        phi = len(tokens) ** -0.5 * function(name)
        parts += [(i, j, 0, directions[i, j], phi) for i in tokens]
    return concepts.PositionToPosition(parts).scaled(1 / eps_x)


def at_step(f: concepts.PositionToPosition, step: int) -> concepts.Additive:
    """The output of one step, as a function of the sequence up to that step."""
    return concepts.Additive([(part.source, part.beta, part.series) for part in f.parts if part.step == step])


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedSteps(Trained):
    """The same with the network's errors at each step and its use of tokens."""

    by_step: Float[np.ndarray, " steps"]
    used: Used


@dataclasses.dataclass(frozen=True, eq=False)
class PositionsCase(Case[StepsFit]):
    """One target: all steps at once, and each alone; kappa is that of the last step, the sample x and y.

    Attributes:
        name, source: which.
        target: the function.
        steps: certified bound of each step's loss at the largest n of the first draw, all at once.
        alone: kernel regression fitted to each step alone, at that n and draw.
        norms: bound of the squared norm of each step's function in the kernel of that step.
        zero: mean of min(1, |y_t|), the error of 0.
        used, of_target: use of tokens by kernel regression at the largest n, and the target's own effects.
        trained: networks on the first draw.
    """

    name: str
    source: str
    target: concepts.PositionToPosition
    steps: list[Bound]
    alone: list[BoundedFit]
    norms: list[Bound[NormConstants]]
    zero: Float[np.ndarray, " steps"]
    used: Used
    of_target: Used
    trained: list[TrainedSteps]

    @property
    def violations(self) -> int:
        """How often y'K^-1 y is above a bound of the norm: of single steps, and of all steps in every draw and n.

        Of all steps an upper estimate of y'K^-1 y is compared, so that rounding cannot hide a violation.
        """
        count = sum(one.violates(said.value or 0.0, label_error=self.label_error)
                    for one, said in zip(self.alone, self.norms, strict=True))  # fmt: skip
        most = self.risk.constants.norm
        for known in (one.bound.constants for one in self.every):
            # labels that rounding moved, by at most as much in norm as the least eigenvalue allows
            moved = math.sqrt(known.n * len(known.steps)) * self.label_error
            floor = moved / math.sqrt(max(known.min_eigenvalue_lower, known.reg, EPS))
            count += math.sqrt(known.norm_squared) > most + floor
        return int(count)

    @property
    def broken(self) -> int:
        """Certified bounds below what was measured: of all steps, in every draw and n, and of each step."""
        pairs = [(fit.bound.certified, fit.bound.value, fit.errors.mean) for fit in self.every]
        pairs += [(b.certified, b.value, e) for b, e in zip(self.steps, self.fits[0][-1].by_step, strict=True)]
        return self.risk_broken + sum(bool(sure and value is not None and value < e) for sure, value, e in pairs)

    @property
    def price(self) -> float:
        """Squared norm of the one function of all steps over the largest of a step alone, at the largest n."""
        apart = max(one.norm_squared.estimate for one in self.alone)
        return self.fits[0][-1].bound.constants.norm_squared / apart if apart > 0 else math.nan

    @property
    def checks(self) -> int:
        """How many bounds `broken` looks at."""
        return 2 * len(self.every) + len(self.steps)


def cases(
    study: PositionsOptions, *, mark: Fingerprint, clock: Callable[[str, str], AbstractContextManager[None]]
) -> Iterator[PositionsCase]:
    """Measure every target of a study. mark takes in the data; clock times a stage by key and name."""
    t = study.length
    directions = unit_directions(study.seed, t, t, study.features)
    targets = {(f, s): target(f, s, directions, study.eps_x) for f in study.functions for s in study.sources}
    n, drawn = max(*study.examples, *study.sgd_examples), []
    with clock("kernel", "kernel between all steps"):
        for draw in range(study.draws):
            key = jax.random.fold_in(jax.random.key(study.seed), draw)
            x = concepts.sample(
                next(iter(targets.values())), n + study.n_test, t, study.features, key=key, eps_x=study.eps_x
            ).x
            mark.add(x)
            tests = np.asarray(x[n:])
            if draw == 0:  # the probes stand behind the tests
                tests = np.concatenate([tests, probed(tests, study.probes)])
            relative = KERNEL.entry_rounding(KERNEL.prepare(x[:2]))
            K = points(kernels.every_step(KERNEL, x[:n]), relative=relative, square=True)
            drawn.append((x[:n], tests, K, cross_points(tests, x[:n])))
    for (name, source), f in targets.items():
        with clock(f"{name}-{source}", f"{name}, {source}"):
            made = _case(study, name, source, f, drawn)
        yield made


def _case(
    study: PositionsOptions, name: str, source: str, f: concepts.PositionToPosition, drawn: PyTree
) -> PositionsCase:
    x, _, K, cross = drawn[0]
    labels = [tuple(np.asarray(jax.vmap(f)(one))[:, FIRST:, 0] for one in draw[:2]) for draw in drawn]
    y, every = labels[0]
    n, m = max(study.examples), study.n_test
    laws = [Tokens.measured(x[:, : j + 1], rounded=True) for j in range(study.length)]  # as `sample` draws them
    norms = [rkhs_norm(at_step(f, j), KERNEL, laws[j]) for j in range(FIRST, study.length)]
    kappa = np.sqrt([said.constants.kernel_diagonal for said in norms])  # fixed by the token norms
    options: Any = {"delta": study.delta, "B0": study.grid / float(kappa[-1]), "kappa": kappa}
    fits = [
        [fit(gram, beside, here, there[:m], size, **options) for size in sorted(study.examples)]
        for (_, _, gram, beside), (here, there) in zip(drawn, labels, strict=True)
    ]
    last = fits[0][-1]
    steps = bounds.rademacher_each_step(leading(K, n * study.steps), y[:n], reg=last.reg, **options)
    apart = [alone(K, cross, y, every[:m], a, n) for a in range(study.steps)]
    risk = bounds.every_step_risk(f, KERNEL, laws[-1], n=n, delta=study.delta, B0=study.grid / float(kappa[-1]))
    trained = _networks(study, drawn[0], labels[0]) if study.widths else []
    zero, probes = by_step(np.zeros((m, study.steps)), every[:m]), study.probes
    uses = used(last.predicted[m:], every[m:], probes), used(every[m:], every[m:], probes)
    common = (risk, float(kappa[-1]), label_error(y), fits, (x, y))
    return PositionsCase(*common, name, source, f, list(steps), apart, norms, zero, *uses, trained)


def _networks(study: PositionsOptions, drawn: PyTree, labels: PyTree) -> list[TrainedSteps]:
    """Networks of all widths and seeds on the first examples, and kernel flow for as long."""
    (x, tests, K, cross), (y, every) = drawn, labels
    found, m = [], study.n_test
    trace = float(np.trace(np.asarray(K.array[: study.steps, : study.steps], np.float64)))
    for n in sorted(study.sgd_examples):
        part = leading(K, n * study.steps)
        lr = step_size(part, study.steps, batch=study.batch, rate=study.rate)
        updates = (n // min(study.batch, n)) * study.epochs
        # the network's kernel is twice the preset, and its loss the mean over n sequences of the sum over steps
        flow = predictors.gradient_flow(part, np.asarray(y[:n], np.float64).ravel(), time=2 * lr * updates / n)
        kernel = errors(flow(cross[: m * study.steps, : n * study.steps]).reshape(m, -1), every[:m])
        for width in sorted(study.widths):
            for seed in range(study.seeds):
                run = positions_sgd(
                    x[:n], y[:n], tests, every, width=width, lr=lr, epochs=study.epochs, batch=study.batch,
                    seed=study.seed + seed, trace=trace,
                )  # fmt: skip
                f = np.asarray(run.predicted)
                tested = dataclasses.replace(run, errors=errors(f[:m], every[:m]), predicted=f[:m])
                at = by_step(f[:m], every[:m])
                found.append(TrainedSteps(tested, kernel, at, used(f[m:], every[m:], study.probes)))
    return found
