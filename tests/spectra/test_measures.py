"""Does the alignment with the labels equal its definition and known values?"""

from __future__ import annotations

import math

import numpy as np
import pytest

from ntkseq.spectra.measures import alignment, alignment_curve


def test_alignment_is_one_for_the_labels_own_kernel_and_at_most_one():
    y = np.array([1.0, -1.0, 1.0, 1.0])
    values, vectors = np.linalg.eigh(np.outer(y, y))
    assert alignment(values, vectors, y) == pytest.approx(1.0)
    assert alignment(np.ones(4), np.eye(4), y) == pytest.approx(0.5)  # identity: 1 / sqrt(n)
    assert alignment(values, vectors, 3 * y) == pytest.approx(1.0)
    assert math.isnan(alignment(np.zeros(4), np.eye(4), y))


def test_alignment_curve_of_coordinate_vectors_is_the_share_of_the_squares():
    assert alignment_curve(np.eye(3), [2.0, 1.0, 2.0]).tolist() == pytest.approx([4 / 9, 5 / 9, 1.0])


@pytest.mark.parametrize(
    ("y", "message"),
    [([0, 0, 0], "all zero"), ([1, 2], r"must have shape \(3,\)"), ([1.0, np.nan, 0.0], "y must be finite")],
)
def test_bad_labels_are_turned_away(y: list, message: str):
    with pytest.raises(ValueError, match=message):
        alignment_curve(np.eye(3), y)
