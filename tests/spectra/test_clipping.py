"""Which negative values count as zero, and which are refused?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq.spectra.clipping import nonnegative


def test_rounding_size_negatives_count_as_zero_and_clear_ones_raise():
    assert nonnegative([1.0, -1e-17, 0.5]).tolist() == [1.0, 0.5, 0.0]
    assert nonnegative(np.array([1.0, -1e-7, 0.5], np.float32)).tolist() == [1.0, 0.5, 0.0]
    with pytest.raises(ValueError, match=r"1 value\(s\) that are negative beyond rounding, the least -1e-07"):
        nonnegative([1.0, -1e-7, 0.5])
    assert nonnegative([1.0, -1e-7], 1e-6).tolist() == [1.0, 0.0]
