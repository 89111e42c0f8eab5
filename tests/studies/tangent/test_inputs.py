"""Are examples chosen, split and scaled as the study says, the same way every time?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq.data import bundled
from ntkseq.studies import Study
from ntkseq.studies.tangent.inputs import problem


@pytest.fixture
def file(tmp_path):
    """Makes an npz of n sequences, three classes a, b, c with shares 1/2, 1/4, 1/4."""

    def made(n=40, name="made.npz", **more):
        rng = np.random.default_rng(1)
        y = np.array(["a", "b", "a", "c"] * (n // 4 + 1))[:n]
        arrays = {"x": rng.normal(size=(n, 5, 2)).astype(np.float32), "y": y} | more
        np.savez(tmp_path / name, **arrays)
        return str(tmp_path / name)

    return made


def test_digits_are_split_as_in_the_readme():
    posed = problem(Study("digits"))
    x, y = bundled.digits(classes=(3, 8))
    assert np.array_equal(posed.test.x, np.asarray(x[:100])) and np.array_equal(posed.train.x, np.asarray(x[100:]))
    assert np.array_equal(posed.signs(posed.train), np.asarray(y[100:]))
    assert posed.question == "class '3' is -1, class '8' is +1"


def test_all_digits_can_be_asked_for():
    posed = problem(Study("digits", classes=("all",), positive="4"))
    assert len(posed.classes) == 10 and len(posed.train.y) == 1697
    assert np.array_equal(posed.signs(posed.test) > 0, posed.test.y == 4)
    assert posed.question == "class '4' is +1, the other 9 classes together are -1"


def test_a_file_without_a_split_is_split_in_proportion_and_reproducibly(file):
    posed, again, other = (problem(Study(file(), seed=seed)) for seed in (0, 0, 1))
    assert len(posed.test.y) == 10
    assert np.bincount(posed.test.y).tolist() in ([5, 2, 3], [5, 3, 2])
    assert posed.fingerprint() == again.fingerprint() != other.fingerprint()
    rows = {row.tobytes() for part in (posed.train, posed.test) for row in part.x}
    assert len(rows) == 40


def test_the_split_of_a_file_is_kept(file):
    held = np.full((3, 5, 2), 7.0, np.float32)
    posed = problem(Study(file(x_test=held, y_test=np.array(["c", "b", "a"]))))
    assert np.array_equal(posed.test.x, held) and posed.test.y.tolist() == [2, 1, 0]
    assert len(posed.train.y) == 40 and posed.split == "the split of the file"


def test_chosen_classes_are_coded_in_the_order_asked(file):
    posed = problem(Study(file(), classes=("c", "a")))
    assert posed.classes == ("c", "a") and posed.question == "class 'c' is -1, class 'a' is +1"
    assert (posed.train.y == 1).sum() > (posed.train.y == 0).sum()


def test_numbers_of_examples_are_limits(file):
    posed = problem(Study(file(), n_train=12, n_test=5))
    assert (len(posed.train.y), len(posed.test.y)) == (12, 5)


def test_lengths_follow_their_sequences(file):
    lengths = np.arange(40) % 5 + 1
    posed = problem(Study(file(lengths=lengths)))
    for part in (posed.train, posed.test):
        assert part.lengths is not None
        filled = np.abs(part.x).sum(axis=2) > 0
        assert np.array_equal(filled.sum(axis=1), part.lengths)


def test_division_by_the_largest_training_norm(file):
    posed = problem(Study(file(), normalise="max-norm"))
    norms = np.sqrt(np.square(posed.train.x).sum(axis=(1, 2)))
    assert norms.max() == pytest.approx(1.0, rel=1e-6) and posed.train.x.dtype == np.float32
    plain = problem(Study(file()))
    assert posed.scale is not None and np.allclose(posed.test.x * posed.scale, plain.test.x, rtol=1e-5)


def test_the_fingerprint_sees_values_labels_and_lengths(file):
    base = problem(Study(file())).fingerprint()
    y = np.array(["b", "a", "a", "c"] * 10)
    assert problem(Study(file(y=y))).fingerprint() != base
    assert problem(Study(file(lengths=np.r_[4, np.full(39, 5)]))).fingerprint() != base


@pytest.mark.parametrize(
    ("n", "changes", "said"),
    [
        (1, {}, "one example"),
        (2, {"classes": ("a", "b"), "n_test": 2}, "at least 2 training and 1 test example; got 0 and 2"),
        (40, {"classes": ("a",)}, "two or more different classes; got only 'a'"),
        (40, {"classes": ("a", "a")}, "two or more different classes"),
        (40, {"classes": ("a", "z")}, "no class 'z'; the classes are a, b, c"),
        (40, {"positive": "z"}, "positive must be one of the classes"),
        (40, {"n_train": 2}, "has no training example"),
        (40, {"label": "first"}, "label says where a table has its labels"),
        (40, {"dtype": "float64"}, "JAX_ENABLE_X64=1"),
    ],
)
def test_what_does_not_make_a_problem_is_refused(file, n, changes, said):
    if n == 1:
        said = "two or more different classes; got only 'a'"
    with pytest.raises(ValueError) as raised:
        problem(Study(file(n), **changes))
    assert said in str(raised.value)


def test_zero_inputs_are_not_divided_by_zero(file):
    with pytest.raises(ValueError, match="all inputs are zero"):
        problem(Study(file(x=np.zeros((40, 5, 2))), normalise="max-norm"))


def test_options_for_files_are_refused_for_digits():
    with pytest.raises(ValueError, match="label is for files"):
        problem(Study("digits", label="first"))


def test_float64_is_kept_in_the_64_bit_mode(file, x64):
    assert problem(Study(file(), dtype="float64")).train.x.dtype == np.float64
