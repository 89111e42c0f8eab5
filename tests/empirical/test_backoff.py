"""Does a device without memory end in a slower kernel and a warning, and another error in that error?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.empirical import backoff
from ntkseq.empirical.methods import held
from ntkseq.empirical.ntk import NTK
from tests.empirical.functions import FUNCTIONS


class Full(RuntimeError):
    def __init__(self) -> None:
        super().__init__("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 68719476736 bytes.")


def failing(*_: Any) -> Any:
    raise Full


@pytest.fixture
def network() -> tuple[Any, Any, Any]:
    f, params, inputs = FUNCTIONS["rnn_outputs"].make(jnp.float32)
    return f, params, inputs(jax.random.key(1), 9)


@pytest.mark.slow(but=["_square"])
@pytest.mark.parametrize("step", ["_prepare", "_square"])
def test_the_matrix_is_computed_in_blocks(network: Any, monkeypatch: Any, step: str) -> None:
    f, params, x = network
    kernel = NTK(f, params)
    whole = kernel(x)
    monkeypatch.setattr(held, step, failing)
    with pytest.warns(RuntimeWarning, match="4 of 9 examples at a time"):
        found = kernel(x)
    np.testing.assert_allclose(found, whole, rtol=2e-6, atol=1e-6)


@pytest.mark.slow
def test_a_rectangle_is_computed_in_blocks(network: Any, monkeypatch: Any) -> None:
    f, params, x = network
    kernel = NTK(f, params)
    some = jax.tree.map(lambda leaf: leaf[:5], x)
    whole = kernel(some, x)
    monkeypatch.setattr(held, "_tile", failing)
    with pytest.warns(RuntimeWarning, match="exhausted"):
        found = kernel(some, x)
    np.testing.assert_allclose(found, whole, rtol=2e-6, atol=1e-6)


def test_blocks_are_halved_until_they_fit_and_no_further() -> None:
    tried = []

    def run(block: int | None) -> int | None:
        tried.append(block)
        if block is None or block > 2:
            raise Full
        return block

    with pytest.warns(RuntimeWarning):
        assert backoff.halving(run, None, 21) == 2
    assert tried == [None, 8, 4, 2]
    with pytest.warns(RuntimeWarning), pytest.raises(Full):  # not even one
        backoff.halving(failing, None, 21)
    with pytest.raises(Full):
        backoff.halving(failing, None, 1)


def test_another_error_is_not_taken_for_a_lack_of_memory() -> None:
    def run(block: int | None) -> Any:
        raise RuntimeError("INTERNAL: something else")

    with pytest.raises(RuntimeError, match="something else"):
        backoff.halving(run, None, 64)
    assert backoff.exhausted(MemoryError())
