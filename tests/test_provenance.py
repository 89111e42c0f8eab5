"""Tests of `ntkseq._provenance`; what Grams make of it is in grams/test_base.py."""

from __future__ import annotations

import gc
import threading

import jax
import jax.numpy as jnp
import pytest

from ntkseq import _provenance


@pytest.mark.slow
def test_a_note_lasts_as_long_as_its_array():
    before = len(_provenance._notes)
    array = jnp.arange(3.0)
    _provenance.remember(array, "here")
    assert _provenance.recall(array) == "here" and len(_provenance._notes) == before + 1
    assert _provenance.recall(array + 0) is None and _provenance.recall(3.0) is None
    del array
    gc.collect()
    assert len(_provenance._notes) == before


def test_another_array_with_the_identity_of_one_that_is_gone_is_unknown():
    for i in range(200):
        array = jnp.full(2, float(i))
        assert _provenance.recall(array) is None
        _provenance.remember(array, i)
        assert _provenance.recall(array) == i


def test_nothing_is_noted_under_a_trace():
    before = len(_provenance._notes)

    @jax.jit
    def f(x):
        y = 2 * x
        _provenance.remember(y, "traced")
        return y

    assert _provenance.recall(f(jnp.ones(2))) is None and len(_provenance._notes) == before


def test_a_deleted_array_breaks_nothing():
    array = jnp.arange(3.0)
    _provenance.remember(array, "here")
    array.delete()
    assert _provenance.recall(array) == "here"


def test_threads_note_their_own_arrays():
    wrong = []

    def work(name: int) -> None:
        for i in range(100):
            array = jnp.full(2, float(i))
            _provenance.remember(array, (name, i))
            if _provenance.recall(array) != (name, i):
                wrong.append((name, i))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("origin", [None])
def test_no_origin_is_no_note(origin):
    array = jnp.arange(2.0)
    _provenance.remember(array, origin)
    assert _provenance.recall(array) is None
