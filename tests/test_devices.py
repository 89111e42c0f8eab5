"""Are matrices the same wherever their arrays lie: on several devices, sharded or not, under a mesh?"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def on_four_devices(*words: str) -> None:
    """Devices are counted once, when JAX starts: a process of its own."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(ROOT / "tests" / "on_meshes.py"), *words],
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "the same on all" in done.stdout


@pytest.mark.slow
def test_arrays_on_four_devices_give_the_matrix_of_one():
    on_four_devices()


@pytest.mark.slow
def test_arrays_on_one_two_and_four_devices_give_the_matrix_of_one_however_they_came_there():
    on_four_devices("--all")
