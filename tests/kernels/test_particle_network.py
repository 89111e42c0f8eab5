"""Is the kernel of a network by particles that of the network, to the last digit where its weights are turned round?"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import blocks, models
from ntkseq.blocks import GLU, Convolution, Linear, Positions, Recurrent, Residual
from ntkseq.cells import GRU, LSTM, Elman, Leaky
from ntkseq.kernels import particle_batches, particle_blocks
from ntkseq.kernels.gated import Gated
from ntkseq.kernels.particle_network import Draws
from ntkseq.kernels.serial import Serial
from tests.kernels.test_particles import CELLS, P, drawn
from tests.models import explicit

X = explicit.sequences()
LENGTHS = np.array([4, 1, 3])
GRU_, LSTM_ = GRU(1.3, 1.1, 0.4), LSTM(1.3, 1.1, 0.4, forget=0.5)


def turned(block: blocks.Block, raw: Any) -> Any:
    """The parameters of a block in place of random numbers, with the transpose of its weights on the way back."""
    mix = lambda one: particle_blocks._Mix(one["W"].T, one["W"], one["b"])  # noqa: E731
    if isinstance(block, Linear):
        return mix(raw)
    if isinstance(block, GLU):
        return mix(raw["value"]), mix(raw["gate"])
    if isinstance(block, Convolution) and block.depthwise:
        return raw["W"].T, raw["b"]
    if isinstance(block, Convolution):
        return tuple(particle_blocks._Mix(one.T, one, raw["b"]) for one in jnp.swapaxes(raw["W"], 0, 1))
    if isinstance(block, Residual):
        return tuple(map(turned, block.blocks, raw["blocks"]))
    if isinstance(block, Positions):
        return raw["p"]
    if isinstance(block, Recurrent) and block.direction == "both":
        return drawn(block.cell, raw["forward"]), drawn(block.cell, raw["reversed"])
    return (drawn(block.cell, raw),) if isinstance(block, Recurrent) else None


def cut(draws: Any, first: bool) -> Any:
    """Without the way back to the features."""
    if isinstance(draws, particle_blocks._Mix):
        return draws._replace(back=None) if first else draws
    if hasattr(draws, "outputs"):
        return draws._replace(outputs=None) if first else draws
    return tuple(cut(one, first) for one in draws) if isinstance(draws, tuple) else draws


def compare(kernel: Any, net: Any, params: Any, trees: Any, lengths: np.ndarray = LENGTHS) -> None:
    x = jnp.asarray(np.where(np.arange(4)[None, :, None] < lengths[:, None, None], X, 0))
    wanted = explicit.tangent_kernel(net.apply, params, x, jnp.asarray(lengths))
    parts = kernel.network().blocks
    draws = Draws(tuple(cut(turned(b, raw), i == 0) for i, (b, raw) in enumerate(zip(parts, trees, strict=True))),
                  params["R"][0])  # fmt: skip
    side = kernel.prepare(x, jnp.asarray(lengths))
    network = dataclasses.replace(kernel.network(), each=P)
    np.testing.assert_allclose(particle_batches.block(network, draws, side, side), wanted, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(
        particle_batches.diagonal(network, draws, side), np.diagonal(wanted), rtol=1e-11, atol=1e-13
    )


@pytest.mark.parametrize(
    ("cell", "read", "train"),
    [
        ("gru", "mean", "WUb"),
        ("gru", "last", "Wb"),
        ("lstm", "last", "WUb"),
        ("lstm", "sum", "U"),
        ("gru, after, per gate", "sum", "WUb"),
        ("gru, after, no bias inside", "last", "WUb"),
        ("lstm, per gate", "mean", "WUb"),
        *(pytest.param(c, "sum", g, marks=pytest.mark.slow) for c in CELLS for g in ("W", "U", "b", "")),
    ],
)  # fmt: skip
def test_with_transposed_weights_a_layer_is_the_finite_network(cell: str, read: str, train: str, x64: None) -> None:
    """With the transpose of the forward weights in the backward pass, K is the network's own tangent kernel."""
    one = dataclasses.replace(CELLS[cell], train=train)
    kernel = Serial(Recurrent(one), read=read, input_scale="none", sigma_r=0.9, particles=2 * P, batches=2)
    net = models.Serial(Recurrent(one), width=P, read=read, input_scale="none", sigma_r=0.9)
    params = net.init(jax.random.key(2), jnp.asarray(X[0]))
    if isinstance(one, (GRU, LSTM)):
        alone = Gated(one, read=read, input_scale="none", sigma_r=0.9, particles=2 * P, batches=2)
        compare(alone, net, params, params["blocks"])
    else:
        compare(kernel, net, params, params["blocks"])


NETWORKS: dict[str, tuple[Any, ...]] = {
    "stack of both directions": (Recurrent(GRU_, "both"), Recurrent(LSTM_), Recurrent(Elman("erf"), "reversed")),
    "behind an activation, beside a skip": (Linear(1.2, 0.3), "relu", Residual(Recurrent(GRU_, "both"), Linear())),
    "convolutions": (Convolution(2, sigma_b=0.2), Recurrent(LSTM_), Convolution(3, causal=False), "erf"),
    "depthwise, gated units": (
        GLU("erf", Linear(1.1, 0.1), Linear(0.8)),
        Convolution(2, depthwise=True, sigma_b=0.3),
        Recurrent(dataclasses.replace(GRU_, train="Wb"), "both"),
        Residual(GLU("relu"), Linear(0.7, train="b")),
        Positions(0.3, decay=0.2),
    ),
    "leaky units": (Recurrent(Leaky("erf", 0.6, 0.4), "both"), Recurrent(GRU_, "reversed"), Linear(train="")),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_with_transposed_weights_a_network_is_the_finite_one(name: str, x64: None) -> None:
    kernel = Serial(*NETWORKS[name], read="mean", sigma_r=0.9, particles=2 * P, batches=2)
    net = models.Serial(*NETWORKS[name], width=P, read="mean", sigma_r=0.9)
    params = net.init(jax.random.key(2), jnp.asarray(X[0]))
    trees = [raw for b, raw in zip(kernel.blocks, params["blocks"], strict=True)]
    compare(kernel, net, params, trees)
