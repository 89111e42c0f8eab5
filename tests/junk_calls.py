"""Calls of public callables that work, with every argument by name: what `junk` replaces one by one."""

# ruff: noqa: E501  a call stands in a line

from __future__ import annotations

import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen

import ntkseq
from ntkseq import (
    activations,
    blocks,
    bounds,
    cells,
    concepts,
    empirical,
    grams,
    kernels,
    models,
    norms,
    predictors,
    references,
    reports,
    risks,
    spectra,
    studies,
    training,
)
from ntkseq.data import Dataset, bundled, held_out, load, sequences, tasks, text
from ntkseq.data import eigenvalues as laws
from ntkseq.interop import equinox, flax, limits, neural_tangents
from ntkseq.interop import sklearn as estimators
from ntkseq.reports import comparisons, learning, trajectories
from ntkseq.studies import named
from ntkseq.training import maml

RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 3, 2)).astype(np.float32)
FLAT = X.reshape(4, -1)
Y = np.array([1.0, -1.0, 1.0, -1.0])
A = np.eye(4) + 0.1
B = np.diag([4.0, 3.0, 2.0, 1.0])
KEY = jax.random.key(0)
DRAWN = empirical.convergence(
    lambda width, key: lambda x: A * (1 + jax.random.normal(key) / 9), (4, 8), list(jax.random.split(KEY, 6)), FLAT, A
)
DENSE, RECURRENT = kernels.Dense(), kernels.Recurrent()
GRAM = ntkseq.gram(DENSE, FLAT)
MESH = jax.make_mesh((1,), ("a",))
LENGTHS = np.array([3, 2, 3, 1])
PARAMS = {"W": RNG.standard_normal((1, 6)).astype(np.float32)}
ADAM = optax.adam(0.1).update(PARAMS, optax.adam(0.1).init(PARAMS), PARAMS)[1]
ATTENTION = {"Q": RNG.standard_normal((2, 2)).astype(np.float32)}
HEAD = bounds.AttentionHead([1.0], [[1.0], [0.0]], np.eye(2))
SEARCH = bounds.Search(priors=(bounds.Prior(),), inequalities=(bounds.Kl(),))
GIBBS = bounds.pac_bayes(A, Y, posterior="regression").constants.predictor
SUBSETS = predictors.data_subsets(4, 8, seed=1)
STUDY = studies.Study("digits")
FILLING = studies.Filling("nothing.npz", "nothing", processes=1)
STORE = f"{tempfile.mkdtemp()}/gram"
STORED = ntkseq.gram(DENSE, FLAT, store=STORE)
TABLE = pathlib.Path(tempfile.mkdtemp()) / "walks.csv"
TABLE.write_text("0.1,0.2,1\n0.3,0.1,2\n0.5,0.1,2\n")
TIDY = TABLE.with_name("steps.csv")
TIDY.write_text("id,time,u,label\na,0,0.1,1\na,1,0.2,1\nb,0,0.3,2\n")
TASKS = tasks.sinusoids(3, shots=2, queries=2, key=KEY)
META = kernels.Meta(DENSE, kernels.GD(steps=1, lr=0.1))
PROBLEM = risks.MixedRegression([1.0, 0.5], 1.0, noise=0.5, n1=4, n2=3, alpha=0.05)
LEARNER = maml.learner(lambda params, x: params["W"] * x, lr=0.1)
ADDITIVE = concepts.Additive([(0, [0.6, 0.8], concepts.series.polynomial([0, 1]))])
STEPS = concepts.PositionToPosition([(1, 2, 0, [0.6, 0.8], concepts.series.polynomial([0, 1]))])
SEQUENCE = concepts.WholeSequence(betas=np.full((1, 3, 2), 0.5), series=concepts.series.polynomial([0, 1]))
PAPER = kernels.Recurrent.preset("allen-zhu-li")
LAW = norms.Tokens.declared([1.0] * 3, features=2)
MARKED = norms.Tokens.declared([1.0] * 3, common=[1.0, 0.0, 0.0], features=2)
OF_STEPS = np.einsum("ij,ts->ijts", A, np.array([[1.0, 0.5], [0.5, 1.0]]))
COLUMNS = {
    "min_eigenvalue": [1.0, 0.4],
    "min_eigenvalue_lower": [0.9, 0.3],
    "min_eigenvalue_upper": [1.1, 0.41],
    "max_eigenvalue": [2.0, 2.0],
    "max_eigenvalue_error": [0.1, 0.1],
}
RUN = training.ProbeTable(np.array([0, 10]), {name: np.array(column) for name, column in COLUMNS.items()})

FLAX = linen.Dense(1)
EQUINOX = eqx.nn.MLP(6, 1, 4, 1, key=KEY)
HISTORY = training.track(
    [
        training.KernelProbe(models.Recurrent(width=4).apply, X, Y, k=2),
        training.MovementProbe(),
        training.LossProbe(models.Recurrent(width=4).apply, {"train": (X, Y)}, loss="squared"),
    ],
    models.Recurrent(width=4).init(KEY, X[0]),
)


def linear(params: Any, x: Any) -> Any:
    return params["W"] @ x


def recur(params: Any, h: Any, x: Any) -> Any:
    return jnp.tanh(h + x + params["W"][0, :2])


def seen(h: Any, x: Any) -> Any:
    return {"V": h + x}


def updated(z: Any, h: Any, x: Any) -> Any:
    return jnp.tanh(z["V"])


def linear_loss(f: Any, y: Any) -> Any:
    return np.clip(np.abs(f - y), 0.0, 1.0)


def attention(params: Any, x: Any) -> Any:
    return jax.nn.softmax(x @ params["Q"] @ x.T)[None]


def options(study: type[Any]) -> dict[str, Any]:
    """The options of a named study as they stand by default."""
    return {field.name: getattr(study(), field.name) for field in dataclasses.fields(study)}


HIDDEN = empirical.HiddenKernel(recur, PARAMS, X, h0=np.zeros(2, np.float32))
CERTIFIED = bounds.network(
    linear, PARAMS, PARAMS, np.tile(FLAT, (10, 1)), np.tile(Y, 10), key=KEY, c=1.0, s=0.1, draws=3, trial=1
)
LINEARISED = bounds.linearised_network(linear, PARAMS, FLAT, Y, seen=())
PROVED = training.track([bounds.CertificateProbe(linear, FLAT, Y, (1,), ())], PARAMS)
HEADS = training.track([training.AttentionRankProbe(attention, X)], ATTENTION)


