"""Are matrices the same wherever their arrays lie: on several devices, sharded or not, under a mesh, in
either byte order?"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from ntkseq import _checks, empirical, kernels

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


def test_arrays_of_the_other_byte_order_are_those_of_this_one():
    x, W = np.linspace(-1, 1, 24, dtype=np.float32).reshape(4, 2, 3), np.ones((2, 3), np.float32)
    lengths = np.array([1, 2, 2, 1])
    x_else, W_else, n_else = (a.astype(a.dtype.newbyteorder()) for a in (x, W, lengths))
    kernel, f = kernels.Recurrent(read="last"), lambda W, x: jnp.tanh(W @ x[-1])
    for one, other in (
        (lambda: kernel.prepare(x, lengths), lambda: kernel.prepare(x_else, n_else)),
        (lambda: empirical.NTK(f, W).params, lambda: empirical.NTK(f, W_else).params),
    ):
        for a, b in zip(jax.tree.leaves(one()), jax.tree.leaves(other()), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", [np.float32, np.int32])
@pytest.mark.parametrize("listed", [list, tuple, lambda arrays: [list(one) for one in arrays]])
def test_lists_of_arrays_of_the_other_byte_order_are_no_ragged_ones(kind, listed):
    x = np.arange(24, dtype=kind).reshape(4, 2, 3)
    other = listed(x.astype(x.dtype.newbyteorder()))
    for check in (_checks.floating, _checks.tokens_or_floats):
        np.testing.assert_array_equal(check("x", other), x)
    with pytest.raises(ValueError, match="Ragged lists"):
        _checks.floating("x", [other[0], other[1][:1]])


FRAME = pd.DataFrame(np.ones((4, 2)), index=pd.MultiIndex.from_product([range(2), range(2)]))


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (np.ones((2, 3, 1), object), r"got dtype object. Pass x.astype\(float\)"),
        (
            np.array([np.ones(2), np.ones(3), None], object),
            "got an array of 3 arrays .dtype object.. Ragged lists: pad",
        ),
        (np.array([[["a"]]]), "got dtype <U1. Encode it as numbers"),
        (np.array([[[None]]]), "got None. Encode it as a number"),
        (np.ones((2, 3, 1), np.longdouble), r"Pass x.astype\(float\)"),
        ((one for one in "ab"), "got generator that does not convert"),
        ([], r"at least one example, step and feature; got shape \(0,\)"),
        (np.ones(3), r"got \(3,\). One sequence of scalar tokens: pass x\[None, :, None\]"),
        (3.0, r"must have shape \(n, t, d\); got \(\)\.$"),
        (FRAME, r"a table of \(4, 2\) whose rows have 2 names. Pass numpy.stack"),
    ],
)
def test_what_is_no_batch_of_sequences_is_named_with_what_to_pass(x, said):
    with pytest.raises(ValueError, match=said) as caught:
        _checks.sequences("x", x)
    assert "JAX value" not in str(caught.value)
