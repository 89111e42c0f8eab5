"""Tests of `ntkseq.training.tape`; that a scan gives the rows of a loop is in contracts/test_probes.py."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

from ntkseq import training
from ntkseq.training import MovementProbe

PARAMS = {"w": jnp.array([3.0, 4.0])}


def test_a_tape_that_ran_over_is_refused_and_keeps_what_it_has():
    history = training.track([MovementProbe(every=1)], PARAMS)
    tape = history.tape(slots=2)
    for step in range(1, 4):
        tape = tape.update(step, PARAMS)
    assert tape.steps[0].tolist() == [1, 2] and int(tape.counts[0]) == 3
    with pytest.raises(ValueError, match=r"2 slots and was written \{'movement': 3\}"):
        history.extend(tape)


def test_steps_that_are_not_due_write_nothing():
    history = training.track([MovementProbe(every=(2, 5))], PARAMS)
    tape = history.tape(slots=3)
    for step in range(1, 7):
        tape = tape.update(jnp.asarray(step), PARAMS)
    assert history.extend(tape)["movement"].steps.tolist() == [0, 2, 5]


def test_several_tapes_follow_each_other():
    history = training.track([MovementProbe(every=2)], PARAMS)
    for start in (0, 4):
        tape = history.tape(slots=2)
        for step in range(start + 1, start + 5):
            tape = tape.update(step, PARAMS)
        history = history.extend(tape)
    assert history["movement"].steps.tolist() == [0, 2, 4, 6, 8]


def test_a_second_call_compiles_nothing():
    history = training.track([MovementProbe(every=2)], PARAMS)
    traced = []

    @jax.jit
    def train(tape, step):
        traced.append(1)
        return tape.update(step, PARAMS)

    tape = train(history.tape(slots=4), 1)
    for step in range(2, 6):
        tape = train(tape, step)
    assert len(traced) == 1
    assert history.extend(tape)["movement"].steps.tolist() == [0, 2, 4]


def test_foreign_tapes_and_steps_are_refused():
    history = training.track([MovementProbe(every=2)], PARAMS)
    other = training.track([MovementProbe(every=2, name="other")], PARAMS)
    with pytest.raises(ValueError, match="must come from this history's tape"):
        history.extend(other.tape(2))
    with pytest.raises(ValueError, match="slots must be an integer"):
        history.tape(0)
    with pytest.raises(ValueError, match="step must be one integer"):
        history.tape(1).update(0.5, PARAMS)

    def traced(tape):
        return history.extend(tape).tables["movement"].steps

    with pytest.raises(ValueError, match="cannot be traced"):
        jax.jit(traced)(history.tape(1))