def classifier(X: Any, y: Any, lengths: Any, **params: Any) -> Any:
    """The fit of an estimator: its parameters are looked at there."""
    return estimators.NTKClassifier(**params).fit(X, y, lengths)


def regressor(X: Any, y: Any, **params: Any) -> Any:
    return estimators.NTKRegressor(**params).fit(X, y)


def transformer(X: Any, **params: Any) -> Any:
    return estimators.NTKTransformer(**params).fit(X)


CALLS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "gram": (ntkseq.gram, dict(kernel=DENSE, x=FLAT, x2=FLAT, tile=2, workers=1, executor=ThreadPoolExecutor(1))),
    "gram of sequences": (ntkseq.gram, dict(kernel=RECURRENT, x=X, lengths=LENGTHS)),
    "gram on disk": (ntkseq.gram, dict(kernel=DENSE, x=FLAT, store=STORE)),
    "grams.open": (grams.open, dict(path=STORE)),
    "StoredGram.take": (STORED.take, dict(which=np.array([0, 2]))),
    "StoredGram.export": (STORED.export, dict(path=f"{STORE}.npy")),
    "lazy": (ntkseq.lazy, dict(kernel=DENSE, x=FLAT, x2=FLAT, tile=2)),
    "gram on a mesh": (ntkseq.gram, dict(kernel=DENSE, x=FLAT, mesh=MESH)),
    "lazy on a mesh": (ntkseq.lazy, dict(kernel=DENSE, x=FLAT, mesh=MESH)),
    "Dense Gram": (grams.DenseGram, dict(array=A, rounding=0.0, entrywise=1e-9)),
    "Operator": (grams.Operator, dict(product=lambda V: A @ V, n=4, rounding=0.0, diagonal=np.diag(A), dtype=np.float64)),
    "as_gram": (grams.as_gram, dict(K=A)),
    "audit": (grams.audit, dict(K=GRAM, kernel=DENSE, x=FLAT, pairs=5, delta=0.1, seed=0)),
    "cost": (grams.cost, dict(kernel=DENSE, x=FLAT)),
    "computed": (grams.computed, dict(K=np.asarray(GRAM.array), kernel=DENSE, x=FLAT)),
    "times": (GRAM.times, dict(V=np.ones(4))),
    "mv": (GRAM.mv, dict(v=np.ones(4, np.float32))),
    "take": (GRAM.take, dict(which=np.array([0, 2]))),
    "spectrum": (ntkseq.spectrum, dict(K=A, method="auto")),
    "spectrum, matrix-free": (ntkseq.spectrum, dict(K=A, method=spectra.MatrixFree(k=2, probes=2, steps=3))),
    "MatrixFree": (spectra.MatrixFree, dict(k=2, k_smallest=1, probes=2, steps=3, tol=1e-3, max_iterations=3, delta=0.1, seed=1)),
    "Auto": (spectra.Auto, dict(rows=3, beyond=spectra.MatrixFree())),
    "effective_rank": (ntkseq.effective_rank, dict(values=[3.0, 2.0, 1.0], rank="entropy")),
    "Dimension": (lambda **given: ntkseq.effective_rank(A, spectra.ranks.Dimension(**given)), dict(reg=1.0, power=2)),
    "Energy": (lambda **given: ntkseq.effective_rank(A, spectra.ranks.Energy(**given)), dict(quantile=0.5)),
    "Numerical": (lambda **given: ntkseq.effective_rank(A, spectra.ranks.Numerical(**given)), dict(tol=0.1)),
    "Tail": (lambda **given: ntkseq.effective_rank(A, spectra.ranks.Tail(**given)), dict(k=1, rest=spectra.ranks.Stable())),
    "effective_ranks": (spectra.effective_ranks, dict(A=X, rank="entropy", seen=np.ones((4, 3, 2), bool))),
    "aggregate": (spectra.aggregate, dict(ranks=np.ones((2, 3)), how="mean")),
    "sampled": (spectra.sampled, dict(ranks=RNG.random((4, 2)), how="mean", level=0.9)),
    "centred": (spectra.centred, dict(K=A)),
    "classwise": (spectra.classwise, dict(K=A, labels=[0, 0, 1, 1])),
    "compare": (spectra.compare, dict(K1=A, K2=B, k=1)),
    "feature_overlap": (spectra.feature_overlap, dict(K=A, features=[1.0, 0.0, 2.0, 0.0], k=1, centre=True, level=0.9)),
    "nystrom": (spectra.nystrom, dict(K=A, rank=2, oversample=1, power=1, probes=2, delta=0.1, seed=0)),
    "positive_definite": (spectra.positive_definite, dict(K=A)),
    "condition_score": (spectra.condition_score, dict(gram=GRAM, queries=2, batch=1)),
    "attention_ranks": (spectra.attention_ranks, dict(attention=attention, params=ATTENTION, x=X, batch=2)),
    "ridge": (ntkseq.ridge, dict(K=A, y=Y, reg=0.1)),
    "Ridge.__call__": (ntkseq.ridge(A, Y, reg=0.1), dict(K_cross=A)),
    "ridge_cg": (predictors.ridge_cg, dict(K=GRAM, y=Y, reg=0.1, rank=2, tol=1e-6, max_iterations=10, seed=0)),
    "select_reg": (predictors.select_reg, dict(K=A, y=Y, regs=[0.1, 1.0])),
    "predicted_risk": (predictors.predicted_risk, dict(K=A, y=Y, reg=0.1, level=0.9, tried=2)),
    "RiskEstimate.on": (predictors.predicted_risk(A, Y, reg=0.1).leave_one_out.on, dict(examples=5)),
    "learning_curve": (predictors.learning_curve, dict(K=A, y=Y, reg=0.1, key=KEY, sizes=[1, 3], draws=2, level=0.9)),
    "gradient_flow": (predictors.gradient_flow, dict(K=A, y=Y, time=1.0, f0=np.zeros(4), tol=1e-6, max_iterations=10)),
    "flow by steps": (predictors.gradient_flow, dict(K=A, y=Y, steps=3, lr=0.1)),
    "early_stopping": (predictors.early_stopping, dict(K=A, y=Y, K_validation=A, y_validation=Y, times=[0.1, 1.0])),
    "HiddenKernel": (empirical.HiddenKernel, dict(step=recur, params=PARAMS, x=X, h0=np.zeros(2, np.float32), trainable="W")),
    "HiddenKernel.mv": (HIDDEN.mv, dict(v=np.ones((4, 3, 2), np.float32))),
    "HiddenKernel.pull": (HIDDEN.pull, dict(v=np.ones((4, 3, 2), np.float32))),
    "HiddenKernel.push": (HIDDEN.push, dict(tangent=[PARAMS["W"]])),
    "HiddenCore": (empirical.HiddenCore, dict(params={"V": np.eye(2, dtype=np.float32)}, features=seen, update=updated, x=X, h0=np.zeros(2, np.float32))),
    "HiddenCore.mv": (empirical.HiddenCore({"V": np.eye(2, dtype=np.float32)}, seen, updated, X, h0=np.zeros(2, np.float32)).mv, dict(v=np.ones((4, 3, 2), np.float32))),
    "hidden_dimension": (spectra.hidden_dimension, dict(kernel=HIDDEN, axis="units", rank="participation", key=KEY, probes=4, way="forward")),
    "HiddenEstimate.interval": (spectra.hidden_dimension(HIDDEN, key=KEY, probes=4).interval, dict(level=0.9)),
    "hidden_alignment": (spectra.hidden_alignment, dict(kernel=HIDDEN, signal=np.ones((4, 3, 2), np.float32), key=KEY, probes=4, way="both")),
    "hidden_operator": (spectra.hidden_operator, dict(kernel=HIDDEN)),
    "influence": (predictors.influence, dict(K=A, y=Y, K_cross=A, reg=0.1, groups=[[0, 1], [2]])),
    "Influence.loss": (predictors.influence(A, Y, reg=0.1).loss, dict(y=Y)),
    "trak": (predictors.trak, dict(f=linear, params=[PARAMS], train=(FLAT, Y), test=(FLAT, Y), loss="cross-entropy", measure="loss", method=empirical.Sketch(KEY, directions=4), damping=1.0, groups=2, trainable="W")),
    "trak of targets": (predictors.trak, dict(f=linear, params=[PARAMS], train=(FLAT, Y), test=(FLAT, Y), loss="squared")),
    "Attribution.top": (predictors.trak(linear, [PARAMS], (FLAT, Y), (FLAT, Y)).top, dict(count=2)),
    "data_subsets": (predictors.data_subsets, dict(n=4, count=6, share=0.5, seed=0)),
    "datamodeling_score": (predictors.datamodeling_score, dict(scores=A, subsets=SUBSETS, outputs=SUBSETS @ A, level=0.9)),
    "DatamodelingScore.minus": (predictors.datamodeling_score(A, SUBSETS, SUBSETS @ A).minus, dict(other=predictors.datamodeling_score(B, SUBSETS, SUBSETS @ A))),
    "one_hot": (predictors.one_hot, dict(labels=[0, 1, 1], classes=[0, 1])),
    "rademacher": (bounds.rademacher, dict(K=A, y=Y, delta=0.1, B0=1.0, reg=0.1, kappa=2.0, tried=1)),
    "margin": (bounds.margin, dict(K=A, y=Y, gamma=1.0, delta=0.1, B0=1.0, reg=0.1, kappa=2.0, tried=1)),
    "compression": (bounds.compression, dict(K=A, y=Y, reg=0.1, members=[0, 2], delta=0.1, tried=1)),
    "stability": (bounds.stability, dict(K=A, y=Y, reg=0.1, kappa=2.0, M=1.0, delta=0.1, tried=1)),
    "stability at a margin": (bounds.stability, dict(K=A, y=Y, reg=0.1, kappa=2.0, loss="margin", gamma=1.0, of="leave-one-out", form="expected")),
    "local_rademacher": (bounds.local_rademacher, dict(K=A, y=Y, kappa=2.0, delta=0.1, B0=1.0, reg=0.1, loss="absolute", tried=1)),
    "benign_overfitting": (bounds.benign_overfitting, dict(K=A, n=1, noise=0.1, norm=1.0, b=1.0, constant=1.0, delta=0.1, center=False)),
    "caponnetto_devito2007": (bounds.caponnetto_devito2007, dict(K=A, reg=0.1, kappa=2.0, norm=1.0, noise=0.1, M=1.0, delta=0.1, decay=2.0)),
    "tu_he_tao2020": (bounds.tu_he_tao2020, dict(U=np.ones((3, 2)), W=np.eye(3), V=np.ones((2, 3)), x=X, y=[0, 1, 1, 0], gamma=1.0, delta=0.1)),
    "pac_bayes": (bounds.pac_bayes, dict(K=A, y=Y, delta=0.1, loss="zero-one", prior=bounds.Prior(), posterior="regression", inequality="kl", predictor="mean", units=[0, 0, 1, 2], tried=1)),
    "pac_bayes from products": (bounds.pac_bayes, dict(K=A, y=Y, rank=2)),
    "bounds.table": (bounds.table, dict(K=A, y=Y, delta=0.1, reg=0.1, B0=1.0, depth=1, tried=1)),
    "Search": (bounds.Search, dict(kernels=("a",), priors=(bounds.Prior(),), inequalities=(bounds.Kl(),), loss="zero-one", delta=0.1, predictor="gibbs")),
    "Search.best": (SEARCH.best, dict(K=A, y=Y)),
    "Search.bounds": (SEARCH.bounds, dict(K=A, y=Y)),
    "Prior": (bounds.Prior, dict(scale=1.0)),
    "LearnedPrior": (bounds.LearnedPrior, dict(share=0.5, reg=0.1, scale=1.0, seed=0, examples=(0, 1))),
    "posterior Regression": (bounds.Regression, dict(noise=0.1)),
    "posterior Optimal": (bounds.Optimal, dict(steps=3)),
    "posterior Centred": (lambda dual, noise: bounds.pac_bayes(A, Y, posterior=bounds.Centred(dual, noise)), dict(dual=Y, noise=0.1)),
    "inequality Catoni": (bounds.Catoni, dict(strength=1.0)),
    "LipschitzLoss": (bounds.LipschitzLoss, dict(function=linear_loss, lipschitz=1.0, pieces=8, label="a loss")),
    "GibbsPredictor.mean": (GIBBS.mean, dict(K_cross=A)),
    "GibbsPredictor.variance": (GIBBS.variance, dict(K_cross=A, K_query=A)),
    "GibbsPredictor.covariance": (GIBBS.covariance, dict(K_cross=A, K_query=A)),
    "GibbsPredictor.draw": (GIBBS.draw, dict(K_cross=A, K_query=A, key=KEY)),
    "bounds.network": (bounds.network, dict(f=linear, w0=PARAMS, w=PARAMS, x=np.tile(FLAT, (10, 1)), y=np.tile(Y, 10), key=KEY, c=(0.1, 1.0), s=0.1, scales=(None,), seen=(0, 1), centred=True, draws=3, trial=1, rows=3, share=0.1, delta=0.05)),
    "NetworkBound.draw": (lambda key: CERTIFIED.draw(key), dict(key=KEY)),
    "linearised_network": (bounds.linearised_network, dict(f=linear, params=PARAMS, x=FLAT, y=Y, seen=(0,), search=SEARCH, centred=True, units=[0, 0, 1, 2], trainable="W", rates={"W": 0.5})),
    "linearised_network of classes": (bounds.linearised_network, dict(f=linear, params={"W": np.eye(3, 6, dtype=np.float32)}, x=FLAT, y=np.array([0.0, 1.0, 2.0, 0.0]), seen=(0,), search=bounds.Search(priors=(bounds.Prior(),), loss="argmax"))),
    "CertificateProbe": (bounds.CertificateProbe, dict(f=linear, x=FLAT, y=Y, every=(1,), seen=(0,), search=SEARCH, name="certificate")),
    "LinearisedBound.mean": (LINEARISED.mean, dict(x=FLAT)),
    "LinearisedBound.variance": (LINEARISED.variance, dict(x=FLAT)),
    "LinearisedBound.draw": (LINEARISED.draw, dict(x=FLAT, key=KEY)),
    "arora2019": (bounds.arora2019, dict(K=A, y=Y, delta=0.1, constant=1.0)),
    "cao_gu2019": (bounds.cao_gu2019, dict(K=A, y=Y, delta=0.1, constant=1.0, depth=2)),
    "du2019": (bounds.du2019, dict(K=A, y=Y, eta=0.1, steps=3)),
    "edelman2022": (bounds.edelman2022, dict(head=HEAD, n=10, t=3, Bx=1.0)),
    "trauger_tewari2024": (bounds.trauger_tewari2024, dict(head=HEAD, n=10)),
    "sakai_imaizumi2026": (bounds.sakai_imaizumi2026, dict(head=HEAD, n=10, p=1.0)),
    "truong2024": (bounds.truong2024, dict(head=HEAD, n=10, tol=1e-3)),
    "effective_rank_capacity": (bounds.effective_rank_capacity, dict(r_eff=2.0, n=10, delta=0.1, constant=1.0)),
    "AttentionHead": (bounds.AttentionHead, dict(w=[1.0], V=[[1.0], [0.0]], W=np.eye(2))),
    "attention_rank": (bounds.attention_rank, dict(head=HEAD, x=X, y=Y, Bx=9.0, ranks=(1, 1), delta=0.1, tried=1)),
    "attention_norm": (bounds.attention_norm, dict(head=HEAD, x=X, y=Y, Bx=9.0, delta=0.1, grid=2.0, tried=1)),
    "attention_schatten": (bounds.attention_schatten, dict(head=HEAD, x=X, y=Y, Bx=9.0, delta=0.1, tried=1)),
    "frozen_attention": (bounds.frozen_attention, dict(U=np.ones((3, 2)), A=np.ones((4, 3, 3)) / 3, x=X, y=Y, delta=0.1)),
    "meta_kernel": (bounds.meta_kernel, dict(Phi=A, labels=Y.reshape(2, 2), reg=0.1, delta=0.1, B0=1.0)),
    "Series": (concepts.Series, dict(name="sin", factor=1.0)),
    "Additive": (concepts.Additive, dict(parts=[(0, [1.0, 0.0], "sin")])),
    "NVariable": (concepts.NVariable, dict(positions=(0, 1), betas=[[1.0, 0.0], [0.0, 1.0]], series="sin")),
    "WholeSequence": (concepts.WholeSequence, dict(series="sin", betas=np.ones((1, 2, 2)))),
    "complexity": (concepts.complexity, dict(of="sin", R=1.0, kind="epsilon", eps=0.1)),
    "Dense": (kernels.Dense, dict(sigma_w=1.0, sigma_b=0.0, sigma_r=1.0, activation="relu", depth=1, train="WbR", kind="ntk")),
    "Recurrent": (kernels.Recurrent, dict(sigma_w=1.0, sigma_u=1.0, sigma_r=1.0, activation="relu", depth=1, read="last", train="WUbR", h0="zero")),
    "Bidirectional": (kernels.Bidirectional, dict(sigma_w=1.0, activation="relu", depth=2, read="last")),
    "Gated": (kernels.Gated, dict(cell="gru", sigma_r=1.0, particles=64, batches=4, seed=0, read="last")),
    "LeakyRecurrent": (kernels.LeakyRecurrent, dict(keep=0.5, sigma_w=1.0, activation="relu", read="last")),
    "LinearRecurrent": (kernels.LinearRecurrent, dict(sigma_w=1.0, sigma_u=1.0, read="last", train="WUbR")),
    "Attention": (kernels.Attention, dict(sigma_w=1.0, sigma_b=0.0, read="mean", sigma_r=1.0)),
    "Transformer": (kernels.Transformer, dict(depth=1, sigma_u=1.0, sigma_w=1.0, activation="relu", eps=1e-5, read="mean")),
    "kernels.get": (kernels.get, dict(kernel="gru", particles=64, sigma_w=1.0, read="last")),
    "Scaled": (kernels.Scaled, dict(kernel=DENSE, factor=2.0)),
    "Sum": (kernels.Sum, dict(first=DENSE, second=DENSE)),
    "Meta": (kernels.Meta, dict(base=DENSE, inner=kernels.Flow())),
    "Flow": (kernels.Flow, dict(time=1.0)),
    "GD": (kernels.GD, dict(steps=2, lr=0.1)),
    "Prox": (kernels.Prox, dict(reg=0.1)),
    "Kernel.__call__": (DENSE, dict(x1=FLAT, x2=FLAT)),
    "Kernel.__call__ of sequences": (RECURRENT, dict(x1=X, x2=X, lengths=LENGTHS, lengths2=LENGTHS)),
    "Kernel.diag": (RECURRENT.diag, dict(x=X, lengths=LENGTHS)),
    "every_step": (kernels.every_step, dict(kernel=RECURRENT, x=X, lengths=LENGTHS)),
    "models.Dense": (models.Dense, dict(width=4, depth=1, sigma_w=1.0, activation="relu", outputs=1)),
    "models.Recurrent": (models.Recurrent, dict(width=4, sigma_w=1.0, activation="relu", depth=1, read="last")),
    "models.Gated": (models.Gated, dict(width=4, cell="gru", sigma_r=1.0, read="last")),
    "models.LeakyRecurrent": (models.LeakyRecurrent, dict(width=4, keep=0.5, sigma_w=1.0)),
    "models.Bidirectional": (models.Bidirectional, dict(width=4, sigma_w=1.0, depth=2)),
    "Model.init": (models.Recurrent(width=4).init, dict(key=KEY, x=X[0])),
    "adapt": (models.adapt, dict(apply=linear, lr=0.1, steps=1)),
    "NTK": (empirical.NTK, dict(f=linear, params=PARAMS, outputs="mean", method="auto")),
    "NTK.__call__": (empirical.NTK(linear, PARAMS), dict(x1=FLAT)),
    "SignGDKernel": (empirical.SignGDKernel, dict(f=linear, params=PARAMS, outputs="mean", trainable="W", memory=2**20)),
    "SignGDKernel.__call__": (empirical.SignGDKernel(linear, PARAMS), dict(x=FLAT)),
    "SignGDKernel.symmetric": (empirical.SignGDKernel(linear, PARAMS).symmetric, dict(x=FLAT)),
    "SignGDKernel.rounding": (empirical.SignGDKernel(linear, PARAMS).rounding, dict(x=FLAT)),
    "preconditioner": (empirical.preconditioner, dict(state=ADAM, params=PARAMS, b2=0.999, eps=1e-8, eps_root=0.0)),
    "first_order_change": (empirical.first_order_change, dict(f=linear, params=PARAMS, updates=PARAMS, x=FLAT)),
    "linearize": (empirical.linearize, dict(f=linear, params=PARAMS)),
    "taylor": (empirical.taylor, dict(f=linear, params=PARAMS, degree=1)),
    "attention_weights": (empirical.attention_weights, dict(f=attention)),
    "sgd.train": (training.sgd.train, dict(f=linear, params=PARAMS, data=(FLAT, Y), lr=0.1, batch=2, steps=2, key=KEY, loss="squared")),
    "Batches": (training.Batches, dict(n=4, batch=2, order="shuffle", key=KEY)),
    "tune": (training.tune, dict(kernel=DENSE, x=FLAT, y=Y, reg=0.1, steps=1, train=["sigma_w"])),
    "track": (training.track, dict(probes=[training.MovementProbe()], params=PARAMS, store=f"{STORE}-history.npz")),
    "KernelProbe": (training.KernelProbe, dict(f=linear, x=FLAT, y=Y, every=1, k=1, name="kernel")),
    "FeatureProbe": (training.FeatureProbe, dict(f=linear, x=FLAT, features={"one": [1.0, 0.0, 2.0, 0.0]}, layers={"W": "W"}, every=1, k=1, centre=True, level=0.9, outputs="mean", name="features")),
    "LossProbe": (training.LossProbe, dict(f=linear, sets={"train": (FLAT, Y)}, loss="squared", every=1)),
    "MovementProbe": (training.MovementProbe, dict(every=1, name="movement")),
    "linearised": (training.linearised, dict(f=linear, params=PARAMS, x=FLAT, y=Y)),
    "laziness": (training.laziness, dict(widths=[4, 8, 16], changes=[[1.0, 1.1], [0.7, 0.8], [0.5, 0.6]], level=0.9)),
    "Dataset": (Dataset, dict(x=X, y=[0, 1, 0, 1], lengths=LENGTHS)),
    "load": (load, dict(path="nothing.npz")),
    "unit_tokens": (sequences.unit_tokens, dict(n=2, t=2, d=2, key=KEY)),
    "parity": (sequences.parity, dict(n=2, t=2, key=KEY)),
    "delay": (sequences.delay, dict(n=2, t=3, lag=1, key=KEY)),
    "near_duplicates": (sequences.near_duplicates, dict(n=4, t=2, distance=0.1, key=KEY)),
    "ragged": (sequences.ragged, dict(n=2, t_max=3, d=2, key=KEY)),
    "by_class": (held_out.by_class, dict(x=X[[0, 1, 2, 3] * 2], y=[0, 0, 1, 1, 2, 2, 3, 3], held_out=2, key=KEY)),
    "power_law": (laws.power_law, dict(d=3, decay=1.0, logs=0.0)),
    "exponential": (laws.exponential, dict(d=3, rate=1.0)),
    "two_levels": (laws.two_levels, dict(d=3, head=1)),
    "sinusoids": (tasks.sinusoids, dict(n=2, shots=2, queries=2, key=KEY)),
    "linear_regression": (tasks.linear_regression, dict(n=2, n1=2, n2=2, spectrum=[1.0, 0.5], key=KEY, mean=0.0, spread=1.0, noise=0.1, rotation=np.eye(2))),
    "sinusoids' ranges": (tasks.sinusoids, dict(n=2, shots=2, queries=2, key=KEY, amplitude=(0.1, 5.0), phase=(0.0, 1.0), reach=1.0, noise=0.1)),
    "tasks.few_shot_tasks": (tasks.few_shot_tasks, dict(x=X, y=[0, 0, 1, 1], shots=1, queries=1, ways=2, tasks=2, permute=False, lengths=LENGTHS, key=KEY)),
    "blocks.Linear": (blocks.Linear, dict(sigma_w=1.0, sigma_b=0.0, train="Wb")),
    "blocks.Convolution": (blocks.Convolution, dict(size=3, causal=True, sigma_w=1.0, sigma_b=0.0, depthwise=False, train="Wb")),
    "blocks.GLU": (blocks.GLU, dict(activation="sigmoid", value=blocks.Linear(), gate=blocks.Linear())),
    "blocks.Nonlinearity": (blocks.Nonlinearity, dict(activation="relu")),
    "blocks.Attention": (blocks.Attention, dict(sigma_qk=1.0, sigma_ov=1.0, sigma_b=0.0, weights="softmax", scaling="dim", project=True, skip=False, causal=False, train="QKVOb", samples=8, seed=0, decay=None)),
    "blocks.Attention that decays": (lambda decay: blocks.Attention(weights="identity", scaling="root", causal=True, decay=decay), dict(decay=(0.5, 0.9))),
    "blocks.LayerNorm": (blocks.LayerNorm, dict(eps=0.0)),
    "blocks.Residual": (lambda blocks_: blocks.Residual(blocks_), dict(blocks_=blocks.Linear())),
    "blocks.Recurrent": (blocks.Recurrent, dict(cell=cells.Elman(), direction="both")),
    "cells.Elman": (cells.Elman, dict(activation="relu", sigma_w=1.0, sigma_u=1.0, sigma_b=0.1, train="WUb")),
    "cells.Leaky": (cells.Leaky, dict(activation="relu", keep=0.5, gate=0.5, sigma_w=1.0, sigma_u=1.0, sigma_b=0.1, train="WUb")),
    "cells.ControlledResNet": (cells.ControlledResNet, dict(activation="relu", sigma_w=1.0, sigma_b=0.1, sigma_h=1.0, train="Wbh")),
    "cells.GRU": (cells.GRU, dict(sigma_w=1.0, sigma_u=1.0, sigma_b=0.1, sigma_c=0.1, reset="after", law="normal", train="WUb")),
    "cells.LSTM": (cells.LSTM, dict(sigma_w=1.0, sigma_u=1.0, sigma_b=0.1, forget=1.0, law="normal", train="WUb")),
    "cells.LRU": (cells.LRU, dict(r_min=0.1, r_max=0.9, max_phase=1.0, sigma_u=1.0, train="nB")),
    "cells.S4D": (cells.S4D, dict(states=4, dt_min=0.01, dt_max=0.1, sigma_c=1.0, sigma_d=1.0, train="dC")),
    "blocks.Positions": (blocks.Positions, dict(share=0.5, decay=0.1)),
    "Serial": (lambda blocks_, **rest: kernels.Serial(blocks_, **rest), dict(blocks_=blocks.Linear(), read="mean", sigma_r=1.0, train_readout=True, input_scale="dim", kind="ntk", param="ntk", particles=64, batches=4, seed=0)),
    "Serial.__call__": (kernels.Serial(blocks.Linear(), "relu"), dict(x1=X, x2=X, lengths=LENGTHS, lengths2=LENGTHS)),
    "models.Serial": (lambda blocks_, **rest: models.Serial(blocks_, **rest), dict(blocks_=blocks.Linear(), width=4, heads=1, read="mean", sigma_r=1.0, train_readout=True, input_scale="dim", outputs=1)),
    "gram of tasks": (ntkseq.gram, dict(kernel=META, x=TASKS.inputs, x2=TASKS.inputs, tile=2, workers=1)),
    "meta_spectra": (spectra.meta_spectra, dict(base=DENSE, inner=kernels.GD(), tasks=TASKS, algorithms=("none",), batch=1, head=DENSE)),
    "Meta.blocks": (META.blocks, dict(tasks=TASKS.inputs)),
    "few_shot": (predictors.few_shot, dict(kernel=META, tasks=TASKS, labels=np.asarray(TASKS.labels), reg=0.1)),
    "FewShot": (predictors.few_shot(META, TASKS, reg=0.1), dict(tasks=TASKS)),
    "FewShot.select_reg": (predictors.few_shot(META, TASKS, reg=0.1).select_reg, dict(regs=[0.1, 1.0])),
    "gaussian_process": (predictors.gaussian_process, dict(K=A, y=Y, noise=0.1)),
    "GaussianProcess.variance": (predictors.gaussian_process(A, Y, noise=0.1).variance, dict(K_cross=A, K_query=np.diag(A))),
    "MixedRegression": (risks.MixedRegression, dict(spectrum=[1.0, 0.5], start=1.0, spread=0.1, noise=0.5, n1=4, n2=3, m=2, beta_tr=0.1, beta_te=0.1, alpha=0.05)),
    "MixedRegression.of": (risks.MixedRegression.of, dict(Sigma=A, start=np.ones(4), Sigma_theta=A)),
    "MixedRegression.of_kernel": (risks.MixedRegression.of_kernel, dict(K=A, residual=Y)),
    "risks.risk": (risks.risk, dict(problem=PROBLEM, steps=3)),
    "risks.limit": (risks.limit, dict(problem=PROBLEM)),
    "risks.grid": (risks.grid, dict(problem=PROBLEM, horizons=[1, 2], axes={"alpha": [0.05, 0.1]})),
    "risks.simulate": (risks.simulate, dict(problem=PROBLEM, steps=3, runs=2, key=KEY, horizons=[1, 3])),
    "risks.operator": (risks.operator, dict(spectrum=[1.0, 0.5], beta=0.1, n=3, F=[2.0, 2.0], k4=3.0)),
    "risks.fourth_moment": (risks.fourth_moment, dict(K=A)),
    "maml.learner": (maml.learner, dict(apply=linear, lr=0.1, steps=1, algorithm="maml", head="W", reg=None)),
    "maml.meta_train": (maml.meta_train, dict(f=LEARNER, params={"W": np.ones(1, np.float32)}, tasks=TASKS, lr=0.1, batch=2, steps=1, key=KEY)),
    "maml.few_shot_accuracy": (maml.few_shot_accuracy, dict(f=LEARNER, params={"W": np.ones(1, np.float32)}, tasks=TASKS)),
    "maml.scored": (maml.scored, dict(answers=np.ones((2, 2)), labels=np.ones((2, 2)))),
    "maml_upper": (bounds.maml_upper, dict(problem=PROBLEM, steps=3, form="derived")),
    "maml_lower": (bounds.maml_lower, dict(problem=PROBLEM, steps=3, form="paper")),
    "maml_sides": (bounds.maml_sides, dict(problem=PROBLEM, horizons=[1, 2], form="derived", axes={"alpha": [0.05, 0.1]})),
    "Tokens.declared": (norms.Tokens.declared, dict(norms=[1.0, 1.0], common=[1.0, 0.0], features=2)),
    "Tokens.measured": (norms.Tokens.measured, dict(x=X)),
    "memory_profile": (norms.memory_profile, dict(kernel=PAPER, x=LAW)),
    "rkhs_norm": (norms.rkhs_norm, dict(target=ADDITIVE, kernel=PAPER, x=LAW, degree=2)),
    "target_risk": (bounds.target_risk, dict(target=ADDITIVE, kernel=PAPER, x=LAW, n=4, delta=0.1, B0=1.0, tried=1)),
    "sample_size": (bounds.sample_size, dict(target=ADDITIVE, kernel=PAPER, x=LAW, eps=0.1, delta=0.1, B0=1.0, tried=1)),
    "every_step of a bound": (bounds.rademacher_steps, dict(K=OF_STEPS, y=np.ones((4, 2)), steps=[0], delta=0.1, B0=1.0, reg=0.1, kappa=2.0, tried=1)),
    "rademacher_each_step": (bounds.rademacher_each_step, dict(K=OF_STEPS, y=np.ones((4, 2)), delta=0.1, B0=1.0, reg=0.1, kappa=2.0, tried=1)),
    "every_step_norm": (norms.every_step_norm, dict(target=STEPS, kernel=PAPER, x=MARKED)),
    "every_step_risk": (bounds.every_step_risk, dict(target=STEPS, kernel=PAPER, x=MARKED, n=4, delta=0.1, B0=1.0, tried=1)),
    "allen_zhu_li2019": (bounds.allen_zhu_li2019, dict(target=ADDITIVE, x=X, y=Y, eps=0.1, width=8, outputs=1)),
    "wang_shen2021": (bounds.wang_shen2021, dict(target=ADDITIVE, x=X, y=Y, delta=0.1, B0=1.0, tried=1, K=A)),
    "panigrahi_goyal2021": (bounds.panigrahi_goyal2021, dict(target=SEQUENCE, x=X, y=Y, eps=0.1, width=8, outputs=1)),
    "learning_speed": (bounds.learning_speed, dict(table=RUN, lr=0.2, n=2, whole=True, start=1.0, losses=[1.0, 0.5])),
    "PositionToPosition": (concepts.PositionToPosition, dict(parts=[(1, 2, 0, [1.0, 0.0], "sin")])),
    "concepts.sample": (concepts.sample, dict(target=ADDITIVE, n=2, t=3, d=2, key=KEY, token_norm=1.0, first="common", bias=0.0, noise=0.1)),
    "kernel_regime": (training.kernel_regime, dict(f=linear, params=PARAMS, tuned=PARAMS, linear=PARAMS, test=(FLAT, Y), loss="squared", measure="loss", share=0.9, change=0.5, level=0.9, along=[PARAMS], examples=4, outputs="mean", trainable="W")),
    "deviation": (training.deviation, dict(outputs=np.ones((2, 1, 1)), linear=np.ones((2, 1, 1)), rounding=0.0)),
    "AttentionRankProbe": (training.AttentionRankProbe, dict(attention=attention, x=X, lengths=LENGTHS, every=1, kinds=("entropy",), name="attention")),
    "Linearised": (training.Linearised, dict(K=A.astype(np.float32), f0=np.zeros(4), y=Y, K_probe=A.astype(np.float32), f0_probe=np.zeros(4))),
    "Linearised.follow": (training.Linearised(A.astype(np.float32), np.zeros(4), Y).follow, dict(batches=np.array([[0, 1], [2, 3]]), lr=0.1, record=[0, 1, 2])),
    "Linearised.flow": (training.Linearised(A.astype(np.float32), np.zeros(4), Y).flow, dict(times=[0.0, 1.0])),
    "reports.Table": (reports.Table, dict(header=("a",), rows=((1.0,),), caption="c")),
    "reports.Figure": (reports.Figure, dict(name="a", draw=lambda: None, caption="c", alt="", kind="svg")),
    "reports.Section": (reports.Section, dict(heading="a", text=("b",), figures=(), tables=(), bounds={}, measured={})),
    "reports.Sheet": (reports.Sheet, dict(title="a", question="b", expect="", command="", facts=(("1", "b"),), notes=("n",), sections=(), numbers={}, arrays={"a": np.ones(2)}, provenance={})),
    "reports.Folder": (reports.Folder, dict(path="report")),
    "average": (empirical.average, dict(make=lambda key: DENSE, keys=list(jax.random.split(KEY, 2)), x=FLAT)),
    "convergence": (empirical.convergence, dict(make=lambda width, key: DENSE, widths=(2, 4), keys=list(jax.random.split(KEY, 2)), x=FLAT, limit=A)),
    "Convergence.verdict": (DRAWN.verdict, dict(error=0.1, width=4)),
    "linear_excess": (empirical.linear_excess, dict(width=8, steps=3)),
    "NTK.mv": (empirical.NTK(linear, PARAMS).mv, dict(x=FLAT, v=np.ones(4, np.float32))),
    "Taylor.__call__": (empirical.taylor(linear, PARAMS, degree=1), dict(params=PARAMS, x=FLAT[0])),
    "squared_error": (models.squared_error, dict(outputs=np.ones((2, 1), np.float32), targets=np.ones(2, np.float32))),
    "polynomial": (concepts.series.polynomial, dict(coefficients=[0.0, 1.0])),
    "teacher_sum": (sequences.teacher_sum, dict(n=2, t=2, d=2, key=KEY, directions=np.ones((2, 2), np.float32))),
    "count_ones": (sequences.count_ones, dict(n=2, t=2, key=KEY, dtype=np.float32)),
    "digits": (bundled.digits, dict(classes=(3, 8), dtype=np.float32, scale=True)),
    "Dataset.binary": (Dataset(jnp.asarray(X), jnp.asarray([0, 1, 0, 1]), classes=("a", "b")).binary, dict(a="a", b="b")),
    "load of a tidy table": (load, dict(path=str(TIDY), id="id", time="time", columns=("u",), label="label")),
    "load options": (load, dict(path=str(TABLE), targets="classes", label="last", layout="rows", tokens="real", header=False, delimiter="comma", dtype=np.float32, max_bytes=1000)),
    "text.one_hot_letters": (text.one_hot_letters, dict(codes=np.arange(3), positions=False)),
    "text.decode": (text.decode, dict(codes=np.arange(3))),
    "text.placed": (text.placed, dict(tokens=np.ones((2, 3, 4)))),
    "text.read": (text.read, dict(path="nothing.txt", max_bytes=100)),
    "sgd.train options": (training.sgd.train, dict(f=linear, params=PARAMS, data=(FLAT, Y), lr=0.1, batch=2, epochs=1, key=KEY, order="once", probes=(), average="all", trainable="W", checkpoint=None, progress=False)),
    "NTK options": (empirical.NTK, dict(f=linear, params=PARAMS, trainable="W", rates={"W": 1.0})),
    "Cheapest": (empirical.Cheapest, dict(memory=2**20, orders={"W": "gram"})),
    "Structured": (empirical.Structured, dict(memory=2**20, orders={})),
    "Jacobian": (empirical.Jacobian, dict(memory=2**20)),
    "Sketch": (empirical.Sketch, dict(key=KEY, directions=8)),
    "attention_ranks options": (spectra.attention_ranks, dict(attention=attention, params=ATTENTION, x=X, lengths=LENGTHS, kinds=("entropy",))),
    "Study": (studies.Study, {field.name: getattr(STUDY, field.name) for field in dataclasses.fields(STUDY)}),
    "Stored": (studies.Stored, dict(file="nothing.npz", array="K", rounding=0.1, method="auto", ridge=0.1)),
    "Filling": (studies.Filling, {field.name: getattr(FILLING, field.name) for field in dataclasses.fields(FILLING)}),
    "Status": (studies.Status, dict(path="nothing", verify=False)),
    "studies.filled": (studies.filled, dict(asked=FILLING)),
    "studies.status": (studies.status, dict(asked=studies.Status(STORE))),
    "studies.run": (studies.run, dict(study=studies.Study("nothing.npz"))),
    "studies.stored": (studies.stored, dict(asked=studies.Stored("nothing.npz"))),
    "text.windows": (text.windows, dict(codes=np.arange(10), t=3)),
    "text.encode": (text.encode, dict(text="abc")),
    "number of a rank": (ntkseq.effective_rank, dict(values=[3.0, 2.0, 1.0], rank="energy", quantile=0.9)),
    "bibtex": (references.bibtex, dict(key="cho2009kernel")),
    "Rectifier": (activations.Rectifier, dict(positive=1.0, negative=0.0)),
    "LeakyRelu": (activations.LeakyRelu, dict(slope=0.1)),
    "Erf": (activations.Erf, dict(frequency=1.0)),
    "Sine": (activations.Sine, dict(frequency=1.0, phase=0.0)),
    "Smooth": (activations.Smooth, dict(function=jnp.tanh, terms=8, parity="odd")),
    "activations.get": (activations.get, dict(activation="relu")),
    "trajectories.leading_eigenvalues": (trajectories.leading_eigenvalues, dict(history=HISTORY, table="kernel")),
    "trajectories.min_eigenvalue": (trajectories.min_eigenvalue, dict(histories=HISTORY, table="kernel")),
    "trajectories.drift": (trajectories.drift, dict(histories=HISTORY, table="kernel", movement="movement")),
    "trajectories.rotation": (trajectories.rotation, dict(histories=HISTORY, table="kernel")),
    "trajectories.ranks": (trajectories.ranks, dict(histories=HISTORY, table="kernel", kinds=("stable",))),
    "trajectories.losses": (trajectories.losses, dict(histories=HISTORY, table="loss", end="_loss")),
    "trajectories.alignment": (trajectories.alignment, dict(histories=HISTORY, table="kernel")),
    "trajectories.certificate": (trajectories.certificate, dict(histories=PROVED, table="certificate")),
    "trajectories.attention": (trajectories.attention, dict(history=HEADS, table="attention", kind="entropy")),
    "comparisons.width": (comparisons.width, dict(widths=[4, 8], drifts=[0.5, 0.3], reference=-0.5, ylabel="drift")),
    "comparisons.linearised": (comparisons.linearised, dict(steps=[0, 1], curves={"a": [1.0, 0.5]}, errors={"a": [0.1, 0.1]}, ylabel="loss", log=True)),
    "Curve": (learning.LearningCurve, dict(label="a", x=[1, 2], y=[0.5, 0.4], low=[0.4, 0.3], high=[0.6, 0.5], style="dots", certified=True, colour=0, marker=0, thin=False)),
    "learning": (learning.learning, dict(curves=[learning.LearningCurve("a", [1, 2], [0.5, 0.4])], xlabel="n", ylabel="error", title="t", top=1.0, ticks=[1, 2], legend=True)),
    "learning.below": (learning.below, dict(points={"a": ([0.1, 0.2], [0.3, 0.4])}, xlabel="a", ylabel="b", legend=True)),
    "learning.predicted": (learning.predicted, dict(curve=predictors.learning_curve(A, Y, reg=0.1, key=KEY, draws=2), loss="zero-one error", title="t", legend=True)),
    "learning.panels": (learning.panels, dict(draw=[lambda ax: ax], height=3.0, wide=7.0)),
    "interop.flax": (flax.function, dict(model=FLAX, variables=FLAX.init(KEY, FLAT[0]), batched=False)),
    "interop.equinox": (equinox.function, dict(model=EQUINOX, batched=False)),
    "interop.limits": (limits.limit_of, dict(module=linen.GRUCell(4), x=X, name=None, read="last", particles=64, batches=4, seed=0)),
    "interop.limits.register": (limits.register, dict(kind=dict, rule=lambda cell, d: limits.Recurrence(cells.GRU(), 4, d))),
    "interop.neural_tangents.wrap": (neural_tangents.wrap, dict(kernel_fn=lambda x1, x2, get: x1 @ (x1 if x2 is None else x2).T, kind="ntk", rounding=1e-5)),
    "interop.sklearn.NTKClassifier": (classifier, dict(X=X, y=["a", "b", "a", "b"], lengths=[3, 2, 3, 3], kernel=RECURRENT, reg="loo", layout="ntd", cache_size=200)),
    "interop.sklearn.NTKRegressor": (regressor, dict(X=X, y=Y, kernel=RECURRENT, reg=0.1)),
    "interop.sklearn.NTKTransformer": (transformer, dict(X=X, kernel=RECURRENT, n_components=3)),
    "interop.sklearn.predict": (estimators.NTKClassifier(RECURRENT).fit(X, ["a", "b", "a", "b"]).predict_proba, dict(X=X, lengths=[3, 2, 3, 3])),
    **{f"study {name}": (named.find(name), options(named.find(name))) for name in named.STUDIES},
}  # fmt: skip
