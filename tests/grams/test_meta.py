"""Tests of ntkseq.grams.meta: the library's Gram matrix of tasks, and a rounding that covers the error."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkseq
from ntkseq import kernels
from ntkseq._struct import struct
from ntkseq.data.tasks import Tasks, sinusoids
from ntkseq.grams.meta import phi
from ntkseq.kernels.base import Kernel


@struct
class Bell(Kernel):
    """exp(-(x - y)^2 / 2), which compiles in no time."""

    def prepare(self, x: Any, lengths: Any = None) -> Any:
        return {"x": jnp.asarray(x)}

    def tile(self, left: Any, right: Any) -> Any:
        return jnp.exp(-jnp.square(left["x"][:, 0][:, None] - right["x"][:, 0][None, :]) / 2)


KERNEL = kernels.Meta(Bell(), kernels.GD(steps=3, lr=0.1))


def waves(n: int = 6, dtype: Any = None) -> Tasks:
    return sinusoids(n, shots=3, queries=2, key=jax.random.key(0), reach=2.0, dtype=dtype)


def test_it_is_the_gram_of_the_library_with_the_rounding_of_its_entries(x64) -> None:
    tasks = waves(dtype=jnp.float32)
    found, library = phi(KERNEL, tasks), ntkseq.gram(KERNEL, tasks.inputs)
    assert float(found.rounding) == pytest.approx(float(library.rounding), rel=0.1)
    np.testing.assert_allclose(found.array, library.array, rtol=1e-4, atol=1e-5)
    double = phi(KERNEL, jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), tasks.inputs))
    off = np.asarray(found.array, np.float64) - double.array
    own = np.diagonal(double.array)
    assert (np.abs(off) <= found.entrywise * np.sqrt(np.outer(own, own))).all() and off.any()
    assert np.linalg.norm(off) <= float(found.rounding) < 1e-2 * np.linalg.norm(double.array)


def test_a_part_has_the_rounding_of_its_entries() -> None:
    gram = phi(KERNEL, waves())
    part = gram.take(slice(2, 6))
    np.testing.assert_array_equal(part.array, np.asarray(gram.array)[2:6, 2:6])
    assert float(part.rounding) == pytest.approx(gram.entrywise * np.trace(part.array), rel=1e-5)


def test_an_inner_loop_that_diverges_is_told() -> None:
    kernel = kernels.Meta(Bell(), kernels.GD(steps=400, lr=50.0))
    with pytest.warns(UserWarning, match="the inner loop diverges"), pytest.raises(ValueError, match="overflows"):
        phi(kernel, waves())
