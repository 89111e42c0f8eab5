"""Is the time of a Gram matrix what a few of its tiles foretell?"""

from __future__ import annotations

import time

import numpy as np
import pytest

from ntkseq import grams, kernels
from ntkseq.grams import estimates


def test_nothing_is_measured_where_there_is_little_to_do():
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    assert estimates.seconds(kernels.Dense(), x) is None
    assert estimates.seconds(kernels.Dense(), x, worth=0) is None  # all tiles at once


@pytest.mark.slow
def test_the_time_counts_all_batches_of_tiles(monkeypatch):
    x = np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32)
    clock = iter(np.arange(100) * 0.25)
    monkeypatch.setattr(estimates.time, "perf_counter", lambda: float(next(clock)))
    found = estimates.seconds(kernels.Dense(), x, workers=2, worth=0)
    assert found == pytest.approx(0.25 * 34 / 2)  # 136 tiles in batches of 4, two at once for 0.25 s


@pytest.mark.slow
@pytest.mark.parametrize(("n", "t"), [(400, 30), (600, 20), (900, 20)])
def test_the_time_of_a_gram_lies_within_the_stated_factor(n, t):
    x = np.random.default_rng(0).normal(size=(n, t, 3)).astype(np.float32)
    kernel = kernels.Recurrent(sigma_w=1.4, read="mean")
    found = estimates.seconds(kernel, x, worth=0)
    assert found is not None
    start = time.perf_counter()
    grams.gram(kernel, x)
    took = time.perf_counter() - start
    print(f"n {n}, t {t}: {found:.2f} s foretold, {took:.2f} s taken")
    assert found / estimates.FACTOR <= took <= found * estimates.FACTOR
