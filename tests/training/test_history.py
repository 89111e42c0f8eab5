"""Tests of `ntkseq.training.history`."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import training
from ntkseq.training import History, MovementProbe

PARAMS = {"w": jnp.array([3.0, 4.0])}


def test_steps_of_several_probes_interleave():
    history = training.track([MovementProbe(every=4), MovementProbe(every=(1, 6), name="rare")], PARAMS)
    assert [step for step in range(9) if history.due(step)] == [0, 1, 4, 6, 8]
    assert [history.next_due(step) for step in (0, 1, 4, 6, 8)] == [1, 4, 6, 8, 12]
    for step in range(9):
        history = history.update(step, PARAMS)
    assert history["movement"].steps.tolist() == [0, 4, 8]
    assert history["rare"].steps.tolist() == [0, 1, 6]


def test_a_probe_of_fixed_steps_is_never_due_after_the_last():
    history = training.track([MovementProbe(every=(2,))], PARAMS)
    assert history.next_due(2) is None


def test_logged_numbers_stand_in_a_table_of_their_own():
    history = training.track([MovementProbe(every=2)], PARAMS)
    for step in range(1, 5):
        history = history.update(step, PARAMS, loss=jnp.asarray(1.0 / step), rate=0.1)
    assert history["logged"].steps.tolist() == [2, 4]
    assert history["logged"]["loss"].tolist() == [0.5, 0.25]
    with pytest.raises(ValueError, match="logged names must stay the same"):
        history.update(6, PARAMS, other=1.0)
    with pytest.raises(ValueError, match="logged loss must be one number; got shape"):
        history.update(6, PARAMS, loss=jnp.ones(3), rate=0.1)


def test_a_step_twice_is_one_row_and_a_step_back_is_refused():
    history = training.track([MovementProbe(every=2)], PARAMS).update(2, PARAMS).update(2, PARAMS)
    assert history["movement"].steps.tolist() == [0, 2]
    with pytest.raises(ValueError, match="must not go back; got 0 after 2"):
        history.update(0, PARAMS)
    with pytest.raises(ValueError, match="step must be >= 0"):
        history.update(-2, PARAMS)


def test_update_in_a_trace_says_what_to_do():
    history = training.track([MovementProbe(every=2)], PARAMS)
    with pytest.raises(ValueError, match=r"tape = history.tape\(slots\)"):
        jax.jit(lambda step: history.update(step, PARAMS).tables["movement"].steps)(2)


def test_what_is_no_probe_is_refused():
    with pytest.raises(ValueError, match="probes must be probes"):
        training.track([lambda: 0], PARAMS)
    with pytest.raises(ValueError, match="of different names"):
        training.track([MovementProbe(), MovementProbe()], PARAMS)
    with pytest.raises(ValueError, match="one or more"):
        training.track([], PARAMS)
    with pytest.raises(ValueError, match="none of them 'logged'"):
        training.track([MovementProbe(name="logged")], PARAMS)
    for every in (0, -1, 1.5, (), (-1,), "often"):
        with pytest.raises(ValueError, match="every must"):
            MovementProbe(every=every)
    with pytest.raises(ValueError, match="name must be a word"):
        MovementProbe(name="a/b")


def test_a_missing_table_or_column_is_named():
    history = training.track([MovementProbe()], PARAMS)
    with pytest.raises(KeyError, match="no table 'kernel'; there are movement"):
        history["kernel"]
    with pytest.raises(KeyError, match="no column 'min_eigenvalue'; there are distance"):
        history["movement"]["min_eigenvalue"]


def test_a_state_of_other_probes_is_refused():
    history = training.track([MovementProbe()], PARAMS)
    other = training.track([MovementProbe()], {"w": jnp.ones(3)})
    with pytest.raises(ValueError, match="other probes or parameters"):
        history.restored(other.state())


def test_a_loaded_history_is_read_only(tmp_path):
    training.track([MovementProbe()], PARAMS).save(tmp_path / "h.npz")
    loaded = History.load(tmp_path / "h.npz")
    with pytest.raises(ValueError, match="loaded from a file"):
        loaded.update(100, PARAMS)
    with pytest.raises(ValueError, match="loaded from a file"):
        loaded.tape(3)


def test_movement_is_that_of_the_floating_leaves():
    params = {"w": jnp.array([3.0, 4.0]), "count": jnp.array(7)}
    later = {"w": jnp.array([3.0, 4.0 + 12.0]), "count": jnp.array(9)}
    table = training.track([MovementProbe(every=1)], params).update(1, later)["movement"]
    np.testing.assert_allclose(table["distance"], [0, 12])
    np.testing.assert_allclose(table["relative"], [0, 12 / 5])
    np.testing.assert_allclose(table["norm"], [5, np.hypot(3, 16)], rtol=1e-6)


def test_tables_and_columns_can_be_asked_for_by_name_and_print_as_a_line() -> None:
    history = training.track([training.MovementProbe(every=1)], {"w": jnp.ones(3)})
    assert "movement" in history and "kernel" not in history and list(history) == ["movement"]
    table = history["movement"]
    assert "distance" in table and "resolved" not in table and "norm" in list(table)
    assert repr(table) == "ProbeTable(1 rows, steps 0 to 0; columns distance, relative, norm)"
