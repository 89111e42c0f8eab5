"""Are kernel and penalty of a table chosen on the validation fold alone, among the kernels that are named?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq import data
from ntkseq.kernels import Recurrent
from ntkseq.studies import folds

from .test_accuracies import made


def nothing() -> None:
    pass


def chosen(path, kernel="dense"):
    return folds.outcome(data.load(path, dtype="float32"), path, kernel, nothing)


def test_the_choice_does_not_see_what_is_outside_of_its_folds(tmp_path):
    path = made(tmp_path, folds=True)
    with np.load(path) as arrays:
        held = dict(arrays)
    few = {"train_fold": np.arange(12), "val_fold": np.arange(12, 24)}
    noise = np.random.default_rng(1).standard_normal(held["X"].shape).astype(np.float32)
    held["X"] = held["X"] + 2 * noise
    found = []
    for y in (held["y"], np.where(np.arange(48) < 24, held["y"], 1 - held["y"])):
        np.savez(path, **held | few | {"y": y})
        found.append(chosen(path, "gaussian"))
    assert found[0].settings == found[1].settings and found[0].validation == found[1].validation
    assert found[0].tests != found[1].tests


def test_settings_that_tie_vote_for_recurrent_kernels_and_the_first_is_taken_for_vectors(tmp_path, monkeypatch):
    path = made(tmp_path, folds=True)
    with np.load(path) as arrays:
        truth = np.where(arrays["y"] == 1, 1.0, -1.0)
    kernels = [(np.outer(truth, truth), words) for words in ("first", "second")]
    for vote, words in ((True, ("first, C 1", "first, C 10", "second, C 1", "second, C 10")), (False, ("first, C 1",))):
        protocol = folds.Protocol(lambda x, norm, tick: iter(kernels), (2, 1), (1.0, 10.0), vote)
        monkeypatch.setitem(folds.PROTOCOLS, "dense", protocol)
        found = chosen(path)
        assert found.settings == words and found.tried == 4 and found.tests == (100.0,) * 4


def test_a_machine_that_did_not_converge_is_not_chosen(tmp_path, monkeypatch):
    path = made(tmp_path, folds=True)
    monkeypatch.setattr(folds.support_vectors, "ITERATIONS", 1)
    with pytest.raises(ValueError, match="no machine of 105 converged on train_fold"):
        chosen(path)


@pytest.mark.slow
def test_the_recurrent_grid_is_that_of_the_kernels_it_names():
    x = np.random.default_rng(0).standard_normal((5, 6, 1)).astype(np.float32)
    grid = list(folds._recurrent(x, 2.0, nothing))
    assert len(grid) == 48
    for K, words in grid[:3] + grid[-3:]:
        depth = 2 if "2 layer" in words else 1
        train = "R" if "only the read-out" in words else "WUbR"
        u, b = (0.25, 0.001) if depth == 1 else (0.5, 0.1)
        assert f"sigma_u {u:g}, sigma_b {b:g}" in words
        way = words.rpartition(", ")[2]
        kernel = Recurrent.preset("rntk", sigma_u=u, sigma_b=b, depth=depth, train=train, direction=way)
        want = np.asarray(kernel(x / np.float32(2)))
        np.testing.assert_allclose(K, want, atol=3e-6 * want.max())
