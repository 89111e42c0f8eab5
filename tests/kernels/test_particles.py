"""Do the particles follow the equations of the network, in both directions?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.cells import GRU, LSTM
from ntkseq.kernels import gated_batch, particles
from ntkseq.kernels.gated import Gated
from ntkseq.models.gated import Gated as Network
from tests.models import explicit

P = 6
X = explicit.sequences()
LENGTHS = np.array([4, 1, 3])
SCALES = {"sigma_w": 1.6, "sigma_u": 1.1, "sigma_b": 0.4}
CELLS = {
    "gru": GRU(**SCALES),
    "lstm": LSTM(**SCALES),
    "gru, per gate": GRU((1.6, 1.2, 0.9), 1.1, (0.4, 0.1, 0.3)),
    "gru, after": GRU(**SCALES, sigma_c=0.7, reset="after"),
    "gru, after, no bias inside": GRU(**SCALES, reset="after"),
    "gru, after, per gate": GRU(1.6, (1.1, 0.6, 1.3), (0.4, 0.1, 0.3), 0.7, "after", "uniform"),
    "lstm, per gate": LSTM((1.6, 1.2, 0.9, 1.1), 1.1, (0.4, 0.1, 0.3, 0.2), forget=1.0, law="truncated"),
}


def read_weights(read: str) -> np.ndarray:
    inside = np.arange(4)[None] < LENGTHS[:, None]
    last = np.arange(4)[None] == LENGTHS[:, None] - 1
    return {"last": 1.0 * last, "sum": 1.0 * inside, "mean": inside / LENGTHS[:, None]}[read]


def drawn(net: Network, params: Any) -> particles.Draws:
    """The parameters of a network in place of random numbers, with the transpose of its weights backwards."""
    gates = [params["gates"][name] for name in net.cell.gates]
    stacked: Any = {letter: jnp.stack([raw[letter] for raw in gates]) for letter in "WUb"}
    return particles.Draws(
        forward=jnp.swapaxes(stacked["W"], 1, 2),
        backward=stacked["W"],
        inputs=jnp.swapaxes(stacked["U"], 1, 2),
        bias=stacked["b"],
        signs=params["R"][0],
        inner=gates[2].get("c"),
    )


@pytest.mark.parametrize(
    ("cell", "read", "train"),
    [
        ("gru", "mean", "WUbR"),
        ("gru", "last", "Wb"),
        ("lstm", "last", "WUbR"),
        ("lstm", "sum", "UR"),
        ("gru, after, per gate", "sum", "WUbR"),
        ("gru, after, no bias inside", "last", "WUbR"),
        ("lstm, per gate", "mean", "WUbR"),
        *(pytest.param(c, "sum", g, marks=pytest.mark.slow) for c in CELLS for g in ("W", "U", "b", "R")),
    ],
)  # fmt: skip
def test_with_transposed_weights_they_are_the_finite_network_to_the_last_digit(
    cell: str, read: str, train: str, x64: None
) -> None:
    """With the transpose of the forward weights in the backward pass, K is the network's own tangent kernel."""
    x = jnp.asarray(np.where(np.arange(4)[None, :, None] < LENGTHS[:, None, None], X, 0))
    net = Network(width=P, cell=CELLS[cell], read=read, train=train, input_scale="none", sigma_r=0.9)
    params = net.init(jax.random.key(2), x[0])
    wanted = explicit.tangent_kernel(net.apply, params, x, jnp.asarray(LENGTHS))
    kernel = Gated(CELLS[cell], sigma_r=0.9, train=train, input_scale="none")
    side = {"x": x, "read": jnp.asarray(read_weights(read))}
    got = gated_batch.block(kernel, drawn(net, params), side, side)
    np.testing.assert_allclose(got, wanted, rtol=1e-11, atol=1e-13)


def test_raw_gradients_are_those_of_the_parameters_with_their_sigma_inside(x64: None) -> None:
    """Biases, and c is one of them."""
    x = jnp.asarray(X)
    net = Network(width=P, cell=CELLS["gru, after, per gate"], train="b", input_scale="none")
    params = net.init(jax.random.key(2), x[0])

    def shifted(moved: Any, x: jax.Array) -> jax.Array:
        gates = {}
        for gate, raw in params["gates"].items():
            own: Any = {"b": raw["b"] + moved[gate]["b"] / (0.4, 0.1, 0.3)["zrg".index(gate)]}
            own |= {"c": raw["c"] + moved[gate]["c"] / 0.7} if "c" in raw else {}
            gates[gate] = {**raw, **own}
        return net.apply({**params, "gates": gates}, x)

    zero = {gate: {k: jnp.zeros(P) for k in raw if k in "bc"} for gate, raw in params["gates"].items()}
    wanted = explicit.tangent_kernel(shifted, zero, x)
    kernel = Gated(net.cell, train="b", param="raw", input_scale="none")
    side = {"x": x, "read": jnp.asarray([[0.0, 0, 0, 1]] * 3)}
    np.testing.assert_allclose(gated_batch.block(kernel, drawn(net, params), side, side), wanted, rtol=1e-11)


def test_the_random_numbers_are_the_same_in_every_precision_and_independent_in_both_directions() -> None:
    single = particles.draw(jax.random.key(0), CELLS["gru, after, per gate"], 2, 64, jnp.float32)
    with jax.enable_x64(True):
        double = particles.draw(jax.random.key(0), CELLS["gru, after, per gate"], 2, 64, jnp.float64)
        jax.tree.map(np.testing.assert_array_equal, single, double)
        assert {leaf.dtype for leaf in jax.tree.leaves(double)} == {np.dtype(np.float64)}
    assert set(np.unique(single.signs)) == {-1.0, 1.0} and abs(np.mean(single.signs)) < 5 / 8
    forward = np.asarray(single.forward)
    for other in (np.asarray(single.backward), np.swapaxes(single.backward, 1, 2), np.roll(forward, 1, axis=0)):
        assert abs(np.mean(forward * other)) < 5 / np.sqrt(forward.size)
    assert abs(np.mean(forward**2) - 1) < 5 * np.sqrt(2 / forward.size)


def test_without_gradients_there_are_no_streams() -> None:
    scales = particles.Scales(*(jnp.float32(value) for value in (*SCALES.values(), 0.9)))
    draws = particles.draw(jax.random.key(0), CELLS["lstm"], 2, P, jnp.float32)
    x, read = jnp.asarray(X, jnp.float32), jnp.asarray(read_weights("mean"), jnp.float32)
    found = particles.features(CELLS["lstm"], scales, draws, x, read, False)
    assert found.streams == () and found.pooled.shape == (3, P)
    got = particles.contract(scales, "R", (found, x), (found, x))
    np.testing.assert_allclose(got, 0.81 * np.asarray(found.pooled @ found.pooled.T) / P, rtol=1e-5, atol=1e-7)
