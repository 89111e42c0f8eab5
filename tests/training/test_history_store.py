"""Tests of `ntkseq.training.history_store`: does a training that was killed keep what was measured?"""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import training
from ntkseq.training import History, MovementProbe, Probe

HERE = pathlib.Path(__file__)
PARAMS = {"W": jnp.arange(1.0, 5.0), "b": jnp.ones(2)}


def params_at(step: int, rate: float = 0.9) -> dict[str, Any]:
    return {name: leaf * jnp.float32(rate) ** step for name, leaf in PARAMS.items()}


def run(path: pathlib.Path | None, until: int = 40, begin: int = 1, **given: Any) -> History:
    history = training.track([MovementProbe(every=4), MovementProbe(every=10, name="far")], PARAMS, store=path)
    for step in range(begin, until + 1):
        history = history.update(step, params_at(step, **given), loss=1 / step)
    return history


def same(one: History, other: History) -> bool:
    assert set(one.tables) == set(other.tables)
    pairs = [(one[name], other[name]) for name in one]
    return all(np.array_equal(a.steps, b.steps) and all(np.array_equal(a[c], b[c]) for c in a) for a, b in pairs)


@pytest.mark.parametrize("begin", [1, 18])
def test_a_run_that_goes_on_measures_nothing_again_and_ends_as_an_undisturbed_one(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, begin: int
) -> None:
    path, looks, look = tmp_path / "h.npz", [], Probe.look
    assert same(run(path, 25), History.load(path))
    monkeypatch.setattr(Probe, "look", lambda *given: looks.append(1) or look(*given))
    history = run(path, begin=begin)
    assert same(history, run(None)) and same(history, History.load(path))
    assert len(looks) == 2 + (4 + 2) + (2 + 10 + 4)  # the start; 28, 32, 36, 40 and 30, 40; all of the run without


@pytest.mark.slow
def test_a_tape_adds_only_rows_that_are_not_there(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "h.npz"
    run(path, 9)
    history = training.track([MovementProbe(every=4), MovementProbe(every=10, name="far")], PARAMS, store=path)
    tape = history.tape(6)
    for step in range(1, 21):
        tape = tape.update(step, params_at(step))
    longer = history.extend(tape)
    assert longer["movement"].steps.tolist() == [0, 4, 8, 12, 16, 20] and same(longer, History.load(path))


def test_an_interruption_while_it_is_written_leaves_what_was_there(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, replace = tmp_path / "h.npz", os.replace

    def interrupted(*given: Any) -> None:
        if pathlib.Path(given[1]) == path and len(History.load(path)["movement"]) == 3:
            raise KeyboardInterrupt
        replace(*given)

    run(path, 3)
    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(path)
    monkeypatch.undo()
    assert History.load(path)["movement"].steps.tolist() == [0, 4, 8] and os.listdir(tmp_path) == ["h.npz"]
    assert same(run(path), run(None))


def test_another_run_is_refused_with_the_difference(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "h.npz"
    run(path, 8)
    before = path.read_bytes()
    probes = [MovementProbe(every=4), MovementProbe(every=10, name="far")]
    with pytest.raises(ValueError, match=r"h.npz is the history of another run: params was .* another store="):
        training.track(probes, params_at(1), store=path)
    with pytest.raises(ValueError, match=r"another run: probes.movement.every was 4 and is 5"):
        training.track([MovementProbe(every=5), probes[1]], PARAMS, store=path)
    with pytest.raises(ValueError, match=r"params at step 4 must be those that .* of norm .*; got norm"):
        run(path, 8, rate=0.8)
    run(None, 4).save(tmp_path / "saved.npz")
    with pytest.raises(ValueError, match=r"saved.npz is a history that was saved, and says not of which run"):
        run(tmp_path / "saved.npz")
    (tmp_path / "broken.npz").write_bytes(before[:-30])
    with pytest.raises(ValueError, match=r"broken.npz is no history that this version reads"):
        run(tmp_path / "broken.npz")
    assert path.read_bytes() == before


def test_rows_are_not_lost_to_another_writer_or_to_a_history_that_was_left_behind(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "h.npz"
    first = run(path, 3)
    second = run(path, 3)
    first = first.update(4, params_at(4))
    with pytest.raises(OSError, match=r"h.npz was changed by somebody else"):
        second.update(4, params_at(4))
    first.update(8, params_at(8))
    with pytest.raises(ValueError, match=r"holds rows of movement that this history has not"):
        first.update(12, params_at(12))
    with pytest.raises(ValueError, match="step must not go back; got 4 after 10"):  # no row of step 4 in "far"
        training.track([MovementProbe(every=(4, 10))], PARAMS).update(10, PARAMS).update(4, PARAMS)


@pytest.mark.slow
@pytest.mark.faults
def test_kills_at_random_moments_leave_a_store_that_goes_on(tmp_path: pathlib.Path) -> None:
    path, rng, rows = tmp_path / "h.npz", np.random.default_rng(0), 0
    for _ in range(4):
        child = subprocess.Popen([sys.executable, str(HERE), str(path)], cwd=HERE.parents[2])
        for _ in range(6000):
            if path.exists() and len(History.load(path)["movement"]) > rows:
                break
            time.sleep(0.01)
        time.sleep(float(rng.uniform(0, 0.5)))
        child.send_signal(signal.SIGKILL)
        child.wait()
        held = History.load(path)["movement"]
        assert len(held) > rows, "it was not killed while it was at work"
        rows = len(held)
    last = int(History.load(path)["movement"].steps[-1])
    assert same(run(path, last + 8), run(None, last + 8))


if __name__ == "__main__":
    run(pathlib.Path(sys.argv[1]), 1_000_000)
