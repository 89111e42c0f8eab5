"""Are arrays in memory studied as the file that holds them, and is what they may mean otherwise said or refused?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq.studies import Study
from ntkseq.studies.tangent.inputs import problem

RNG = np.random.default_rng(0)
X = RNG.normal(size=(16, 4, 2)).astype(np.float32)
Y = np.array(["a", "b"] * 8)


def posed(x, y, **options):
    return problem(Study(x, y, **options), values=True)


def test_arrays_are_studied_as_the_file_that_holds_them(tmp_path):
    np.savez(tmp_path / "data.npz", x=X, y=Y)
    file = problem(Study(str(tmp_path / "data.npz")))
    assert posed(X, Y).fingerprint() == file.fingerprint() and posed(X, Y).classes == ("a", "b")


def test_sequences_of_unequal_length_in_a_list_and_missing_ends_are_lengths():
    lengths = np.arange(16) % 4 + 1
    ragged = posed([row[:k] for row, k in zip(X, lengths, strict=True)], Y)
    padded = X.copy()
    padded[np.arange(4)[None, :] >= lengths[:, None]] = np.nan
    told = posed(padded, Y)
    given = posed(X, Y, lengths=lengths)
    assert ragged.fingerprint() == told.fingerprint() == given.fingerprint()
    assert any("end in missing values" in note for note in told.notes)


def test_channels_before_time_are_swapped_where_it_is_said():
    assert posed(np.swapaxes(X, 1, 2), Y, layout="nct").fingerprint() == posed(X, Y).fingerprint()
    lengths = np.arange(16) % 4 + 1
    ragged = [row[:k].T for row, k in zip(X, lengths, strict=True)]
    assert posed(ragged, Y, layout="nct").fingerprint() == posed(X, Y, lengths=lengths).fingerprint()


def test_numbers_with_fractions_are_regression_and_that_is_said():
    found = posed(X, X.sum(axis=(1, 2)))
    assert found.classes == () and "regression" in found.origin


def test_float64_that_is_computed_in_float32_is_said():
    assert any("came in float64 and are computed in float32" in note for note in posed(X.astype(np.float64), Y).notes)
    assert not posed(X, Y).notes


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Study(X), r"source must be 'digits', the path of a file, a data.Dataset or arrays with their labels"),
        (lambda: Study("digits", Y), "y and lengths belong to arrays in memory; got 'digits'"),
        (lambda: Study(X, Y[:3]), r"y must have shape \(16,\), one label or number per example; got \(3,\)"),
        (lambda: Study(X, Y, lengths=np.full(16, 9)), "lengths of x must lie in 1..4"),
        (lambda: Study(X, Y, lengths=np.full(16, 2.5)), "lengths must be integers"),
        (lambda: Study([X[0], X[1, :, :1]], Y[:2]), "x must have one number of features"),
        (lambda: Study(np.arange(64).reshape(16, 4) % 5, Y), "tokens='real'.*tokens='one-hot'"),
        (lambda: Study(np.where(X[0, 0, 0] == X, np.nan, X), Y), "x must be finite; got 1 NaN inside sequences"),
        (lambda: Study(np.where(X[0, 0, 0] == X, np.inf, X), Y), "x must be finite"),
        (lambda: Study(X, Y, layout="rows"), "layout must be"),
    ],
)
def test_what_makes_no_data_is_refused_in_one_line(call, said):
    with pytest.raises(ValueError, match=said) as raised:
        call()
    assert "\n" not in str(raised.value)
