"""A small object of public classes, by name: of everything whose words at the prompt are its own."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import ntkseq
from ntkseq import (
    blocks,
    bounds,
    concepts,
    data,
    empirical,
    grams,
    kernels,
    models,
    norms,
    predictors,
    reports,
    risks,
    spectra,
    training,
)
from ntkseq.cells import GRU, Elman
from ntkseq.reports import learning
from ntkseq.spectra import ranks

N = 24
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, 3)).astype(np.float32)
Y = np.sign(RNG.standard_normal(N))
PARAMS = {"W": RNG.standard_normal((1, 3)).astype(np.float32), "b": np.zeros((40, 40), np.float32)}
GROWING = np.arange(1.0, N + 1.0)


def f(params: Any, x: Any) -> Any:
    return params["W"] @ x + params["b"][0, :1]


@functools.cache
def gram() -> grams.DenseGram:
    return ntkseq.gram(kernels.Dense(depth=2), X)


@functools.cache
def history() -> training.History:
    run = training.LossProbe(f, {"train": (X, Y)}, loss="squared", every=(0, 1, 2))
    made = training.track([run, training.MovementProbe(every=1)], PARAMS)
    for step in range(1, 14):
        made = made.update(step, {**PARAMS, "W": PARAMS["W"] * 0.9**step})
    return made


@functools.cache
def bound() -> bounds.Bound:
    return bounds.rademacher(gram(), Y, reg=0.1)


def curve() -> predictors.RiskCurve:
    return predictors.learning_curve(gram(), Y, reg=0.1, key=jax.random.key(0), sizes=list(range(4, 20, 2)), draws=2)


def problem() -> risks.MixedRegression:
    return risks.MixedRegression(1.0 / GROWING, 1.0, noise=0.5, n1=4, n2=3, alpha=0.05)


def tasks() -> data.tasks.Tasks:
    return data.tasks.sinusoids(30, shots=20, queries=10, key=jax.random.key(0))


def table() -> reports.Table:
    return reports.Table(("a <b>", "c"), tuple((i, "<script>") for i in range(40)), caption="forty & more")


def sheet() -> reports.Sheet:
    part = reports.Section("Drift", tables=(table(),))
    return reports.Sheet("Widths", "Does it <stand> still? " * 20, sections=(part,), facts=(("0.05", "drift"),),
                         arrays={"drift": GROWING})  # fmt: skip


MAKERS: dict[str, Callable[[], Any]] = {
    "Recurrent": kernels.Recurrent,
    "Dense": lambda: kernels.Dense(sigma_w=np.linspace(1.0, 2.0, 20), depth=20),
    "Transformer of 12 blocks": lambda: kernels.Transformer(depth=12, causal=True),
    "Serial": lambda: kernels.Serial(blocks.Linear(), blocks.Recurrent(GRU()), blocks.Recurrent(Elman(), "both")),
    "Gated": kernels.Gated,
    "Meta": lambda: kernels.Meta(kernels.Transformer(depth=2), kernels.GD(steps=3, lr=0.1)),
    "Sum, Scaled": lambda: 2.0 * (kernels.Transformer(depth=2) + 0.5 * kernels.Recurrent()),
    "NTK": lambda: empirical.NTK(f, PARAMS),
    "Taylor": lambda: empirical.taylor(f, PARAMS, degree=2),
    "models.Serial": lambda: models.Serial(*4 * (blocks.Linear(), "relu"), width=64),
    "DenseGram": gram,
    "LazyGram": lambda: ntkseq.lazy(kernels.Dense(), X),
    "Operator": lambda: grams.Operator(lambda V: 2 * V, N),
    "AuditedGram": lambda: grams.audit(gram(), kernels.Dense(depth=2), X, pairs=20),
    "FullSpectrum": lambda: ntkseq.spectrum(gram()),
    "PartialSpectrum": lambda: ntkseq.spectrum(gram(), spectra.MatrixFree(k=4, probes=4, steps=8)),
    "LowRank": lambda: spectra.nystrom(gram(), rank=3),
    "Interval": lambda: spectra.Interval(0.1, 0.2, 0.3),
    "Decay": lambda: ntkseq.spectrum(gram()).decay_exponent(),
    "Comparison": lambda: spectra.compare(gram(), gram() + gram(), k=2),
    "FeatureOverlap": lambda: spectra.feature_overlap(gram(), np.arange(N), k=2),
    "ClassStructure": lambda: spectra.classwise(gram(), Y),
    "ranks.Tail": lambda: ranks.Tail(3),
    "MatrixFree": lambda: spectra.MatrixFree(k=4),
    "Ridge": lambda: ntkseq.ridge(gram(), Y, reg=0.1),
    "Selection": lambda: predictors.select_reg(gram(), Y, [0.1, 1.0]),
    "GaussianProcess": lambda: predictors.gaussian_process(gram(), Y, noise=0.1),
    "Influence": lambda: predictors.influence(gram(), Y, reg=0.1),
    "PredictedRisk": lambda: predictors.predicted_risk(gram(), Y, reg=0.1),
    "RiskEstimate": lambda: predictors.predicted_risk(gram(), Y, reg=0.1).leave_one_out,
    "RiskCurve": curve,
    "Bound": bound,
    "Bound, recalled": lambda: bounds.arora2019(gram(), Y),
    "Bound without a value": lambda: bounds.rademacher(gram() - gram(), Y),
    "Term": lambda: bound().terms[0],
    "Assumption": lambda: bound().assumptions[0],
    "BoundTable": lambda: bounds.BoundTable({f"row {i}": bound() for i in range(12)}, 0.05, N, 0.4),
    "Search": lambda: bounds.Search(),
    "AttentionHead": lambda: bounds.AttentionHead(GROWING, np.ones((3, N)), np.eye(3)),
    "MixedRegression": problem,
    "Risk": lambda: risks.risk(problem(), 100),
    "Grid": lambda: risks.grid(problem(), list(range(1, 50)), axes={"alpha": np.linspace(0.01, 0.1, 20)}),
    "Tasks": tasks,
    "Dataset": lambda: data.Dataset(jnp.asarray(X[:, None]), jnp.asarray(Y > 0, int)),
    "Tokens": lambda: norms.Tokens.declared([1.0] * N, features=2),
    "NVariable": lambda: concepts.NVariable([0, 1], [[1.0, 0.0], [0.5, 0.5]], "sin"),
    "History": history,
    "ProbeTable": lambda: history()["loss"],
    "Laziness": lambda: training.laziness([4, 8, 16], [[1.0, 1.1], [0.7, 0.8], [0.5, 0.6]]),
    "Batches": lambda: training.Batches(100, 10, "shuffle", jax.random.key(0)),
    "Table": table,
    "Sheet": sheet,
    "Section": lambda: sheet().sections[0],
    "LearningCurve": lambda: learning.LearningCurve("a", GROWING, GROWING),
}  # fmt: skip
