"""Is a controlled residual layer a plain loop over all pairs of steps, and the kernel of wide networks?"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import empirical
from ntkseq.blocks import Attention, Linear, Recurrent
from ntkseq.cells import ControlledResNet, Elman
from ntkseq.kernels.serial import Serial
from tests import oracles
from tests.kernels.precision import lost_and_stated

X = np.random.default_rng(1).standard_normal((3, 4, 2))
RAGGED = np.array([4, 2, 3])
SCALES = {"sigma_w": 0.9, "sigma_b": 0.4, "sigma_h": 0.7}


def controlled_layer(
    kap: np.ndarray, th: np.ndarray, n: int, t: int, activation: str, train: str = "Wbh"
) -> tuple[np.ndarray, np.ndarray]:
    """Covariances and tangent kernels of the states from those of the tokens, (n t, n t): sums over all increments."""
    w2, b2, h2 = (SCALES[name] ** 2 for name in ("sigma_w", "sigma_b", "sigma_h"))
    sums = np.kron(np.eye(n), np.tri(t))  # a state is the start and all increments up to now
    late = np.kron(np.eye(n), np.tri(t, k=-1))
    start = h2 if "h" in train else 0.0
    added, moved = np.zeros_like(kap), np.zeros_like(th)
    for _ in range(t):  # an increment is right when all before it are
        before, past = h2 + late @ added @ late.T, start + late @ moved @ late.T
        p = np.diagonal(before)
        value, slope = oracles.DUALS[activation](before, p[:, None], p[None, :], np.eye(len(p), dtype=bool))
        own = ("W" in train) * w2 * value + ("b" in train) * b2
        added, moved = (w2 * value + b2) * kap, (w2 * value + b2) * th + (w2 * slope * past + own) * kap
    return h2 + sums @ added @ sums.T, start + sums @ moved @ sums.T


@pytest.mark.slow
@pytest.mark.parametrize("activation", ("relu", "erf", "identity"))
def test_two_layers_are_a_plain_loop_over_all_pairs_of_steps(activation: str, x64: None) -> None:
    n, t, d = X.shape
    flat = X.reshape(n * t, d)
    kap, th = flat @ flat.T / d, np.zeros((n * t, n * t))
    for _ in range(2):
        kap, th = controlled_layer(kap, th, n, t, activation)
    layer = Recurrent(ControlledResNet(activation, **SCALES))
    ends = np.arange(t - 1, n * t, t)
    np.testing.assert_allclose(Serial(layer, layer, read="last")(X), (kap + th)[np.ix_(ends, ends)], rtol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("train", ["Wbh", "W", "b", "h"])
def test_each_trained_group_adds_its_own_part(train: str, x64: None) -> None:
    n, t, d = X.shape
    flat = X.reshape(n * t, d)
    _, th = controlled_layer(flat @ flat.T / d, np.zeros((n * t, n * t)), n, t, "erf", train)
    ends = np.arange(t - 1, n * t, t)
    layer = Recurrent(ControlledResNet("erf", **SCALES, train=train))
    got = Serial(layer, read="last", train_readout=False)(X)
    np.testing.assert_allclose(got, th[np.ix_(ends, ends)], rtol=1e-11)


@pytest.mark.slow
def test_without_activation_it_is_the_signature_kernel_of_two_straight_lines(x64: None) -> None:
    layer = Recurrent(ControlledResNet("identity"))
    x, y = (np.full((1, 6, 1), a) for a in (0.7, -1.1))
    want = sum(math.comb(6, k) * math.comb(4, k) * (0.7 * -1.1) ** k for k in range(5))
    got = Serial(layer, read="last", kind="nngp")(x, y, lengths2=[4])
    np.testing.assert_allclose(got, [[want]], rtol=1e-12)


@pytest.mark.slow
def test_shorter_sequences_are_those_cut_off(x64: None) -> None:
    kernel = Serial(Recurrent(ControlledResNet("relu", **SCALES), "both"), Attention(0.5), read="mean")
    inside = np.arange(4)[None, :, None] < RAGGED[:, None, None]
    got, other = (np.asarray(kernel(np.where(inside, X, fill), lengths=RAGGED)) for fill in (0.0, 99.0))
    np.testing.assert_array_equal(got, other)
    for i, a in enumerate(RAGGED):
        np.testing.assert_allclose(got[i, i], kernel(X[i : i + 1, :a])[0, 0], rtol=1e-11)


@pytest.mark.slow
def test_no_increment_moves_nothing_and_sequences_of_zeros_have_the_kernel_of_the_start() -> None:
    kernel = Serial(Recurrent(ControlledResNet("relu", sigma_h=0.5)), read="last")
    np.testing.assert_allclose(kernel(np.zeros((2, 3, 2), np.float32)), 2 * 0.25, rtol=1e-6)
    silent = Serial(Recurrent(ControlledResNet("relu", sigma_h=0.0)), read="last")
    np.testing.assert_array_equal(silent(X.astype(np.float32)), 0)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_wide_networks_have_this_kernel(activation: str, x64: None) -> None:
    kernel = Serial(Recurrent(ControlledResNet(activation, **SCALES)), read="last")
    net = kernel.finite(192)
    draws = [np.asarray(empirical.NTK(net.apply, net.init(jax.random.key(k), X[0]))(X[:2])) for k in range(24)]
    mean, error = np.mean(draws, axis=0), np.std(draws, axis=0) / 24**0.5
    want = np.asarray(kernel(X[:2]))
    assert np.all(np.abs(mean - want) < 4 * error + 0.02 * np.abs(want))
    assert np.all(error < 0.1 * np.abs(want[0, 0]))


@pytest.mark.slow
def test_the_derivative_in_the_scale_of_the_start_is_that_of_finite_differences(x64: None) -> None:
    value = jax.jit(lambda s: jnp.sum(Serial(Recurrent(ControlledResNet("erf", sigma_h=s)), read="mean")(X)))
    slope = (value(0.7 + 1e-5) - value(0.7 - 1e-5)) / 2e-5
    assert float(jax.grad(value)(0.7)) == pytest.approx(float(slope), rel=1e-5)


NETS: dict[str, Any] = {
    "relu": (Recurrent(ControlledResNet("relu", 0.9, 0.2)),),
    "erf": (Recurrent(ControlledResNet("erf", 1.2)),),
    "identity, relu": (Recurrent(ControlledResNet("identity", 0.7)), "relu"),
    "stacked": (Recurrent(ControlledResNet("relu", 0.6)), Linear(1.4), "relu", Recurrent(Elman("erf"), "both")),
}


@pytest.mark.slow
@pytest.mark.parametrize(("apart", "t"), ((0.0, 8), (1e-4, 8), (1e-3, 8), (1.0, 8), (1e-2, 60)))
@pytest.mark.parametrize("name", NETS)
def test_what_is_stated_holds_what_single_precision_loses(name: str, apart: float, t: int) -> None:
    rng = np.random.default_rng(0)
    x = 1.2 * t**-0.5 * rng.standard_normal((6, t, 2))
    x[3:] = x[:3] + apart * t**-0.5 * rng.standard_normal((3, t, 2))
    error, stated = lost_and_stated(Serial(*NETS[name], read="last"), x.astype(np.float32))
    assert error < stated < (8e-3 if t == 8 else 2e-2)


@pytest.mark.slow
def test_a_straight_path_of_many_steps_keeps_its_digits() -> None:
    x = np.linspace(0.5, 1.5, 6)[:, None, None] * np.full((1, 200, 1), 2 / 200)
    error, stated = lost_and_stated(Serial(Recurrent(ControlledResNet("erf")), read="last"), x.astype(np.float32))
    assert error < stated < 8e-3
