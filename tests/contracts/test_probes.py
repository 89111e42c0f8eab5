"""Does every probe keep what a probe promises: in a loop, in a scan, in a file, after a kill, after divergence?"""

from __future__ import annotations

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import bounds, models, training
from ntkseq.blocks import Attention, Linear
from ntkseq.training import History, Probe

X = jax.random.normal(jax.random.key(0), (6, 5, 2))
Y = jnp.sign(X[:, 0, 0])
LENGTHS = jnp.array([5, 3, 1, 5, 4, 2])
NET = models.Serial(Linear(), Attention(scaling="root"), "relu", width=8, heads=2)
PARAMS = NET.init(jax.random.key(1), X[0])


def OUTPUT(params: Any, x: Any) -> jax.Array:
    return NET.apply(params, x)[:1]


PROBES = {
    "kernel": training.KernelProbe(NET.apply, X, y=Y, every=4, k=3),
    "kernel of ragged sequences": training.KernelProbe(NET.apply, X, lengths=LENGTHS, every=4, k=3),
    "attention": training.AttentionRankProbe(NET.attention_weights, X, every=4),
    "attention of ragged sequences": training.AttentionRankProbe(NET.attention_weights, X, lengths=LENGTHS, every=4),
    "loss": training.LossProbe(NET.apply, {"train": (X[:4], Y[:4]), "test": (X[4:], Y[4:])}, every=4),
    "loss of ragged sequences": training.LossProbe(NET.apply, {"train": (X, Y, LENGTHS)}, every=4),
    "certificate": bounds.CertificateProbe(OUTPUT, X, Y, every=(4, 8), seen=(0, 1)),
    "movement": training.MovementProbe(every=4),
}
each = pytest.mark.parametrize("probe", [pytest.param(probe, id=name) for name, probe in PROBES.items()])


def moved(params: Any) -> Any:
    return jax.tree.map(lambda leaf: 0.98 * leaf, params)


def looped(probe: Probe, steps: int) -> History:
    history, params = training.track([probe], PARAMS), PARAMS
    for step in range(1, steps + 1):
        params = moved(params)
        history = history.update(step, params)
    return history


def same(one: History, other: History, **tolerance: Any) -> None:
    assert list(one.tables) == list(other.tables)
    for name, table in one.tables.items():
        np.testing.assert_array_equal(table.steps, other[name].steps)
        assert sorted(table.columns) == sorted(other[name].columns)
        for column, values in table.columns.items():
            there = other[name][column]
            assert values.dtype == there.dtype and values.shape == there.shape
            np.testing.assert_allclose(values, there, err_msg=column, **({"rtol": 0} | tolerance))


@pytest.mark.slow(but=["movement"])
@each
def test_a_row_is_made_at_the_start_and_at_every_period(probe: Probe):
    history = looped(probe, 9)
    assert history[probe.name].steps.tolist() == [0, 4, 8]
    assert all(len(values) == 3 for values in history[probe.name].columns.values())
    assert history.about[probe.name]["kind"] == probe.kind


@pytest.mark.slow(cases=["certificate", "kernel", "kernel of ragged sequences", "loss", "loss of ragged sequences"])
@each
def test_update_leaves_the_history_before_it_as_it_was(probe: Probe):
    before = training.track([probe], PARAMS)
    after = before.update(4, moved(PARAMS))
    assert len(before[probe.name]) == 1 and len(after[probe.name]) == 2
    assert before.update(3, moved(PARAMS)) is before


@pytest.mark.slow(but=["movement"])
@each
def test_a_tape_in_a_scan_gives_the_rows_of_the_loop(probe: Probe):
    history = training.track([probe], PARAMS)

    @jax.jit
    def train(params: Any, tape: training.Tape) -> training.Tape:
        def step(carry: Any, number: jax.Array) -> Any:
            params = moved(carry[0])
            return (params, carry[1].update(number, params)), None

        return jax.lax.scan(step, (params, tape), jnp.arange(1, 10))[0][1]

    scanned = history.extend(train(PARAMS, history.tape(slots=2)))
    # another program, so float32 sums in another order; rounding is that measured at the start, within a factor of 2
    loose = {"resolved", "rounding"}
    loop = looped(probe, 9)
    for table in (scanned[probe.name], loop[probe.name]):
        for name in [c for c in table.columns if c in loose or c.endswith(("_error", "_lower", "_upper"))]:
            table.columns.pop(name)  # pyright: ignore[reportAttributeAccessIssue]
    same(scanned, loop, rtol=2e-4, atol=2e-5)


@pytest.mark.slow(but=["attention", "attention of ragged sequences", "movement"])
@each
def test_a_history_goes_through_both_kinds_of_file(probe: Probe, tmp_path: pathlib.Path):
    history = looped(probe, 4)
    for name in ("a.npz", "a.json"):
        history.save(tmp_path / name)
        back = History.load(tmp_path / name)
        same(history, back)
        assert back.about == history.about
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []


@pytest.mark.slow(cases=["certificate", "kernel", "kernel of ragged sequences"])
@each
def test_the_state_of_a_history_restores_it_bitwise(probe: Probe):
    history = looped(probe, 4)
    restored = training.track([probe], PARAMS).restored(history.state())
    same(history, restored)
    later = jax.tree.map(lambda leaf: 0.5 * leaf, PARAMS)
    same(history.update(8, later), restored.update(8, later))


@pytest.mark.slow(cases=["certificate", "kernel", "kernel of ragged sequences"])
@each
def test_a_network_that_diverged_leaves_a_row(probe: Probe):
    broken = jax.tree.map(lambda leaf: leaf * jnp.nan, PARAMS)
    history = training.track([probe], PARAMS).update(4, broken)
    table = history[probe.name]
    assert len(table) == 2
    first = next(values for values in table.columns.values() if values.dtype != bool)
    assert np.isnan(first[1]).all()


@pytest.mark.slow(cases=["certificate"])
@each
def test_parameters_may_be_donated_after_tracking_began(probe: Probe):
    own = jax.tree.map(jnp.array, PARAMS)
    history = training.track([probe], own)
    for leaf in jax.tree.leaves(own):
        leaf.delete()
    assert len(history.update(4, PARAMS)[probe.name]) == 2


@each
def test_a_probe_is_a_pytree(probe: Probe):
    leaves, tree = jax.tree.flatten(probe)
    assert jax.tree.structure(jax.tree.unflatten(tree, leaves)) == tree
    assert all(isinstance(leaf, (jax.Array, np.ndarray)) for leaf in leaves)


@each
def test_other_parameters_than_those_at_the_start_are_refused(probe: Probe):
    with pytest.raises(ValueError, match="like those that tracking began with"):
        training.track([probe], PARAMS).update(4, {"w": jnp.ones(2)})
