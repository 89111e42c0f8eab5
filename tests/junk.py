"""What does every public callable answer to junk? Run by itself, without the hooks of the test run: users have none.

Every argument of a call that works is replaced by one piece of junk after another. An answer is an error of this library, of
one line, that names the argument, or a result without NaN.
"""

# ruff: noqa: E501  a call stands in a line

from __future__ import annotations

import collections
import json
import os
import pathlib
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np

import ntkseq
from ntkseq import bounds, concepts, empirical, grams, kernels, models, predictors, spectra, training
from ntkseq.data import Dataset, held_out, load, sequences, tasks, text
from ntkseq.data import spectra as laws

PACKAGE = str(pathlib.Path(ntkseq.__file__).parent)
ANSWERS = (ValueError, OSError, ImportError, FloatingPointError)
LONGEST = 700
LATER = {
    ("Dense Gram", "array"),
    ("Dense Gram", "rounding"),
    ("Dense Gram", "entrywise"),
    ("Dataset", "x"),
    ("Dataset", "y"),
    ("Dataset", "lengths"),
    ("Model.init", "x"),
    ("by_class", "x"),
}
"""Records and splits, which say nothing of numbers: who computes with them does. `init` needs a shape only."""

RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 3, 2)).astype(np.float32)
FLAT = X.reshape(4, -1)
Y = np.array([1.0, -1.0, 1.0, -1.0])
A = np.eye(4) + 0.1
B = np.diag([4.0, 3.0, 2.0, 1.0])
KEY = jax.random.key(0)
DENSE, RECURRENT = kernels.Dense(), kernels.Recurrent()
GRAM = ntkseq.gram(DENSE, FLAT)
LENGTHS = np.array([3, 2, 3, 1])
PARAMS = {"W": RNG.standard_normal((1, 6)).astype(np.float32)}
ATTENTION = {"Q": RNG.standard_normal((2, 2)).astype(np.float32)}
HEAD = bounds.AttentionHead([1.0], [[1.0], [0.0]], np.eye(2))
BIG = bounds.AttentionHead([1.0], [[1.0], [0.0]], np.eye(2))


def linear(params: Any, x: Any) -> Any:
    return params["W"] @ x


def attention(params: Any, x: Any) -> Any:
    return jax.nn.softmax(x @ params["Q"] @ x.T)[None]


