"""Do the tests of numbers hold on another processor? Some run again with other instructions and another BLAS."""

from __future__ import annotations

import os
import pathlib
import platform
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
NUMBERS = (
    "tests/test_twofloat.py",
    "tests/training/test_tuning.py",
    "tests/kernels/duals/test_closed.py",
    "tests/kernels/test_chordal.py",
    "tests/spectra/test_dense.py",
    "tests/spectra/test_residuals.py",
    "tests/predictors/test_kernel_ridge.py",
    "tests/predictors/test_left_out.py",
    "tests/bounds/test_kernel.py",
)
"""Test files that compare floating-point numbers and compile little."""
OTHER = {
    "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2 --xla_cpu_multi_thread_eigen=false",  # no fused multiply-add, 128 bits
    "OPENBLAS_CORETYPE": "Prescott",
    "OPENBLAS_NUM_THREADS": "1",
}

PROBE = """
import jax, jax.numpy as jnp, numpy as np
x = np.random.default_rng(0).standard_normal((200, 200))
with jax.enable_x64(True):
    print(np.asarray(jnp.exp(jnp.asarray(x)).sum()).tobytes().hex(), np.linalg.eigvalsh(x @ x.T).tobytes().hex())
"""


def run(command: list[str], environment: dict[str, str]) -> str:
    env = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run([sys.executable, *command], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names of x86-64 processors")
def test_the_numbers_hold_on_a_processor_without_fused_multiply_add() -> None:
    here, there = (run(["-c", PROBE], environment).split() for environment in ({}, OTHER))
    assert here != there, "the settings change no bit here: this run would show nothing"
    run(["-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", *NUMBERS], OTHER)
