"""A folder of its own for every command, a file to study, and a stop before the first computation."""

from __future__ import annotations

import importlib

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def file(tmp_path):
    def made(name="made.npz", **changes):
        x = np.random.default_rng(0).normal(size=(16, 3, 1)).astype(np.float32)
        arrays = {"x": x[:12], "y": np.arange(12) % 2, "x_test": x[12:], "y_test": np.arange(4) % 2} | changes
        np.savez(tmp_path / name, **{k: v for k, v in arrays.items() if v is not None})
        return name

    return made


@pytest.fixture
def nothing_computed(monkeypatch):
    """The first kernel matrix or spectrum ends the command."""

    def computed(*args, **kwargs):
        raise ValueError("computed")

    for module, name in (("tangent.fits", "gram"), ("accuracies", "gram"), ("stored_grams", "spectrum")):
        monkeypatch.setattr(importlib.import_module(f"ntkseq.studies.{module}"), name, computed)