CALLS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "gram": (ntkseq.gram, dict(kernel=DENSE, x=FLAT, x2=FLAT, tile=2, workers=1)),
    "gram of sequences": (ntkseq.gram, dict(kernel=RECURRENT, x=X, lengths=LENGTHS)),
    "lazy": (ntkseq.lazy, dict(kernel=DENSE, x=FLAT, x2=FLAT, tile=2)),
    "Dense Gram": (grams.Dense, dict(array=A, rounding=0.0, entrywise=1e-9)),
    "Operator": (grams.Operator, dict(product=lambda V: A @ V, n=4, rounding=0.0, diagonal=np.diag(A), dtype=np.float64)),
    "as_gram": (grams.as_gram, dict(K=A)),
    "audit": (grams.audit, dict(K=GRAM, kernel=DENSE, x=FLAT, pairs=5, delta=0.1, seed=0)),
    "computed": (grams.computed, dict(K=np.asarray(GRAM.array), kernel=DENSE, x=FLAT)),
    "times": (GRAM.times, dict(V=np.ones(4))),
    "mv": (GRAM.mv, dict(v=np.ones(4, np.float32))),
    "take": (GRAM.take, dict(which=np.array([0, 2]))),
    "spectrum": (ntkseq.spectrum, dict(K=A, method="auto")),
    "spectrum, matrix-free": (ntkseq.spectrum, dict(K=A, method="matrix-free", k=2, probes=2, steps=3, tol=1e-3, delta=0.1)),
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
    "nystrom": (spectra.nystrom, dict(K=A, rank=2, oversample=1, power=1, probes=2, delta=0.1, seed=0)),
    "positive_definite": (spectra.positive_definite, dict(K=A)),
    "condition_score": (spectra.condition_score, dict(gram=GRAM, queries=2, batch=1)),
    "attention_ranks": (spectra.attention_ranks, dict(attention=attention, params=ATTENTION, x=X, batch=2)),
    "ridge": (ntkseq.ridge, dict(K=A, y=Y, reg=0.1)),
    "Ridge.__call__": (ntkseq.ridge(A, Y, reg=0.1), dict(K_cross=A)),
    "ridge_cg": (predictors.ridge_cg, dict(K=GRAM, y=Y, reg=0.1, rank=2, tol=1e-6, most=10, seed=0)),
    "select_reg": (predictors.select_reg, dict(K=A, y=Y, regs=[0.1, 1.0])),
    "flow": (predictors.flow, dict(K=A, y=Y, time=1.0, f0=np.zeros(4), tol=1e-6, most=10)),
    "flow by steps": (predictors.flow, dict(K=A, y=Y, steps=3, lr=0.1)),
    "early_stopping": (predictors.early_stopping, dict(K=A, y=Y, K_validation=A, y_validation=Y, times=[0.1, 1.0])),
    "one_hot": (predictors.one_hot, dict(labels=[0, 1, 1], classes=[0, 1])),
    "rademacher": (bounds.rademacher, dict(K=A, y=Y, delta=0.1, B0=1.0, reg=0.1, kappa=2.0, tried=1)),
    "margin": (bounds.margin, dict(K=A, y=Y, gamma=1.0, delta=0.1, B0=1.0, reg=0.1, kappa=2.0, tried=1)),
    "arora": (bounds.arora, dict(K=A, y=Y, delta=0.1, constant=1.0)),
    "cao_gu": (bounds.cao_gu, dict(K=A, y=Y, delta=0.1, constant=1.0, depth=2)),
    "du": (bounds.du, dict(K=A, y=Y, eta=0.1, steps=3)),
    "edelman": (bounds.edelman, dict(head=HEAD, n=10, t=3, Bx=1.0)),
    "trauger_tewari": (bounds.trauger_tewari, dict(head=HEAD, n=10)),
    "sakai_imaizumi": (bounds.sakai_imaizumi, dict(head=HEAD, n=10, p=1.0)),
    "truong": (bounds.truong, dict(head=HEAD, n=10, tol=1e-3)),
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
    "Dense": (kernels.Dense, dict(sigma_w=1.0, sigma_b=0.0, sigma_v=1.0, activation="relu", depth=1, train="WbV", kind="ntk")),
    "Recurrent": (kernels.Recurrent, dict(sigma_w=1.0, sigma_u=1.0, sigma_v=1.0, activation="relu", depth=1, read="last", train="WUbV", h0="zero")),
    "Bidirectional": (kernels.Bidirectional, dict(sigma_w=1.0, activation="relu", depth=2, read="last")),
    "Gated": (kernels.Gated, dict(cell="gru", sigma_w=1.0, particles=64, batches=4, seed=0, read="last")),
    "LeakyRecurrent": (kernels.LeakyRecurrent, dict(keep=0.5, sigma_w=1.0, activation="relu", read="last")),
    "LinearRecurrent": (kernels.LinearRecurrent, dict(sigma_w=1.0, sigma_u=1.0, read="last", train="WUbV")),
    "Attention": (kernels.Attention, dict(sigma_w=1.0, sigma_b=0.0, read="mean", sigma_v=1.0)),
    "Transformer": (kernels.Transformer, dict(depth=1, sigma_u=1.0, sigma_w=1.0, activation="relu", eps=1e-5, read="mean")),
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
    "models.Gated": (models.Gated, dict(width=4, cell="gru", sigma_w=1.0, read="last")),
    "models.LeakyRecurrent": (models.LeakyRecurrent, dict(width=4, keep=0.5, sigma_w=1.0)),
    "models.Bidirectional": (models.Bidirectional, dict(width=4, sigma_w=1.0, depth=2)),
    "Model.init": (models.Recurrent(width=4).init, dict(key=KEY, x=X[0])),
    "adapt": (models.adapt, dict(apply=linear, lr=0.1, steps=1)),
    "NTK": (empirical.NTK, dict(f=linear, params=PARAMS, outputs="trace", method="auto")),
    "NTK.__call__": (empirical.NTK(linear, PARAMS), dict(x1=FLAT)),
    "linearize": (empirical.linearize, dict(f=linear, params=PARAMS)),
    "taylor": (empirical.taylor, dict(f=linear, params=PARAMS, degree=1)),
    "attention_weights": (empirical.attention_weights, dict(f=attention)),
    "sgd.fit": (training.sgd.fit, dict(f=linear, params=PARAMS, data=(FLAT, Y), lr=0.1, batch=2, steps=2, key=KEY, loss="squared")),
    "Batches": (training.Batches, dict(n=4, batch=2, order="shuffle", key=KEY)),
    "fit": (training.fit, dict(kernel=DENSE, x=FLAT, y=Y, reg=0.1, steps=1, train=["sigma_w"])),
    "track": (training.track, dict(probes=[training.MovementProbe()], params=PARAMS)),
    "KernelProbe": (training.KernelProbe, dict(f=linear, x=FLAT, y=Y, every=1, k=1, name="kernel")),
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
    "text.windows": (text.windows, dict(codes=np.arange(10), t=3)),
    "text.encode": (text.encode, dict(text="abc")),
}  # fmt: skip


