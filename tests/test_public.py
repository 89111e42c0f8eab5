"""What is public? Every name that users may rely on; a change here is a change for users."""

from __future__ import annotations

import importlib
import inspect
import pathlib
import subprocess
import sys

import pytest

import ntkseq

SURFACE = {
    "ntkseq": [
        "activations", "blocks", "bounds", "cells", "cite", "concepts", "data", "effective_rank", "empirical",
        "gram", "grams", "interop", "kernels", "lazy", "models", "norms", "predictors", "ridge", "risks",
        "spectra", "spectrum", "training", "tune",
    ],
    "ntkseq.activations": [
        "Activation", "Erf", "Gelu", "Identity", "LeakyRelu", "Rectifier", "Sine", "Smooth", "get", "names",
    ],
    "ntkseq.blocks": [
        "Attention", "Block", "Convolution", "GLU", "LayerNorm", "Linear", "Nonlinearity", "Positions", "Recurrent",
        "Residual",
    ],
    "ntkseq.bounds": [
        "Assumption", "AttentionHead", "Bernstein", "Bound", "BoundTable", "Catoni", "Centred",
        "CertificateProbe", "Kl",
        "LearnedPrior", "LinearisedBound", "LipschitzLoss", "NetworkBound", "NetworkPosterior", "Optimal",
        "Prior", "Regression", "Search", "Term", "Trajectory", "allen_zhu_li2019", "arora2019",
        "attention_norm", "attention_rank", "attention_schatten", "benign_overfitting", "cao_gu2019",
        "caponnetto_devito2007", "compression", "du2019", "edelman2022", "effective_rank_capacity",
        "every_step_risk", "frozen_attention", "learning_speed", "linearised_network", "local_rademacher",
        "maml_lower", "maml_sides", "maml_upper", "margin", "meta_kernel", "network", "pac_bayes",
        "panigrahi_goyal2021", "rademacher", "rademacher_each_step", "rademacher_steps", "sakai_imaizumi2026",
        "sample_size", "stability", "table", "target_risk", "trauger_tewari2024", "truong2024", "tu_he_tao2020",
        "wang_shen2021",
    ],
    "ntkseq.cells": ["Cell", "ControlledResNet", "Elman", "GRU", "LRU", "LSTM", "Leaky", "S4D"],
    "ntkseq.concepts": [
        "Additive", "Complexity", "NVariable", "PositionToPosition", "Sample", "Series", "Target",
        "WholeSequence", "complexity", "sample", "series",
    ],
    "ntkseq.concepts.series": [
        "cos", "erf", "exp", "geometric", "get", "names", "polynomial", "sigmoid", "sin", "softplus",
        "tanh",
    ],
    "ntkseq.data": ["Dataset", "Doubt", "bundled", "eigenvalues", "held_out", "load", "sequences", "tasks", "text"],
    "ntkseq.data.bundled": ["digits"],
    "ntkseq.data.eigenvalues": ["exponential", "power_law", "spread", "two_levels", "two_levels_at"],
    "ntkseq.data.held_out": ["Classes", "Part", "by_class"],
    "ntkseq.data.sequences": [
        "count_ones", "delay", "near_duplicates", "parity", "ragged", "teacher_sum", "unit_tokens",
    ],
    "ntkseq.data.tasks": ["Support", "Tasks", "few_shot_tasks", "linear_regression", "sinusoids"],
    "ntkseq.data.text": ["decode", "descriptions", "encode", "one_hot_letters", "placed", "read", "windows"],
    "ntkseq.empirical": [
        "AttentionWeights", "Average", "Cheapest", "Convergence", "HeavyTails", "HiddenCore", "HiddenKernel",
        "Jacobian", "Method", "NTK", "Plan", "Products", "SignGDKernel", "Sketch", "Structured", "Taylor", "Verdict",
        "attention_weights", "average", "calibrate", "convergence", "first_order_change", "linear_excess",
        "linearize", "preconditioner", "taylor",
    ],
    "ntkseq.grams": [
        "AuditedGram", "Cost", "DenseGram", "Gram", "LazyGram", "Operator", "PrecisionWarning", "StoredGram", "as_gram",
        "audit", "computed", "cost", "gram", "lazy", "open",
    ],
    "ntkseq.interop": ["equinox", "flax", "limits", "neural_tangents", "sklearn"],
    "ntkseq.interop.equinox": ["function", "stateful"],
    "ntkseq.interop.flax": ["function", "stateful"],
    "ntkseq.interop.limits": ["Limit", "Recurrence", "known", "limit_of", "register"],
    "ntkseq.interop.neural_tangents": ["load", "wrap"],
    "ntkseq.interop.sklearn": ["NTKClassifier", "NTKRegressor", "NTKTransformer", "forget"],
    "ntkseq.kernels": [
        "Attention", "Bidirectional", "Dense", "Flow", "GD", "Gated", "Kernel", "LeakyRecurrent",
        "LinearRecurrent", "Meta", "Prox", "Recurrent", "Scaled", "Serial", "Sum", "Transformer", "every_step", "get",
        "names",
    ],
    "ntkseq.models": [
        "Bidirectional", "Dense", "Gated", "LeakyRecurrent", "Model", "Recurrent", "Serial", "adapt",
        "squared_error",
    ],
    "ntkseq.norms": ["MemoryProfile", "Tokens", "every_step_norm", "memory_profile", "rkhs_norm"],
    "ntkseq.predictors": [
        "Attribution", "DatamodelingScore", "Estimates", "FewShot", "GaussianProcess", "GradientFlow", "Influence",
        "IterativeRidge", "LossCurve", "PredictedRisk", "Ridge", "RiskCurve", "RiskEstimate", "Selection", "Stopping",
        "data_subsets", "datamodeling_score", "early_stopping", "few_shot", "gaussian_process", "gradient_flow",
        "influence", "learning_curve", "one_hot", "predicted_risk", "ridge", "ridge_cg", "select_reg", "trak",
    ],
    "ntkseq.references": ["KEYS", "bibtex", "cite", "keys_of"],
    "ntkseq.reports": ["Figure", "Folder", "Prediction", "Rank", "Report", "Section", "Sheet", "Table"],
    "ntkseq.reports.comparisons": ["linearised", "width"],
    "ntkseq.reports.learning": ["LearningCurve", "below", "learning", "panels", "predicted"],
    "ntkseq.reports.trajectories": [
        "alignment", "attention", "certificate", "drift", "leading_eigenvalues", "losses", "min_eigenvalue",
        "ranks", "rotation",
    ],
    "ntkseq.risks": [
        "Grid", "MixedRegression", "Risk", "Simulated", "fourth_moment", "grid", "limit", "operator", "risk",
        "simulate",
    ],
    "ntkseq.spectra": [
        "AlignmentCurve", "AttentionRanks", "Auto", "ClassStructure", "Comparison", "Decay", "FeatureOverlap", "Full",
        "FullSpectrum", "HiddenEstimate", "Interval", "LayerRanks", "LowRank", "MatrixFree", "MetaSpectrum",
        "PartialSpectrum", "SampledRank", "Score", "Spectrum", "aggregate", "attention_ranks", "centred", "classwise",
        "compare", "condition_score", "effective_rank", "effective_ranks", "feature_overlap", "hidden_alignment",
        "hidden_dimension", "hidden_operator", "meta_spectra", "nystrom", "positive_definite", "ranks", "sampled",
        "spectrum",
    ],
    "ntkseq.spectra.ranks": [
        "Dimension", "EffectiveRank", "Energy", "Entropy", "Intrinsic", "Numerical", "Participation", "Stable",
        "Tail",
    ],
    "ntkseq.studies": [
        "Accuracy", "Filling", "Status", "Stored", "Study", "accuracy", "filled", "run", "status", "stored",
    ],
    "ntkseq.training": [
        "AttentionRankProbe", "Batches", "Deviation", "FeatureProbe", "History", "KernelPart", "KernelProbe",
        "KernelRegime", "Laziness", "LinearRun", "Linearised", "LossProbe", "MovementProbe", "Probe", "ProbeTable",
        "RegimeTest", "Tape", "Trained", "Tuned", "deviation", "kernel_regime", "laziness", "linearised",
        "maml", "sgd", "track", "tune",
    ],
    "ntkseq.training.maml": ["FewShotAccuracy", "Learner", "few_shot_accuracy", "learner", "meta_train", "scored"],
    "ntkseq.training.sgd": ["train"],
}  # fmt: skip

