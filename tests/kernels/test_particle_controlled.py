"""Which coordinates of a token does each state of a controlled residual network meet?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq.kernels.particle_controlled import partners


@pytest.mark.parametrize(("w", "p"), [(6, 6), (6, 3), (2, 6), (1, 4), (5, 3)])
def test_with_as_many_partners_as_coordinates_every_pair_meets_once(w: int, p: int) -> None:
    at = partners(w, p, w)
    assert sorted((j, int(k)) for row in at for j, k in enumerate(row)) == [(j, k) for j in range(p) for k in range(w)]


def test_few_partners_are_from_every_part_of_a_token_and_all_as_often() -> None:
    at = partners(16, 8, 4)  # of tokens whose halves are two directions
    assert at.shape == (4, 8)
    np.testing.assert_array_equal(np.bincount(at.ravel(), minlength=16), 2)