def junk(valid: Any) -> Iterator[tuple[str, Any]]:
    """What may be passed by mistake in the place of `valid`."""
    yield "None", None
    yield "a string", "junk"
    yield "an empty string", ""
    yield "a complex number", 1j
    yield "-1", -1
    yield "a huge int", 2**70
    yield "nan", float("nan")
    yield "inf", float("inf")
    yield "[]", []
    yield "{}", {}
    yield "an object", object()
    yield "a list of unequal length", [[1.0, 2.0], [3.0]]
    yield "an array of objects", np.array([None, "a", 1.0], dtype=object)
    yield "an empty array", np.zeros((0,))
    shape = np.shape(valid) if isinstance(valid, (np.ndarray, jax.Array)) and not _is_key(valid) else (4,)
    dtype = valid.dtype if isinstance(valid, np.ndarray) and valid.dtype.kind == "f" else np.float64
    yield "an array of NaN", np.full(shape, np.nan, dtype)
    yield "a complex array", np.full(shape, 1j)
    yield "an array of strings", np.full(shape, "a")
    yield "another rank", np.ones((*shape, 1, 1), dtype)
    yield "masked", np.ma.masked_array(np.ones(shape, dtype), mask=True)
    yield "a key", KEY


def _is_key(value: Any) -> bool:
    return isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)


def judged(call: Callable[[], Any], argument: str, what: str) -> str | None:
    """What is wrong with the answer; None: nothing."""
    try:
        call()
    except ANSWERS as error:
        said, frames = str(error), traceback.extract_tb(error.__traceback__)
        if frames[-1].filename == __file__ and frames[-1].name in ("linear", "attention"):  # the user's own function
            return None
        own = isinstance(error, OSError) or frames[-1].filename.startswith(PACKAGE)
        if not own:
            return f"foreign: {type(error).__name__}: {said.splitlines()[0] if said else ''}"
        if "\n" in said.strip() or len(said) > LONGEST:
            return f"long: {said.splitlines()[0][:80]}"
        if argument.strip("_012") not in said:
            return f"unnamed: {said[:100]}"
        return None
    except Exception as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        if at.filename == __file__ and at.name in ("linear", "attention"):  # the user's own function
            return None
        return (
            f"foreign: {type(error).__name__} at {at.filename[-40:]}:{at.lineno}: {str(error).strip().splitlines()[:1]}"
        )
    return "accepted" if "nan" in what.lower() or what == "masked" else None


def traced(function: Callable[..., Any], arguments: dict[str, Any], name: str) -> Callable[[], Any]:
    """The call with one argument traced."""

    def call() -> Any:
        def inside(value: Any) -> Any:
            function(**(arguments | {name: value}))
            return 0

        return jax.jit(inside)(arguments[name])

    return call


def sweep() -> tuple[int, list[tuple[str, str, str, str]]]:
    """How many calls, and those that were answered wrongly: callable, argument, junk, what is wrong."""
    count, wrong = 0, []
    for title, (function, arguments) in CALLS.items():
        for name, valid in arguments.items():
            calls: list[tuple[str, Callable[[], Any]]] = [
                (what, partial(function, **(arguments | {name: value}))) for what, value in junk(valid)
            ]
            if isinstance(valid, (np.ndarray, jax.Array)) and not _is_key(valid):
                calls.append(("a tracer", traced(function, arguments, name)))
            for what, call in calls:
                count += 1
                found = judged(call, name, what)
                if found is not None and not (found == "accepted" and (title, name) in LATER):
                    wrong.append((title, name, what, found))
    return count, wrong


def broken() -> list[str]:
    """The calls that do not work as they stand: they would show nothing."""
    found = []
    for title, (function, arguments) in CALLS.items():
        try:
            function(**arguments)
        except Exception as error:
            if title != "load":
                found.append(f"{title}: {type(error).__name__}: {str(error)[:200]}")
    return found


if __name__ == "__main__":
    os.chdir(tempfile.mkdtemp())
    warnings.simplefilter("ignore")
    failed = broken()
    count, wrong = sweep()
    kinds = collections.Counter(what.split(":")[0] for *_, what in wrong)
    json.dump({"calls": count, "kinds": kinds, "broken": failed, "wrong": wrong}, sys.stdout)