ROOMS = sorted("ntkseq." + path.parent.name for path in pathlib.Path(ntkseq.__file__).parent.glob("*/__init__.py"))
PACKAGE = pathlib.Path(ntkseq.__file__).parent

# one name for two things on purpose: a finite network and its limit, and functions of modules that mirror each other
TWICE = {
    "Attention": {"blocks", "kernels"}, "Bidirectional": {"kernels", "models"}, "Dense": {"kernels", "models"},
    "Gated": {"kernels", "models"}, "LeakyRecurrent": {"kernels", "models"},
    "Recurrent": {"blocks", "kernels", "models"},
    "Serial": {"kernels", "models"}, "function": {"interop"}, "get": {"activations", "concepts", "kernels"},
    "linearised": {"reports", "training"}, "load": {"data", "interop"}, "names": {"activations", "concepts", "kernels"},
    "ranks": {"reports", "spectra"}, "stateful": {"interop"},
}  # fmt: skip


def listed() -> set[str]:
    """Rooms, and every module below one that says what of it is public, but for rooms within rooms that are private."""
    public = {"ntkseq", *ROOMS}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        if path.name != "__init__.py" and "\n__all__ = " in path.read_text(encoding="utf-8"):
            public.add(".".join(parts))
    return public


def test_every_room_and_every_module_that_names_what_is_public_is_listed():
    below = {name for name in SURFACE if (PACKAGE.parent / name.replace(".", "/")).is_dir()}
    assert listed() - below == set(SURFACE) - below and set(ROOMS) <= below


