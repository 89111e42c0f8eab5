"""Tests of ntkseq.spectra.meta: spectra of golden tasks, condition numbers batch by batch, what rounding hides."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import kernels
from ntkseq._struct import static, struct
from ntkseq.grams.base import DenseGram
from ntkseq.kernels.base import Kernel
from ntkseq.spectra.meta import condition_score, meta_spectra


@struct
class Plane(Kernel):
    """exp(-(x - y)^2 / 2) + linear (1 + x y) of scalars; the read-out has the first part."""

    linear: Any = 0.1
    kind: str = static(default="ntk")

    def prepare(self, x: Any, lengths: Any = None) -> Any:
        return {"x": jnp.asarray(x)}

    def tile(self, left: Any, right: Any) -> Any:
        a, b = left["x"][:, None], right["x"][None, :]
        own = 0.0 if self.kind == "nngp" else self.linear
        return jnp.exp(-jnp.square(a - b) / 2) + own * (1 + a * b)


GOLDEN = {  # 11, 12, 22 of flow for time 1
    "none": (1.1, 0.7065306597126334, 1.2),
    "maml": (0.04040761966349793, 0.00374812926546741, 0.016349637495112535),
    "anil": (0.04970604962323344, 0.01057915015761457, 0.03122476325075807),
}


@pytest.mark.slow
def test_the_spectra_of_the_golden_tasks(x64) -> None:
    tasks = ((jnp.array([[0.3, -0.5], [1.2, 0.7]]), None), jnp.array([[0.0], [1.0]]))
    found = meta_spectra(Plane(), kernels.Flow(1.0), tasks, batch=2)
    assert list(found) == ["none", "maml", "anil"]
    alone = meta_spectra(Plane(), kernels.Flow(1.0), tasks, batch=2, algorithms=("anil",), head=Plane())
    np.testing.assert_allclose(alone["anil"].gram.array, found["maml"].gram.array, rtol=1e-12)
    for name, (a, b, c) in GOLDEN.items():
        w = np.linalg.eigvalsh([[a, b], [b, c]])[::-1]
        np.testing.assert_allclose(found[name].spectrum.values, w, rtol=1e-9)
        assert found[name].score.value == pytest.approx(w[0] / w[1], rel=1e-9)
        assert found[name].score.resolved == 1 and math.isnan(found[name].score.error)


def test_the_score_is_the_mean_over_batches_of_whole_tasks() -> None:
    rng = np.random.default_rng(0)
    J = rng.standard_normal((14, 30))  # 7 tasks of 2 queries; the last is left over
    K = J @ J.T
    score = condition_score(DenseGram(K), queries=2, batch=3)
    want = [np.linalg.cond(K[:6, :6]), np.linalg.cond(K[6:12, 6:12])]
    np.testing.assert_allclose([c.estimate for c in score.conditions], want, rtol=1e-9)
    assert score.value == pytest.approx(np.mean(want)) and score.error == pytest.approx(np.std(want, ddof=1) / 2**0.5)
    assert "2 of 2 batches resolved" in str(score)


def test_a_batch_below_the_rounding_is_not_resolved() -> None:
    K = np.diag([1.0, 0.5, 1.0, 1e-9])
    score = condition_score(DenseGram(K, rounding=1e-6, entrywise=None), queries=1, batch=2)
    assert score.resolved == 1 and score.conditions[0].finite and score.conditions[1].upper == math.inf
    assert score.value == 2.0 and math.isnan(score.error)
    singular = condition_score(DenseGram(np.diag([1.0, 0.0, 1.0, 0.0])), queries=1, batch=2)
    assert singular.value == math.inf and singular.resolved == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queries": 3}, "3 rows per task, one per query; got 4 rows"),
        ({"queries": 2, "batch": 3}, "at most the number of tasks, 2; got 3"),
        ({"queries": 0}, "queries must"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        condition_score(DenseGram(np.eye(4)), **options)
