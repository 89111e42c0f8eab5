"""What is public? Every name that users may rely on; a change here is a change for users."""

from __future__ import annotations

import importlib
import pathlib
import subprocess
import sys

import pytest

import ntkseq

SURFACE = {
    "ntkseq": [
        "activations",
        "blocks",
        "bounds",
        "cite",
        "concepts",
        "data",
        "effective_rank",
        "empirical",
        "fit",
        "gram",
        "grams",
        "interop",
        "kernels",
        "lazy",
        "models",
        "norms",
        "predictors",
        "ridge",
        "risks",
        "spectra",
        "spectrum",
        "training",
    ],
    "ntkseq.bounds": [
        "Assumption", "AttentionHead", "Bound", "Term", "Trajectory", "allen_zhu_li", "along", "arora",
        "attention_norm", "attention_rank", "attention_schatten", "cao_gu", "du", "each_step", "edelman",
        "effective_rank_capacity", "every_step", "every_step_risk", "frozen_attention", "maml_lower", "maml_sides",
        "maml_upper", "margin", "meta_kernel", "panigrahi_goyal", "rademacher", "sakai_imaizumi", "sample_size",
        "target_risk", "trauger_tewari", "truong", "wang_shen",
    ],
    "ntkseq.concepts": [
        "Additive", "Complexity", "NVariable", "PositionToPosition", "Sample", "Series", "Target", "WholeSequence",
        "complexity", "sample", "series",
    ],
    "ntkseq.data": [
        "Dataset", "bundled", "files", "held_out", "load", "sequences", "spectra", "tasks", "text",
    ],
    "ntkseq.empirical": [
        "AttentionWeights", "Average", "Convergence", "NTK", "Plan", "Taylor", "attention_weights", "average",
        "calibrate", "convergence", "linearize", "taylor",
    ],
    "ntkseq.grams": [
        "Audited", "Dense", "Gram", "Lazy", "Operator", "PrecisionWarning", "as_gram", "audit", "computed", "gram",
        "lazy",
    ],
    "ntkseq.interop": ["equinox", "flax", "neural_tangents"],
    "ntkseq.kernels": [
        "Attention", "Bidirectional", "Dense", "Flow", "GD", "Gated", "Kernel", "LeakyRecurrent", "LinearRecurrent",
        "Meta", "Prox", "Recurrent", "Scaled", "Serial", "Sum", "Transformer", "every_step",
    ],
    "ntkseq.models": [
        "Bidirectional", "Dense", "Gated", "LeakyRecurrent", "Model", "Recurrent", "Serial", "adapt", "squared_error",
    ],
    "ntkseq.norms": ["MemoryProfile", "Tokens", "every_step_norm", "memory_profile", "rkhs_norm"],
    "ntkseq.predictors": [
        "Estimates", "FewShot", "Flow", "GaussianProcess", "IterativeRidge", "Ridge", "Selection", "Stopping",
        "early_stopping", "few_shot", "flow", "gaussian_process", "one_hot", "ridge", "ridge_cg", "select_reg",
    ],
    "ntkseq.reports": ["Figure", "Folder", "Prediction", "Rank", "Report", "Section", "Sheet", "Table"],
    "ntkseq.risks": [
        "Grid", "MixedRegression", "Risk", "Simulated", "fourth_moment", "grid", "limit", "operator", "risk",
        "simulate",
    ],
    "ntkseq.spectra": [
        "AttentionRanks", "Auto", "ClassStructure", "Comparison", "Curve", "Decay", "Full", "FullSpectrum", "Interval",
        "LayerRanks", "LowRank", "MatrixFree", "MetaSpectrum", "PartialSpectrum", "SampledRank", "Score",
        "Spectrum", "aggregate", "attention_ranks", "centred", "classwise", "compare", "condition_score",
        "effective_rank", "effective_ranks", "meta_spectra", "nystrom", "positive_definite", "ranks", "sampled",
        "spectrum",
    ],
    "ntkseq.spectra.ranks": [
        "Dimension", "EffectiveRank", "Energy", "Entropy", "Intrinsic", "Numerical", "Participation", "Stable", "Tail",
    ],
    "ntkseq.studies": ["Accuracy", "Stored", "Study", "accuracy", "run", "stored"],
    "ntkseq.training": [
        "AttentionRankProbe", "Batches", "Deviation", "Fitted", "History", "KernelProbe", "Laziness", "LinearRun",
        "Linearised", "LossProbe", "MovementProbe", "Probe", "Table", "Tape", "Trained", "deviation", "fit",
        "laziness", "linearised", "maml", "sgd", "track",
    ],
    "ntkseq.training.maml": ["Accuracy", "Learner", "accuracy", "fit", "learner", "scored"],
}  # fmt: skip

ROOMS = sorted("ntkseq." + path.parent.name for path in pathlib.Path(ntkseq.__file__).parent.glob("*/__init__.py"))


def test_every_room_is_listed():
    assert sorted(name for name in SURFACE if name.count(".") == 1) == ROOMS


@pytest.mark.parametrize("name", SURFACE)
def test_the_public_names_are_these(name: str):
    assert sorted(importlib.import_module(name).__all__) == SURFACE[name]


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


def test_rooms_load_when_first_asked_for_also_inside_jit():
    subprocess.run([sys.executable, "-c", FIRST_IN_A_TRACE], check=True)
    with pytest.raises(AttributeError, match="no attribute 'grm'"):
        ntkseq.grm  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


def test_the_version_is_that_of_the_package():
    project = (pathlib.Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{ntkseq.__version__}"\n' in project
