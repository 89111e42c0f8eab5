"""Are the shares of several processes even, and together the whole?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntkseq.grams import shares


@given(st.integers(0, 300), st.integers(1, 40))
def test_shares_are_even_have_nothing_in_common_and_leave_nothing_out(tiles: int, count: int):
    pairs = np.stack([np.arange(tiles), np.arange(tiles) + 1], axis=1)
    parts = [shares.share(pairs, index, count) for index in range(count)]
    assert np.concatenate(parts).tolist() == pairs.tolist()
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("index", "count"), [(2, 2), (-1, 2), (0, 0), (0.5, 2), (0, -3), (True, 0)])
def test_a_process_that_there_is_not_has_no_share(index, count, untyped):
    with pytest.raises(ValueError, match=r"^process_(index|count) must be an integer"):
        shares.share(np.zeros((5, 2), int), index, count)
