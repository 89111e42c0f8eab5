"""Tests of `ntkseq._notices`: float64 data under JAX's 32-bit mode."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkseq
from ntkseq import kernels, spectra
from ntkseq._notices import PrecisionWarning

X = np.random.default_rng(0).standard_normal((4, 3, 2))
KERNEL = kernels.Recurrent()


def wide() -> jax.Array:
    with jax.enable_x64(True):
        return jnp.asarray(X)


@pytest.mark.slow(
    cases=[
        "diag-NumPy",
        "diag-made in 64-bit mode",
        "every_step-NumPy",
        "every_step-made in 64-bit mode",
        "gram-NumPy",
        "gram-made in 64-bit mode",
        "kernel-NumPy",
    ]
)
@pytest.mark.parametrize("x", [lambda: X, wide], ids=["NumPy", "made in 64-bit mode"])
@pytest.mark.parametrize(
    "call",
    [
        lambda x: ntkseq.gram(KERNEL, x),
        lambda x: ntkseq.lazy(KERNEL, x),
        lambda x: KERNEL(x),
        lambda x: kernels.every_step(KERNEL, x),
        lambda x: kernels.Dense().diag(x.reshape(4, 6)),
        lambda x: kernels.Gated(particles=64).prepare(x),
        lambda x: spectra.effective_ranks(x),
    ],
    ids=["gram", "lazy", "kernel", "every_step", "diag", "prepare", "effective_ranks"],
)
def test_float64_data_that_become_float32_are_said_to_at_the_line_of_the_caller(call, x):
    with pytest.warns(PrecisionWarning, match=r"is float64, and JAX is in its 32-bit mode.*astype") as caught:
        call(x())
    assert {one.filename for one in caught} == {__file__}


def test_once_for_each_line_that_calls():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            ntkseq.gram(KERNEL, X)
        ntkseq.gram(KERNEL, X)
    # Python shows the same line again where something in between changed its filters: at most once for each call
    assert len({one.lineno for one in caught}) == 2 and 2 <= len(caught) <= 4


@pytest.mark.slow
def test_nothing_is_said_of_float32_of_lists_or_in_64_bit_mode():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ntkseq.gram(KERNEL, X.astype(np.float32))
        ntkseq.gram(KERNEL, X.tolist())
        ntkseq.gram(KERNEL, jnp.asarray(X.astype(np.float32)))
        with jax.enable_x64(True):
            assert ntkseq.gram(KERNEL, X).dtype == np.float64
