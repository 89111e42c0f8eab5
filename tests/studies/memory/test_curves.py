"""Are curves of forgetting those of kernels that are known, and do they tell a power from a geometric law?"""

from __future__ import annotations

import numpy as np
import pytest

from ntkseq import blocks, cells, kernels
from ntkseq.kernels import lag_moments
from ntkseq.studies.memory import curves
from ntkseq.studies.memory.curves import Curve


def test_a_token_is_shared_at_its_lag_and_nowhere_else() -> None:
    x = curves.sequences(4)
    gram = np.einsum("itd,jsd->ijts", x, x) / x.shape[2]
    np.testing.assert_allclose(gram[0, 0], np.eye(4), atol=1e-6)
    assert not gram[0, 1].any()
    for p in range(4):
        np.testing.assert_allclose(gram[0, 2 + p], np.diag(np.arange(4)[::-1] == p), atol=1e-6)


@pytest.mark.slow
def test_a_linear_recurrence_forgets_geometrically() -> None:
    kernel = kernels.Recurrent(activation="identity", sigma_w=0.8, kind="nngp")
    found = curves.limit(kernel, curves.sequences(6))
    want = 0.64 ** np.arange(6)
    np.testing.assert_allclose(found.left, want / want.sum(), rtol=1e-5)
    assert found.told.all() and (np.abs(found.left - want / want.sum()) <= found.error).all()
    laws = found.laws()
    assert laws is not None and laws[0] == (pytest.approx(0.64, rel=1e-4), pytest.approx(0, abs=1e-4))
    assert laws[1][1] > 0.05


@pytest.mark.slow
def test_a_linear_recurrent_unit_on_the_disc_forgets_like_a_power() -> None:
    kernel = kernels.Serial(blocks.Recurrent(cells.LRU()), read="last", kind="nngp")
    found = curves.limit(kernel, curves.sequences(24))
    want = np.diagonal(lag_moments.lru(24, 0.0, 1.0, 2 * np.pi)["plain"])
    np.testing.assert_allclose(found.left, want / want.sum(), rtol=1e-4)
    laws = found.laws()
    assert laws is not None and laws[1][1] < laws[0][1] / 2 and -2 < laws[1][0] < -1.5


def test_what_is_not_told_from_zero_is_in_no_law() -> None:
    left = 0.5 ** np.arange(8.0)
    error = np.where(np.arange(8) >= 5, 1.0, 0.0)
    few, many = Curve(left, np.where(np.arange(8) >= 4, 1.0, 0.0)), Curve(left + error * left, error)
    assert few.laws() is None
    laws = many.laws()
    assert laws is not None and laws[0] == (pytest.approx(0.5), pytest.approx(0, abs=1e-12))


@pytest.mark.slow
def test_a_sampled_kernel_says_what_its_draws_leave_open() -> None:
    """One fixed token is shared by all: what is left does not move by more than is stated."""
    kernel = curves.families(4096, seed=0)["GRU"]
    one, two = (curves.limit(kernel.with_(seed=seed), curves.sequences(3)) for seed in (0, 1))
    assert one.error.max() < 0.2
    assert (np.abs(one.left - two.left) < one.error + two.error).all() and (one.left != two.left).any()


@pytest.mark.slow
def test_finite_networks_come_near_the_limit() -> None:
    kernel, x = kernels.Recurrent(activation="erf"), curves.sequences(4)
    found = curves.finite(kernel, 256, x, seeds=3, seed=0)
    mean = np.mean([curve.left for curve in found], axis=0)
    np.testing.assert_allclose(mean, curves.limit(kernel, x).left, atol=0.05)
    assert (found[0].left != found[1].left).all()
