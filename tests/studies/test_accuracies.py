"""Do the published protocols run as stated, never look at test labels to choose, and reach the published accuracies?"""

from __future__ import annotations

import json

import numpy as np
import pytest

from ntkseq.studies import accuracies, accuracy
from ntkseq.studies.accuracies import _cross_validated, _folds


@pytest.fixture
def one_kernel(monkeypatch):
    """The grid cut down to its first kernel: choosing is tested, not the kernels."""
    import importlib

    module = importlib.import_module("ntkseq.studies.accuracies")
    whole = module._ucr_kernels
    monkeypatch.setattr(module, "_ucr_kernels", lambda: [next(iter(whole()))])


def made(tmp_path, *, flip=False, folds=False):
    rng = np.random.default_rng(0)
    y = np.arange(48) % 2
    x = (rng.normal(size=(48, 4)) * 0.3 + 2.0 * y[:, None] - 1.0).astype(np.float32)
    y_test = 1 - y[40:] if flip else y[40:]
    arrays = {"x": x[:40], "y": y[:40], "x_test": x[40:], "y_test": y_test}
    if folds:
        quarters = np.arange(48).reshape(4, 12)
        arrays = {"X": x, "y": y, "max_norm": np.linalg.norm(x, axis=1).max()}
        arrays |= {"train_fold": np.arange(24), "val_fold": np.arange(24, 48)}
        for i in range(4):
            arrays |= {f"k{i}_test": quarters[i], f"k{i}_train": np.setdiff1d(np.arange(48), quarters[i])}
    np.savez(tmp_path / "made.npz", **arrays)
    return tmp_path / "made.npz"


@pytest.mark.slow
def test_separable_classes_are_learnt_without_error(tmp_path, one_kernel):
    found = accuracy(made(tmp_path))
    assert (found.protocol, found.validation, found.test) == ("ucr", 100.0, 100.0)
    assert found.tried == 5 and 1 <= len(found.settings) <= 5


@pytest.mark.slow
def test_the_choice_does_not_see_the_test_labels(tmp_path, one_kernel):
    honest, flipped = accuracy(made(tmp_path)), accuracy(made(tmp_path, flip=True))
    assert honest.settings == flipped.settings and honest.validation == flipped.validation
    assert flipped.test == 0.0


@pytest.mark.parametrize(("kernel", "tried"), [("dense", 105), ("gaussian", 42)])
def test_a_file_with_folds_takes_the_uci_protocol(tmp_path, kernel, tried):
    found = accuracy(made(tmp_path, folds=True), kernel=kernel)
    assert (found.protocol, found.kernel, found.validation, found.tried) == ("uci", kernel, 100.0, tried)
    assert found.test == 100.0 and len(found.settings) == 1
    assert str(found).startswith(f"made, {kernel}: validation 100.00 %, test 100.00 %")


def test_kernels_of_vectors_want_folds(tmp_path):
    with pytest.raises(ValueError, match=r"kernel='dense' takes tables whose file names its folds.*got made\.npz"):
        accuracy(made(tmp_path), kernel="dense")


def test_the_second_kernel_says_how_long_the_others_take(monkeypatch):
    said, clock = [], iter([0.0, 2.0, 9.0])
    monkeypatch.setattr(accuracies.time, "perf_counter", lambda: next(clock))
    pace = accuracies._Pace(said.append, 12)
    for _ in range(3):
        pace.tick()
    assert said == [
        "estimate: 30 s (10 s to 90 s) once compiled, if the machine stays as busy, for the other 10 kernels"
    ]


def test_folds_are_stratified_and_reproducible():
    y = np.repeat([0, 1, 2], [20, 10, 10])
    folds = _folds(y, 0)
    assert np.array_equal(folds, _folds(y, 0)) and not np.array_equal(folds, _folds(y, 1))
    for fold in range(10):
        assert np.bincount(y[folds == fold]).tolist() == [2, 1, 1]


def test_cross_validation_is_scored_on_what_was_left_out():
    y = np.arange(20) % 2
    truth = np.where(y == 1, 1.0, -1.0)
    assert _cross_validated(np.outer(truth, truth), y, _folds(y, 0), 1.0) == 20
    alone = np.eye(20)  # nothing can be said of an example from the others
    assert _cross_validated(alone, y, _folds(y, 0), 1.0) <= 12


def test_a_setting_that_cannot_reach_the_best_is_given_up():
    y = np.arange(20) % 2
    right = _cross_validated(np.eye(20), y, _folds(y, 0), 1.0)
    assert _cross_validated(np.eye(20), y, _folds(y, 0), 1.0, least=right) == right
    assert _cross_validated(np.eye(20), y, _folds(y, 0), 1.0, least=right + 1) == -1


def test_a_file_without_a_test_split_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((4, 3)), y=np.arange(4) % 2)
    with pytest.raises(ValueError, match="needs a test split"):
        accuracy(tmp_path / "a.npz")


def test_one_class_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((4, 3)), y=np.zeros(4, int))
    with pytest.raises(ValueError, match="at least two classes; got 1"):
        accuracy(tmp_path / "a.npz")


def test_folds_that_point_outside_are_refused(tmp_path):
    path = made(tmp_path, folds=True)
    with np.load(path) as arrays:
        held = dict(arrays)
    np.savez(path, **held | {"val_fold": np.array([0, 99])})
    with pytest.raises(ValueError, match=r"val_fold must hold indices of examples, 0\.\.47"):
        accuracy(path, kernel="dense")


REFERENCE = {
    "SmoothSubspace": 94.67,
    "Coffee": 100.0,
    "GunPoint": 96.67,
    "ECG200": 86.0,  # 83 to 89
    "SyntheticControl": 97.67,
}
"""Median test accuracy of the published code, ported, by the same protocol on a larger grid."""


@pytest.mark.data
@pytest.mark.parametrize("name", REFERENCE)
def test_time_series_reach_the_published_code_within_two_points(data_dir, name):
    assert accuracy(data_dir / "ucr" / f"{name}.npz").test >= REFERENCE[name] - 2.01


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("ItalyPowerDemand", 95.5),  # the nearest neighbour
        (
            "ArrowHead",
            78.57,
        ),  # two points below the published 80.57; the nearest neighbour has 80.0, we do not reach it
        ("JapaneseVowels", 93.0),  # ragged, 12 features
        ("BasicMotions", 90.0),  # six features
        ("PickupGestureWiimoteZ", 55.0),  # ragged; chance is 10
    ],
)
def test_other_time_series_are_told_apart(data_dir, name, least):
    assert accuracy(data_dir / "ucr" / f"{name}.npz").test >= least


@pytest.mark.data
@pytest.mark.parametrize(("name", "reference"), [("iris", 96.62), ("wine", 99.43)])
def test_tables_reach_the_published_code_within_two_points(data_dir, name, reference):
    assert accuracy(data_dir / "uci" / f"{name}.npz").test >= reference - 2.0


@pytest.mark.data
@pytest.mark.parametrize("name", ["glass", "heart-va", "iris", "lymphography", "wine"])
def test_fully_connected_kernels_reach_what_another_program_did(data_dir, name):
    folder = data_dir / "uci90"
    known = json.loads((folder / "REFERENCE.json").read_text())["accuracy"][name]
    assert abs(accuracy(folder / f"{name}.npz", kernel="dense").test - known) < 0.01  # its two digits
