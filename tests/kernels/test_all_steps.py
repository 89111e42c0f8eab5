"""Is the kernel between every two steps the one of the theory, and what every read-out is made of?"""

from __future__ import annotations

import json
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.kernels import Dense, Recurrent
from ntkseq.kernels.all_steps import every_step
from tests import oracles

GOLDEN = json.loads((pathlib.Path(__file__).parent / "golden.json").read_text())
N, T, D = np.meshgrid(np.arange(3), np.arange(4), np.arange(2), indexing="ij")
X = np.sin(1 + N + 2 * T + 3 * D) + 0.5 * np.cos(N * T + D)  # the inputs of golden.json
RAGGED = np.array([4, 2, 3])


def test_golden_numbers(x64: None) -> None:
    want = np.array(GOLDEN["steps_of_0_and_1"]["values"])
    got = every_step(Recurrent(**GOLDEN["scales"]), X)
    assert got.shape == (3, 3, 4, 4)
    np.testing.assert_allclose(got[0, 1], want, rtol=0, atol=1e-12 * np.abs(want).max())
    np.testing.assert_allclose(got[1, 0], want.T, rtol=0, atol=1e-12 * np.abs(want).max())


CHOICES: list[dict[str, Any]] = [
    {},
    {"depth": 2, "direction": "both", "h0": "independent", "sigma_h": 0.5},
    {"activation": "erf", "direction": "reversed", "param": "raw", "h0": "shared", "sigma_h": 0.5},
]


@pytest.mark.slow
@pytest.mark.parametrize("choice", CHOICES, ids=lambda c: str(len(c)))
def test_every_read_out_is_made_of_it(choice: dict[str, Any], x64: None) -> None:
    kernel = Recurrent(**GOLDEN["scales"], **choice)
    for right, lengths2 in ((None, None), (X - 0.3, np.array([3, 4, 2]))):
        grid = np.asarray(every_step(kernel, X, right, lengths=RAGGED, lengths2=lengths2))

        def whole(read: str, right: Any = right, lengths2: Any = lengths2) -> np.ndarray:
            return np.asarray(kernel.with_(read=read)(X, right, lengths=RAGGED, lengths2=lengths2))

        scale = np.abs(whole("sum")).max()
        np.testing.assert_allclose(grid.sum(axis=(2, 3)), whole("sum"), rtol=0, atol=1e-13 * scale)
        if choice.get("direction", "forward") == "forward":
            for i, t in enumerate(RAGGED):
                for j, s in enumerate(RAGGED if lengths2 is None else lengths2):
                    assert abs(grid[i, j, t - 1, s - 1] - whole("last")[i, j]) < 1e-13 * scale
                    assert not grid[i, j, t:].any() and not grid[i, j, :, s:].any()
            np.testing.assert_allclose(np.trace(grid, axis1=2, axis2=3), whole("steps"), rtol=0, atol=1e-13 * scale)


@pytest.mark.slow
@pytest.mark.parametrize("direction", [pytest.param("reversed", marks=pytest.mark.slow), "both"])
def test_the_outputs_of_a_reversed_network_stand_at_the_steps_that_it_has_just_read(direction: str, x64: None) -> None:
    kernel = Recurrent(**GOLDEN["scales"], direction=direction)
    grid = np.asarray(every_step(kernel, X, lengths=RAGGED))
    same = np.eye(3, dtype=bool)
    options: dict[str, Any] = dict(
        GOLDEN["scales"], dual=oracles.DUALS["relu"], sigma_h=0.0, depth=1, h0="zero", train="WUbR", input_scale="dim",
        kind="ntk", param="ntk",
    )  # fmt: skip
    back = X.copy()
    for i, t in enumerate(RAGGED):
        back[i, :t] = X[i, :t][::-1]
    forward, reverse = (oracles.steps(x, x, same, **options) for x in (X, back))
    for i, t in enumerate(RAGGED):
        for j, s in enumerate(RAGGED):
            want = reverse[i, j, :t, :s][::-1, ::-1] + (forward[i, j, :t, :s] if direction == "both" else 0)
            np.testing.assert_allclose(grid[i, j, :t, :s], want, rtol=0, atol=1e-11)
            assert not grid[i, j, t:].any() and not grid[i, j, :, s:].any()


@pytest.mark.slow
def test_the_two_sides_may_have_different_numbers_of_steps(x64: None) -> None:
    kernel = Recurrent(**GOLDEN["scales"])
    got = every_step(kernel, X, X[:2, :3])
    np.testing.assert_allclose(got, every_step(kernel, X)[:, :2, :, :3], rtol=0, atol=1e-12)


@pytest.mark.slow
def test_it_is_positive_semidefinite_and_its_gradients_are_finite() -> None:
    x = X.astype(np.float32)
    K = np.asarray(every_step(Recurrent(), x, lengths=RAGGED)).transpose(0, 2, 1, 3).reshape(12, 12)
    assert np.linalg.eigvalsh((K + K.T) / 2)[0] > -1e-6 * np.trace(K)
    kernel = jax.tree.map(jnp.float32, Recurrent())
    grads = jax.grad(lambda k, x: jnp.sum(every_step(k, x, lengths=RAGGED)), argnums=(0, 1))(kernel, jnp.asarray(x))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads)) and np.any(np.asarray(grads[1]) != 0)


@pytest.mark.slow
def test_wrong_inputs_are_refused_at_the_door() -> None:
    x = X.astype(np.float32)
    with pytest.raises(ValueError, match=r"takes a kernels.Recurrent.*got Dense"):
        every_step(Dense(), x)
    with pytest.raises(ValueError, match="one number of features"):
        every_step(Recurrent(), x, x[:, :, :1])
    with pytest.raises(ValueError, match="one dtype"), jax.enable_x64(True):
        every_step(Recurrent(), x, x.astype(np.float64))
    with pytest.raises(ValueError, match=r"must lie in 1\.\.4"):
        every_step(Recurrent(), x, lengths=np.array([5, 1, 1]))
