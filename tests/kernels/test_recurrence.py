"""Is a recurrent block the recurrent kernel of its own, in any company, and does it say what single precision loses?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import kernels
from ntkseq.blocks import Attention, Linear, Recurrent
from ntkseq.cells import Elman
from ntkseq.kernels.serial import Serial
from tests.kernels.precision import lost_and_stated

X = np.random.default_rng(1).standard_normal((3, 4, 2))
RAGGED = np.array([4, 2, 3])
SCALES = {"sigma_w": 1.3, "sigma_u": 0.9, "sigma_b": 0.2}


@pytest.mark.slow
@pytest.mark.parametrize("activation", ("relu", "erf", "identity", "tanh"))
@pytest.mark.parametrize("read", ["last", "mean"])
def test_a_stack_is_that_of_the_kernel_for_stacks(activation: str, read: str, x64: None) -> None:
    layer = Recurrent(Elman(activation, **SCALES))
    got = Serial(layer, layer, read=read)(X, lengths=RAGGED)
    want = kernels.Recurrent(activation=activation, depth=2, read=read, **SCALES)(X, lengths=RAGGED)
    np.testing.assert_allclose(got, want, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ("relu", "erf"))
def test_two_layers_in_both_directions_are_the_bidirectional_kernel(activation: str, x64: None) -> None:
    layer = Recurrent(Elman(activation, **SCALES), "both")
    want = kernels.Bidirectional(activation=activation, depth=2, **SCALES)(X, lengths=RAGGED)
    np.testing.assert_allclose(Serial(layer, layer)(X, lengths=RAGGED), want, rtol=1e-12)


@pytest.mark.slow
def test_reversed_is_forward_on_turned_sequences(x64: None) -> None:
    turned = np.array([[*row[:length][::-1], *row[length:]] for row, length in zip(X, RAGGED, strict=True)])
    parts = lambda way: (Recurrent(Elman("erf", **SCALES), way),)  # noqa: E731
    got = Serial(*parts("reversed"), read="mean")(X, lengths=RAGGED)
    np.testing.assert_allclose(got, Serial(*parts("forward"), read="mean")(turned, lengths=RAGGED), rtol=1e-12)


NETS = {
    "critical relu": (Recurrent(Elman(sigma_w=2**0.5, sigma_b=0.1)),),
    "relu that forgets": (Recurrent(Elman(sigma_w=0.7)),),
    "chaotic erf": (Recurrent(Elman("erf", 3.0, sigma_b=0.1)),),
    "linear": (Recurrent(Elman("identity", sigma_b=0.1)),),
    "relu, both ways, twice": (Recurrent(Elman(sigma_w=2**0.5), "both"), Recurrent(Elman(sigma_w=1.2), "both")),
    "between attention": (Recurrent(Elman("erf", 1.2)), Attention(), Recurrent(Elman(sigma_w=1.2), "reversed")),
    "kink behind it": (Recurrent(Elman("erf", 1.2)), Linear(), "relu"),
}


@pytest.mark.slow(but=["critical relu-True"])
@pytest.mark.parametrize("near", [False, True])
@pytest.mark.parametrize("name", NETS)
def test_what_is_stated_holds_what_single_precision_loses(name: str, near: bool) -> None:
    t = 20
    x = np.random.default_rng(0).standard_normal((5, t, 3)).astype(np.float32)
    if near:
        x[1], x[3] = x[0] + 1e-4 * x[2], x[0]
        x[3, -1] *= 1.001
    kernel = Serial(*NETS[name])
    error, stated = lost_and_stated(kernel, x)
    assert error < stated
    if name in ("critical relu", "relu that forgets") and not near:
        assert stated < min(2e-5, 100 * error)  # measured 14 and 36 times


@pytest.mark.slow
def test_roundings_pile_up_over_a_long_critical_recurrence() -> None:
    x = np.random.default_rng(0).standard_normal((4, 100, 3)).astype(np.float32)
    kernel = Serial(*NETS["critical relu"], read="last")
    error, stated = lost_and_stated(kernel, x)
    assert 5e-6 < error < stated < 10 * error  # measured 7e-6, 3.5 times


@pytest.mark.slow
def test_gradients_are_those_of_finite_differences(x64: None) -> None:
    def value(s: jax.Array) -> jax.Array:
        parts = (
            Recurrent(Elman("erf", s[0], s[1], s[2]), "both"),
            Attention(s[3]),
            Recurrent(Elman(sigma_w=s[4], sigma_b=s[2]), "reversed"),
        )
        return jnp.sum(Serial(*parts)(X, lengths=RAGGED) * jnp.arange(9.0).reshape(3, 3))

    s = jnp.array([1.1, 0.8, 0.3, 0.7, 1.2])
    run, h = jax.jit(value), 1e-5
    wanted = [(run(s.at[k].add(h)) - run(s.at[k].add(-h))) / (2 * h) for k in range(s.size)]
    np.testing.assert_allclose(jax.jit(jax.grad(value))(s), wanted, rtol=1e-6)
