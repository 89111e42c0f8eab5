"""Do the particles follow the equations of the network, in both directions?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.kernels import particles
from ntkseq.models.gated import Gated as Network
from tests.models import explicit

P = 6
X = explicit.sequences()
LENGTHS = np.array([4, 1, 3])
SCALES = {"sigma_w": 1.6, "sigma_u": 1.1, "sigma_b": 0.4, "sigma_r": 0.9}


def read_weights(read: str) -> np.ndarray:
    inside = np.arange(4)[None] < LENGTHS[:, None]
    last = np.arange(4)[None] == LENGTHS[:, None] - 1
    return {"last": 1.0 * last, "sum": 1.0 * inside, "mean": inside / LENGTHS[:, None]}[read]


@pytest.mark.parametrize(
    ("cell", "read", "train"),
    [
        ("gru", "mean", "WUbR"),
        ("gru", "last", "Wb"),
        ("lstm", "last", "WUbR"),
        ("lstm", "sum", "UR"),
        *(pytest.param(c, "sum", g, marks=pytest.mark.slow) for c in ("gru", "lstm") for g in ("W", "U", "b", "R")),
    ],
)  # fmt: skip
def test_with_transposed_weights_they_are_the_finite_network_to_the_last_digit(
    cell: str, read: str, train: str, x64: None
) -> None:
    """With the transpose of the forward weights in the backward pass, K is the network's own tangent kernel."""
    x = jnp.asarray(np.where(np.arange(4)[None, :, None] < LENGTHS[:, None, None], X, 0))
    net = Network(width=P, cell=cell, read=read, train=train, input_scale="none", **SCALES)
    params = net.init(jax.random.key(2), x[0])
    wanted = explicit.tangent_kernel(net.apply, params, x, jnp.asarray(LENGTHS))
    gates = [params["gates"][name] for name in particles.GATES[cell]]
    stacked: Any = {letter: jnp.stack([raw[letter] for raw in gates]) for letter in "WUb"}
    draws = particles.Draws(
        forward=jnp.swapaxes(stacked["W"], 1, 2),
        backward=stacked["W"],
        inputs=jnp.swapaxes(stacked["U"], 1, 2),
        bias=stacked["b"],
        signs=params["R"][0],
    )
    scales = particles.Scales(*map(jnp.asarray, SCALES.values()))
    found = particles.features(cell, scales, draws, x, jnp.asarray(read_weights(read)), True)
    got = particles.contract(scales, train, (found, x), (found, x))
    np.testing.assert_allclose(got, wanted, rtol=1e-11, atol=1e-13)


def test_the_random_numbers_are_the_same_in_every_precision_and_independent_in_both_directions() -> None:
    single = particles.draw(jax.random.key(0), "gru", 2, 64, jnp.float32)
    with jax.enable_x64(True):
        double = particles.draw(jax.random.key(0), "gru", 2, 64, jnp.float64)
        jax.tree.map(np.testing.assert_array_equal, single, double)
        assert {leaf.dtype for leaf in jax.tree.leaves(double)} == {np.dtype(np.float64)}
    assert set(np.unique(single.signs)) == {-1.0, 1.0} and abs(np.mean(single.signs)) < 5 / 8
    forward = np.asarray(single.forward)
    for other in (np.asarray(single.backward), np.swapaxes(single.backward, 1, 2), np.roll(forward, 1, axis=0)):
        assert abs(np.mean(forward * other)) < 5 / np.sqrt(forward.size)
    assert abs(np.mean(forward**2) - 1) < 5 * np.sqrt(2 / forward.size)


def test_without_gradients_there_are_no_streams() -> None:
    scales = particles.Scales(*(jnp.float32(value) for value in SCALES.values()))
    draws = particles.draw(jax.random.key(0), "lstm", 2, P, jnp.float32)
    x, read = jnp.asarray(X, jnp.float32), jnp.asarray(read_weights("mean"), jnp.float32)
    found = particles.features("lstm", scales, draws, x, read, False)
    assert found.streams == () and found.pooled.shape == (3, P)
    got = particles.contract(scales, "R", (found, x), (found, x))
    np.testing.assert_allclose(got, 0.81 * np.asarray(found.pooled @ found.pooled.T) / P, rtol=1e-5, atol=1e-7)
