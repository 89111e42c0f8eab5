"""Are the shares of several processes even, and together the whole plan? Do real processes agree on it?"""

from __future__ import annotations

import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ntkseq
from ntkseq.grams import host, shares, sides
from tests.grams import on_processes

ROOT = pathlib.Path(__file__).parents[2]


@given(st.integers(0, 300), st.integers(1, 40))
def test_shares_are_even_have_nothing_in_common_and_leave_nothing_out(tiles: int, count: int):
    pairs = np.stack([np.arange(tiles), np.arange(tiles) + 1], axis=1)
    parts = [shares.share(pairs, index, count) for index in range(count)]
    assert np.concatenate(parts).tolist() == pairs.tolist()
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("index", "count"), [(2, 2), (-1, 2), (0, 0), (0.5, 2), (0, -3), (True, 0)])
def test_a_process_that_there_is_not_has_no_share(index, count, untyped):
    with pytest.raises(ValueError, match=r"^process_(index|count) must be an integer"):
        shares.share(np.zeros((5, 2), int), index, count)


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_processes_that_share_nothing_but_a_plan_compute_the_matrix_of_one(count: int, tmp_path: pathlib.Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-W", "ignore", str(ROOT / "tests" / "grams" / "on_processes.py"), str(port), str(count)]
    running = [
        subprocess.Popen([*command, str(k), str(tmp_path / f"{k}.npz")], env={**os.environ, "PYTHONPATH": path},
                         stderr=subprocess.PIPE, text=True)
        for k in range(count)
    ]  # fmt: skip
    try:
        for one in running:
            said = one.communicate(timeout=300)[1]
            assert one.returncode == 0, said[-3000:]
    finally:
        for one in running:
            one.kill()
    kernel, x = on_processes.problem()
    task, _ = sides.prepare(kernel, x, None, None, None).task(on_processes.TILE, 1)
    values, computed = host.Values(task), []
    for k in range(count):
        with np.load(tmp_path / f"{k}.npz") as part:
            values.write(part["pairs"], part["blocks"])
            computed.append(part["pairs"])
    assert sorted(np.concatenate(computed).tolist()) == task.plan.pairs.tolist()
    assert max(map(len, computed)) - min(map(len, computed)) <= 1
    np.testing.assert_array_equal(
        np.asarray(values.complete()[0]), np.asarray(ntkseq.gram(kernel, x, tile=on_processes.TILE))
    )
