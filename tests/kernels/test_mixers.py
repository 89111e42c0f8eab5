"""Are convolutions and gated units what they are in simple cases, and do they say what single precision loses?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq.blocks import GLU, Attention, Convolution, Linear, Residual
from ntkseq.kernels.layers import shift
from ntkseq.kernels.serial import Serial
from tests.kernels.precision import lost_and_stated

X = np.random.default_rng(1).standard_normal((3, 4, 2))
RAGGED = np.array([4, 2, 3])


@pytest.mark.slow
@pytest.mark.parametrize("causal", [False, True])
def test_a_convolution_of_one_tap_is_a_linear_block(causal: bool, x64: None) -> None:
    got = Serial(Linear(), "relu", Convolution(1, causal, 1.2, 0.3), read="sum")(X, lengths=RAGGED)
    np.testing.assert_allclose(
        got, Serial(Linear(), "relu", Linear(1.2, 0.3), read="sum")(X, lengths=RAGGED), rtol=1e-13
    )


@pytest.mark.slow
def test_a_causal_network_reads_at_a_token_what_it_reads_of_the_prefix(x64: None) -> None:
    kernel = Serial(Convolution(3), "erf", Convolution(2), "relu", read="last")
    np.testing.assert_allclose(kernel(X, lengths=RAGGED)[1, 1], kernel(X[1:2, :2])[0, 0], rtol=1e-12)
    centred = Serial(Convolution(3, causal=False), "erf", read="first")
    assert abs(centred(X)[0, 0] - centred(X[:1, :1])[0, 0]) > 1e-3


@pytest.mark.slow
def test_a_gate_without_weights_is_a_number(x64: None) -> None:
    # sigma_w = 0 and one bias: phi of one Gaussian number, E relu(b)^2 = 1/2
    gate = Linear(0.0, 1.0, train="")
    got = Serial(Linear(), GLU("relu", Linear(1.2, 0.3), gate), Linear())(X)
    np.testing.assert_allclose(got, Serial(Linear(), Linear(1.2 * 0.5**0.5, 0.3 * 0.5**0.5), Linear())(X), rtol=1e-12)


@pytest.mark.parametrize("by", [-7, -2, -1, 0, 1, 3, 4, 9])
def test_what_is_moved_leaves_zeros(by: int) -> None:
    a = np.arange(1.0, 9.0).reshape(2, 4)
    want = [[row[i - by] if 0 <= i - by < 4 else 0 for i in range(4)] for row in a]
    np.testing.assert_array_equal(shift(jnp.asarray(a), 1, by), want)


NETS: dict[str, tuple[Any, ...]] = {
    "convolutions": (Convolution(3, causal=False), "relu", Convolution(2, sigma_b=0.2), "relu"),
    "gated, relu": (Linear(), GLU("relu"), Convolution(2), "relu"),
    "gated, erf": (Linear(), GLU("erf", gate=Linear(1.3)), Linear(1.2), "relu"),
    "gated, a series": (Linear(), GLU("sigmoid"), Linear(1.2), "relu"),
    "beside attention": (Linear(), Residual(Convolution(3)), Attention(), GLU("relu"), Convolution(3, causal=False)),
}


@pytest.mark.slow
@pytest.mark.parametrize("near", [True, False])
@pytest.mark.parametrize("name", NETS)
def test_what_is_stated_holds_what_single_precision_loses(name: str, near: bool) -> None:
    x = np.random.default_rng(0).standard_normal((5, 8, 3)).astype(np.float32)
    if near:
        x[1], x[3] = x[0] + 1e-4 * x[2], x[0]
        x[3, -1] *= 1.001
    error, stated = lost_and_stated(Serial(*NETS[name]), x)
    assert error < stated
    if name in ("convolutions", "gated, relu"):
        assert error < 6e-7 and stated < 1e-4


@pytest.mark.slow
def test_gradients_are_those_of_finite_differences(x64: None) -> None:
    def value(s: jax.Array) -> jax.Array:
        parts = (
            Convolution(3, False, s[0], s[1]),
            "relu",
            Convolution(2, sigma_w=s[2], sigma_b=s[3]),
            GLU("erf", Linear(s[4], s[5]), Linear(s[6], s[7])),
        )
        return jnp.sum(Serial(*parts)(X, lengths=RAGGED) * jnp.arange(9.0).reshape(3, 3))

    s = jnp.array([1.1, 0.8, 0.3, 0.7, 1.2, 0.4, 1.3, 0.2])
    run, h = jax.jit(value), 1e-5
    wanted = [(run(s.at[k].add(h)) - run(s.at[k].add(-h))) / (2 * h) for k in range(s.size)]
    np.testing.assert_allclose(jax.jit(jax.grad(value))(s), wanted, rtol=1e-6)
