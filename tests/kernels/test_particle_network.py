"""Is the kernel of a network by particles that of the network, to the last digit where its weights are turned round?"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import blocks, models
from ntkseq.blocks import GLU, Attention, Convolution, LayerNorm, Linear, Positions, Recurrent, Residual
from ntkseq.cells import GRU, LRU, LSTM, S4D, ControlledResNet, Elman, Leaky
from ntkseq.kernels import (
    particle_attention,
    particle_batches,
    particle_controlled,
    particle_diagonal,
    particle_rules,
)
from ntkseq.kernels.gated import Gated
from ntkseq.kernels.particle_network import Draws
from ntkseq.kernels.serial import Serial
from tests.kernels.test_particles import CELLS, P, drawn
from tests.models import explicit

X = explicit.sequences()
LENGTHS = np.array([4, 1, 3])
GRU_, LSTM_ = GRU(1.3, 1.1, 0.4), LSTM(1.3, 1.1, 0.4, forget=0.5)


def of_direction(cell: Any, raw: Any) -> Any:
    """The parameters of one direction of a layer in place of random numbers."""
    both = lambda a: jnp.moveaxis(a, 2, 0)  # of real and imaginary parts  # noqa: E731
    if isinstance(cell, LRU):
        B, C = both(raw["B"]), both(raw["C"])
        own = {name: raw[name] for name in ("nu", "theta", "gamma")}
        return particle_diagonal.Units(own, jnp.swapaxes(B, 1, 2), B, jnp.swapaxes(C, 1, 2), C)
    if isinstance(cell, S4D):
        return raw
    if isinstance(cell, ControlledResNet):  # all pairs: of a state with every coordinate of a token
        W = raw["W"]
        p, w = W.shape[1:]
        at = particle_controlled.partners(w, p, w)
        there = jnp.stack([W[:, np.arange(p), one].T for one in at])  # (k, j, i)
        return particle_controlled.Fields(there, jnp.swapaxes(there, 1, 2), raw["b"].T, raw["b"], raw["h"])
    return drawn(cell, raw)


def turned(block: blocks.Block, raw: Any) -> Any:
    """The parameters of a block in place of random numbers, with the transpose of its weights on the way back."""
    mix = lambda one: particle_rules.Mix(one["W"].T, one["W"], one["b"])  # noqa: E731
    if isinstance(block, Linear):
        return mix(raw)
    if isinstance(block, GLU):
        return mix(raw["value"]), mix(raw["gate"])
    if isinstance(block, Convolution) and block.depthwise:
        return raw["W"].T, raw["b"]
    if isinstance(block, Convolution):
        return tuple(particle_rules.Mix(one.T, one, raw["b"]) for one in jnp.swapaxes(raw["W"], 0, 1))
    if isinstance(block, Residual):
        return tuple(map(turned, block.blocks, raw["blocks"]))
    if isinstance(block, Positions):
        return raw["p"]
    if isinstance(block, Recurrent) and block.direction == "both":
        return of_direction(block.cell, raw["forward"]), of_direction(block.cell, raw["reversed"])
    if isinstance(block, Attention):
        inputs = [raw[name] for name in "QKV"]
        there = tuple(jnp.moveaxis(W, 2, 0) for W in inputs)
        return particle_attention.Heads(there, tuple(inputs), jnp.moveaxis(raw["O"], 0, 2), raw["O"], raw["b"])  # pyright: ignore
    return (of_direction(block.cell, raw),) if isinstance(block, Recurrent) else None


def cut(draws: Any, first: bool) -> Any:
    """Without the way back to the features."""
    if isinstance(draws, particle_rules.Mix):
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
    side = particle_batches.prepare(kernel, x, jnp.asarray(lengths))  # by particles where no cell has gates, too
    network = dataclasses.replace(kernel.network(), each=P)
    np.testing.assert_allclose(particle_batches.block(network, draws, side, side), wanted, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(
        particle_batches.diagonal(network, draws, side), np.diagonal(wanted), rtol=1e-11, atol=1e-13
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "read", "train"),
    [
        ("gru", "mean", "WUb"),
        ("gru, after, per gate", "sum", "WUb"),
        ("lstm", "sum", "U"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ("gru", "last", "Wb"), ("lstm", "last", "WUb"), ("gru, after, no bias inside", "last", "WUb"),
                ("lstm, per gate", "mean", "WUb"),
            )
        ),
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


DECAYING = Attention(weights="identity", scaling="root", causal=True, decay=(0.9, 0.5))
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
    "linear recurrent units": (
        Recurrent(LRU(0.2, 0.9, sigma_u=1.3), "both"), Recurrent(GRU_), Recurrent(LRU(max_phase=0.5), "reversed"),
    ),
    "state-space models": (
        Linear(1.2), Recurrent(S4D(4, sigma_c=1.5), "both"), Recurrent(GRU_), Recurrent(S4D(4, 0.1, 1.0)),
    ),
    "controlled residual networks": (
        Recurrent(ControlledResNet("erf", 0.9, 0.2, 1.1), "both"), Recurrent(GRU_),
        Recurrent(ControlledResNet("relu", 0.8, 0.3), "both"),
        Recurrent(ControlledResNet("erf", sigma_b=0.4), "reversed"),
    ),
    "random scores": (
        Attention(1.3, 0.9, 0.2, scaling="root"), Recurrent(GRU_),
        Attention(0.8, 1.1, scaling="root", skip=True, causal=True),
    ),
    "retention": (
        Recurrent(GRU_), DECAYING, Residual(Attention(weights="relu", scaling="root", train="QOb"), Linear()),
    ),
    "activations of states": (Recurrent(GRU_), "relu", Recurrent(LSTM_, "both"), "erf", "abs"),
    "a half of each": (
        Recurrent(LRU(train="nB")), Recurrent(dataclasses.replace(GRU_, train="")), Recurrent(S4D(4, train="iC")),
        Recurrent(ControlledResNet(train="h")), Attention(scaling="root", train="K"), Linear(train=""),
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_with_transposed_weights_a_network_is_the_finite_one(name: str, x64: None) -> None:
    kernel = Serial(*NETWORKS[name], read="mean", sigma_r=0.9, particles=32, batches=2)
    net = models.Serial(*NETWORKS[name], width=P, read="mean", sigma_r=0.9, heads=2, d_k=P // 2, d_v=P // 2)
    params = net.init(jax.random.key(2), jnp.asarray(X[0]))
    trees = [raw for b, raw in zip(kernel.blocks, params["blocks"], strict=True)]
    compare(kernel, net, params, trees)


# Networks that have a closed form, by particles none the less: attention, LayerNorm and positions are in no network of
# finite width to the last digit.
CLOSED: dict[str, tuple[Any, ...]] = {
    "attention": (Linear(1.1, 0.2), Attention(1.3, 0.9, 0.2, causal=True), Linear(1.4), "relu"),
    "attention on the features": (
        Attention(project=False), Linear(1.2), "erf", Attention(1.5, 1.1, 0.1, skip=True, train="Ob"), Linear(),
    ),
    "transformer": (
        Linear(), Residual(LayerNorm(), Attention(2.0)),
        Residual(LayerNorm(1e-2), Linear(2**0.5, 0.1), "relu", Linear()),
    ),
    "weights that are no averages": (
        Linear(), Attention(0.5, weights="relu"), Attention(0.4, weights="identity", project=False, skip=True),
        Linear(), "erf",
    ),
    "positions": (Linear(1.2), Positions(0.4, 0.3), Recurrent(Elman("erf", 1.2, 0.8, 0.2), "both"), Linear(), "relu"),
    "leaky units": (Recurrent(Leaky("erf", 0.7, 0.3, 1.3)), Attention(), Recurrent(Elman("relu", 1.2), "reversed")),
    "convolutions": (
        Convolution(3, causal=False), GLU("sigmoid"), Convolution(2, depthwise=True), Linear(), "relu",
        Convolution(2, sigma_b=0.2),
    ),
    "linear recurrent units": (Recurrent(LRU(0.3, 0.9), "both"), Linear(1.4), "relu", Recurrent(LRU(max_phase=1.0))),
    "state-space models": (Linear(), Recurrent(S4D(8, 0.05, 1.0, 2.0), "both"), Linear(1.4), "relu", Recurrent(S4D(4))),
    "controlled residual networks": (
        Recurrent(ControlledResNet("erf", 0.7, 0.3), "both"), Recurrent(ControlledResNet("relu", 0.6, 0.2)),
    ),
    "random scores": (
        Linear(), Attention(weights="relu", scaling="root"), LayerNorm(),
        Attention(0.7, weights="identity", scaling="root", causal=True, decay=(0.9, 0.5, 0.2)), Linear(1.2), "erf",
    ),
}  # fmt: skip


def estimated(kernel: Serial, x: Any, lengths: Any, each: int, batches: int) -> tuple[np.ndarray, np.ndarray]:
    side = particle_batches.prepare(kernel, x, lengths)
    net = dataclasses.replace(kernel.network(), each=each)
    found = particle_batches._estimate(net, batches, jax.random.key(1), side, side)
    values, error = (np.asarray(a, np.float64) for a in found)
    return values, error


@pytest.mark.slow
@pytest.mark.parametrize("name", CLOSED)
def test_a_network_with_a_closed_form_is_that_form_within_the_error(name: str) -> None:
    kernel = Serial(*CLOSED[name], read="mean", sigma_r=0.8)
    x, lengths = np.asarray(X[:, :, :], np.float32), np.array([4, 3, 1])
    wanted = np.asarray(kernel(x, lengths=lengths), np.float64)
    values, error = estimated(kernel, x, lengths, 512, 32)
    size = np.sqrt(np.outer(np.diagonal(wanted), np.diagonal(wanted)))
    assert np.all(np.abs(values - wanted) < 4.5 * error + 5 / 512 * size)
    assert np.max(error / size) < 0.1


@pytest.mark.slow
@pytest.mark.parametrize(("name", "scale"), [("attention", 1.5), ("controlled residual networks", 1.0)])
def test_what_is_stated_beside_the_spread_covers_the_bias_where_it_is_measured(name: str, scale: float) -> None:
    kernel = Serial(*CLOSED[name], read="last", particles=8 * 256, batches=8)
    x = np.asarray(X, np.float32) * scale
    wanted = np.asarray(kernel(x), np.float64)
    stated = particle_batches.common_bias(kernel, particle_batches.prepare(kernel, x, None))
    values, error = estimated(kernel, x, None, 64, 2048)
    size = np.sqrt(np.outer(np.diagonal(wanted), np.diagonal(wanted)))
    off = np.max((np.abs(values - wanted) - 2 * error) / size) * 64 / 256
    assert 0 < off < stated < 0.3


@pytest.mark.slow
def test_wide_networks_tend_to_the_kernel() -> None:
    parts = (Recurrent(GRU_, "both"), Linear(1.4, 0.1), "relu", Recurrent(LSTM_))
    kernel = Serial(*parts, read="mean", particles=2**15, batches=32)
    x, lengths = jnp.asarray(X, jnp.float32), jnp.asarray(LENGTHS, jnp.int32)
    side = kernel.prepare(x, lengths)
    truth, error = (np.asarray(a, np.float64) for a in (kernel.tile(side, side), kernel.standard_error(side, side)))
    size, spread = np.sqrt(np.outer(np.diagonal(truth), np.diagonal(truth))), []
    for width in (32, 128):
        samples = explicit.over_seeds(kernel.finite(width), x, lengths, seeds=24)
        off = (samples.mean(axis=0) - truth) / np.hypot(samples.std(axis=0, ddof=1) / 24**0.5, error)
        assert width < 128 or np.max(np.abs(off)) < 4.5
        spread.append(np.sqrt(np.mean(np.square((samples - truth) / size))))
    assert 0.3 < spread[1] / spread[0] < 0.75  # one half, for a width four times as large


@pytest.mark.parametrize(
    ("parts", "changes", "message"),
    [
        ((Recurrent(GRU()), DECAYING), {"particles": 56}, "a head for each of the 2 decays of an Attention; got 7"),
        ((Recurrent(GRU(), "both"),), {"particles": 40}, "particles / batches must be even .* got 5"),
        ((Recurrent(S4D(8)), Recurrent(GRU())), {}, "needs tokens of the network's width"),
        ((Residual(Recurrent(GRU()), Linear()),), {}, "needs tokens of the network's width"),
        ((Recurrent(GRU()),), {"particles": 30}, "must be a multiple of batches"),
        ((Linear(),), {"seed": -1}, "seed must be an integer in 0"),
    ],
)
def test_wrong_networks_are_refused_at_the_door(parts: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Serial(*parts, **changes)


@pytest.mark.slow
def test_a_layer_in_a_row_of_one_is_the_gated_kernel() -> None:
    x = np.asarray(X, np.float32)
    more: dict[str, Any] = {"particles": 64, "batches": 2, "seed": 3}
    one, two = Serial(Recurrent(GRU_), read="last", **more), Gated(GRU_, **more)
    np.testing.assert_array_equal(one(x), two(x))
    assert one.sampled and one.by_particles and not Serial(Linear(), "relu").sampled
    assert np.any(np.asarray(one.with_(seed=4)(x)) != np.asarray(one(x)))


@pytest.mark.slow
def test_derivatives_are_those_of_the_estimate(x64: None) -> None:
    x = jnp.asarray(X)

    def value(sigma: Any) -> Any:
        parts = (Recurrent(GRU(sigma, 1.1, 0.4), "both"), Linear(), "erf", Recurrent(LSTM_))
        return Serial(*parts, particles=16, batches=2)(x)[0, 1]

    step = 1e-5
    wanted = (value(1.3 + step) - value(1.3 - step)) / (2 * step)
    np.testing.assert_allclose(jax.grad(value)(1.3), wanted, rtol=1e-7)


@pytest.mark.slow
def test_a_token_of_variance_zero_at_a_norm_without_eps_is_refused_as_in_closed_form() -> None:
    x = np.ones((2, 2, 1), np.float32)
    x[1, 1] = 0
    for cell in (GRU(sigma_b=0.0), Elman(sigma_b=0.0)):
        parts = (Linear(), Residual(LayerNorm(eps=0.0), Linear()), Recurrent(cell))
        kernel = Serial(*parts, particles=4, batches=2)
        with pytest.raises(ValueError, match="a token has variance 0 where a LayerNorm with eps=0"):
            kernel.prepare(x)
        kernel.prepare(x, np.array([2, 1]))  # behind its end nothing is looked at


@pytest.mark.slow
def test_where_nothing_is_trained_the_kernel_is_zero() -> None:
    x = np.ones((2, 2, 1), np.float32)
    kernel = Serial(Recurrent(GRU(train="")), train_readout=False, particles=4, batches=2)
    side = kernel.prepare(x)
    assert not np.any(kernel.tile(side, side)) and not np.any(kernel.diag_side(side))
    (one, _) = kernel.parts(side).kernels
    assert not np.any(one.square_side(side))
