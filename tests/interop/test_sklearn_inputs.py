"""Do the containers of scikit-learn, aeon, sktime and tslearn become the same sequences?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")
from sklearn.base import BaseEstimator

from ntkseq.interop import sklearn_inputs

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 4, 2))
LENGTHS = [4, 2, 3]
PARTS = [row[:length] for row, length in zip(X, LENGTHS, strict=True)]
PADDED = np.where(np.arange(4)[None, :, None] < np.array(LENGTHS)[:, None, None], X, 0.0).astype(np.float32)


class Estimator(BaseEstimator):
    """What `read` leaves its marks on."""


def read(X: Any, layout: str = "ntd", lengths: Any = None, fitted: Any = None) -> sklearn_inputs.Batch:
    estimator = Estimator()
    if fitted is not None:
        sklearn_inputs.read(estimator, fitted, layout, reset=True)
    return sklearn_inputs.read(estimator, X, layout, lengths, reset=fitted is None)


def panel() -> pd.DataFrame:
    """sktime's: a row for each time of each instance."""
    rows = [(i, step) for i, part in enumerate(PARTS) for step in range(len(part))]
    return pd.DataFrame(np.concatenate(PARTS), index=pd.MultiIndex.from_tuples(rows), columns=["a", "b"])


def objects() -> np.ndarray:
    held = np.empty(3, dtype=object)
    held[:] = PARTS
    return held


NAN = np.where(PADDED == 0, np.nan, PADDED)


@pytest.mark.parametrize(
    ("given", "layout", "lengths"),
    [
        (X, "ntd", LENGTHS),
        (PARTS, "ntd", None),
        (tuple(PARTS), "ntd", None),
        ([part.tolist() for part in PARTS], "ntd", None),
        (objects(), "ntd", None),
        (NAN, "ntd", None),  # tslearn
        (NAN.swapaxes(1, 2), "nct", None),
        ([part.T for part in PARTS], "nct", None),  # aeon
        ([pd.DataFrame(part.T) for part in PARTS], "nct", None),  # aeon's df-list
        (panel(), "ntd", None),
        (panel(), "nct", None),
    ],
)
def test_every_container_of_ragged_sequences_becomes_one_padded_array(given: Any, layout: str, lengths: Any):
    batch = read(given, layout, lengths)
    np.testing.assert_array_equal(batch.x, PADDED)
    assert batch.lengths is not None and batch.lengths.tolist() == LENGTHS and batch.x.dtype == np.float32


@pytest.mark.parametrize("layout", ["ntd", "nct"])
@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame, lambda x: x.tolist(), list])
def test_two_axes_are_series_of_one_feature(layout: str, kind: Any):
    batch = read(kind(X[:, :, 0]), layout)
    np.testing.assert_array_equal(batch.x[:, :, 0], X[:, :, 0].astype(np.float32))
    assert batch.lengths is not None and batch.lengths.tolist() == [4, 4, 4]


def test_vectors_stay_vectors():
    batch = read(X[:, :, 0], "nd")
    assert batch.x.shape == (3, 4) and batch.lengths is None


def test_float64_stays_where_jax_is_in_64_bit_mode(x64: None):
    assert read(X).x.dtype == np.float64 and read(X.astype(np.float32)).x.dtype == np.float32
    assert read(np.ones((2, 3), int)).x.dtype == np.float64


def test_sequences_may_be_longer_than_those_of_the_fit_and_a_table_may_not():
    assert read(np.ones((2, 9, 2)), fitted=X).x.shape == (2, 9, 2)
    with pytest.raises(ValueError, match="X has 9 features, but Estimator is expecting 4 features"):
        read(np.ones((2, 9)), fitted=X[:, :, 0])


HOLE = X.copy()
HOLE[1, 2, 0] = np.nan
INFINITE = X.copy()
INFINITE[1, 2, 0] = np.inf


@pytest.mark.parametrize(
    ("given", "layout", "lengths", "fitted", "said"),
    [
        (HOLE, "ntd", None, None, r"X must hold no NaN .* at step 2 of X\[1\], which has 4 steps"),
        (HOLE[:, :, 0], "ntd", None, None, r"at step 2 of X\[1\]"),
        (HOLE[:, :, 0], "nd", None, None, "NaN"),
        (INFINITE, "ntd", None, None, "inf"),
        (np.full((2, 3, 1), np.nan), "ntd", None, None, r"X\[0\] is NaN all through"),
        (np.full((2, 3, 1), 1e39), "ntd", None, None, "X must fit float32"),
        (X, "tnd", None, None, "layout must be"),
        (X, "nd", None, None, 'layout="nd"'),
        (PARTS, "nd", None, None, 'layout="nd"'),
        (X[:, :, 0], "nd", LENGTHS, None, "lengths belong to sequences"),
        (PARTS, "nct", None, None, r"one number of features .* layout='nct'"),
        ([X[0], X[1, :2, :1]], "ntd", None, None, r"got \[1, 2\]"),
        ([["a"], ["b", "c"]], "ntd", None, None, r"X\[0\] has shape"),
        ([[[1, 2], [3]], [[1, 2]]], "ntd", None, None, "rows of unequal length"),
        (X, "ntd", [4, 5, 1], None, "lengths of X must lie in 1..4"),
        (X[:, :, :1], "ntd", None, X, "X has 1 features, but Estimator is expecting 2"),
        (X[:, :, 0], "ntd", None, X, r"axes of the fit, \(n, t, d\)"),
        (np.ones((3, 0, 2)), "ntd", None, None, "at least one"),
        (pd.DataFrame({"a": [pd.Series([1.0, 2.0])] * 3}), "ntd", None, None, "cells hold series"),
    ],
)
def test_what_is_no_batch_of_sequences_is_refused_in_one_line(
    given: Any, layout: str, lengths: Any, fitted: Any, said: str
):
    with pytest.raises(ValueError, match=said) as caught:
        read(given, layout, lengths, fitted)
    if said != "NaN":  # scikit-learn's own says more
        assert "\n" not in str(caught.value)


def test_an_empty_list_is_no_batch():
    with pytest.raises(ValueError, match="X must hold at least one example; got an empty list"):
        read([])


def test_a_list_of_series_stays_one_where_those_of_a_fold_are_equal():
    series = [np.arange(t) + 1.0 for t in (3, 3, 4)]
    for fitted in (series[:2], series):  # equal in one fold, unequal in another
        assert read(series[1:], fitted=fitted).lengths is not None
        assert read(series, fitted=fitted).lengths.tolist() == [3, 3, 4]  # pyright: ignore[reportOptionalMemberAccess]
        assert read(series[2:], fitted=fitted).x.shape == read(np.array(series[2:]), fitted=fitted).x.shape == (1, 4, 1)
        assert read([[1.0, 2.0]], fitted=fitted).x.shape == (1, 2, 1)
    assert read(series[:2], fitted=np.array(series[:2])).axes == 2
    with pytest.raises(ValueError, match="X has 2 features, but Estimator is expecting 1"):
        read(X, fitted=series)