@pytest.mark.parametrize("name", SURFACE)
def test_the_public_names_are_these(name: str):
    assert sorted(importlib.import_module(name).__all__) == SURFACE[name]


def test_no_two_public_things_have_one_name():
    things: dict[str, dict[int, str]] = {}
    for room, names in SURFACE.items():
        for name in names:
            thing = getattr(importlib.import_module(room), name)
            things.setdefault(name, {}).setdefault(id(thing), room)
    twice = {name: {room.split(".")[1] for room in rooms.values()} for name, rooms in things.items() if len(rooms) > 1}
    assert twice == TWICE


def test_no_public_name_hides_a_module_of_its_own_room():
    hidden = []
    for room, names in SURFACE.items():
        folder = PACKAGE.parent / room.replace(".", "/")
        for name in names:
            thing = getattr(importlib.import_module(room), name)
            if (folder / f"{name}.py").exists() and not inspect.ismodule(thing):
                hidden.append(f"{room}.{name}")
    assert hidden == []


def test_every_public_thing_stands_once_on_the_pages_of_the_api():
    pages = sorted((PACKAGE.parent / "docs" / "api").glob("*.md"))
    lines = [line[4:] for page in pages for line in page.read_text(encoding="utf-8").splitlines() if line[:4] == "::: "]
    shown = [path.rpartition(".") for path in lines if path != "ntkseq._types"]
    assert [path for path in shown if path[2] not in SURFACE[path[0]]] == []
    things = [id(getattr(importlib.import_module(room), name)) for room, _, name in shown]
    assert [path for path, thing in zip(shown, things, strict=True) if things.count(thing) > 1] == []
    public = ((room, name, getattr(importlib.import_module(room), name)) for room in SURFACE for name in SURFACE[room])
    missing = [f"{r}.{name}" for r, name, thing in public if id(thing) not in things and not inspect.ismodule(thing)]
    assert missing == [], 'each wants a line "::: ntkseq.room.name" on the page of its room in docs/api'


@pytest.mark.parametrize("name", SURFACE)
def test_every_public_name_exists_and_says_what_it_is(name: str):
    room = importlib.import_module(name)
    undocumented = [public for public in room.__all__ if not getattr(room, public).__doc__]
    assert undocumented == []


FIRST_IN_A_TRACE = """
import jax, jax.numpy as jnp, ntkseq
assert "ntkseq.kernels" not in __import__("sys").modules and {"kernels", "gram"} <= set(dir(ntkseq))
x = jnp.ones((2, 3))
traced = jax.jit(lambda a: ntkseq.kernels.Dense(activation=ntkseq.activations.Gelu())(a))(x)
assert jnp.allclose(traced, ntkseq.kernels.Dense(activation=ntkseq.activations.Gelu())(x))
"""


@pytest.mark.slow
def test_rooms_load_when_first_asked_for_also_inside_jit():
    subprocess.run([sys.executable, "-c", FIRST_IN_A_TRACE], check=True)
    with pytest.raises(AttributeError, match="no attribute 'grm'"):
        ntkseq.grm  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


ALL_ROOMS = """
import sys, ntkseq
assert "jax" not in sys.modules
for name in ntkseq.__all__: getattr(ntkseq, name)
heavy = {"matplotlib", "scipy.stats", "scipy.optimize", "zarr", "sklearn", "jinja2", "tyro", "rich"}
print(*sorted(heavy & set(sys.modules)))
"""


@pytest.mark.slow
def test_no_room_loads_what_few_need():
    done = subprocess.run([sys.executable, "-c", ALL_ROOMS], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []


def test_the_version_is_that_of_the_package():
    project = (pathlib.Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{ntkseq.__version__}"\n' in project
    citation = (pathlib.Path(__file__).parents[1] / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {ntkseq.__version__}\n" in citation
