"""Does the recurrent kernel compile once, differentiate, and refuse what it cannot take?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import activations
from ntkseq.kernels import Recurrent
from ntkseq.kernels import recurrent as module

N, T, D = np.meshgrid(np.arange(3), np.arange(4), np.arange(2), indexing="ij")
X = np.sin(1 + N + 2 * T + 3 * D) + 0.5 * np.cos(N * T + D)  # the inputs of golden.json


@pytest.mark.slow
def test_a_sweep_over_a_scale_compiles_once(x64) -> None:
    kernel = Recurrent(sigma_b=0.3)
    kernel(X)
    before = [f._cache_size() for f in (module._prepare, module._tile, module._diag)]
    values = [float(kernel.with_(sigma_w=s, sigma_u=2 * s)(X)[0, 1]) for s in (0.5, 0.7, 1.9)]
    assert before == [f._cache_size() for f in (module._prepare, module._tile, module._diag)]
    assert len(set(values)) == 3


@pytest.mark.slow
def test_vmap_over_a_scale_is_the_loop_over_it(x64) -> None:
    kernel, scales = Recurrent(sigma_b=0.3), jnp.asarray([0.5, 1.0, 1.9])
    got = jax.vmap(lambda s: kernel.with_(sigma_w=s)(X))(scales)
    np.testing.assert_allclose(got, [kernel.with_(sigma_w=float(s))(X) for s in scales], rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("activation", [*activations.names(), "relu, mean"])
def test_gradients_agree_with_differences_at_duplicates_too(activation: str, x64: None) -> None:
    name, *read = activation.split(", ")
    act = activations.get(name)
    if isinstance(act, activations.Smooth):
        act = activations.Smooth(act.function, 24, act.parity)
    kernel = Recurrent(1.2, 1.1, 0.3, 0.9, 0.4, act, h0="shared", read=read[0] if read else "last")
    kernel = jax.tree.map(jnp.float64, kernel)
    x = jnp.asarray(X).at[2].set(X[0])  # a duplicate
    weights = jnp.asarray([[1.0, 0.3, -0.7], [0.2, -0.4, 0.6], [0.9, 0.1, 0.5]])
    f = jax.jit(lambda k, x: jnp.sum(weights * k(x, lengths=np.array([4, 4, 4]))))
    slopes = jax.jit(jax.grad(f, argnums=(0, 1)))(kernel, x)
    leaves, structure = jax.tree.flatten((kernel, x))
    rng = np.random.default_rng(0)
    for i, (leaf, slope) in enumerate(zip(leaves, jax.tree.leaves(slopes), strict=True)):
        along = jnp.asarray(rng.standard_normal(leaf.shape))
        h = 1e-5
        up, down = (
            f(*jax.tree.unflatten(structure, [*leaves[:i], leaf + sign * h * along, *leaves[i + 1 :]]))
            for sign in (1, -1)
        )
        got = float(jnp.sum(slope * along))
        # a kink at the duplicate: the difference quotient is then right to order h only
        assert got == pytest.approx(float(up - down) / (2 * h), rel=1e-6, abs=1e-4 if leaf.ndim else 1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "erf", "gelu", "sin"])
def test_second_derivatives_are_finite_at_duplicates(activation: str) -> None:
    kernel = jax.tree.map(jnp.float32, Recurrent(activation=activation, sigma_b=0.3))
    x = jnp.asarray(X[[0, 1, 0], :2], jnp.float32)

    def f(s: jax.Array, x: jax.Array) -> jax.Array:
        return jnp.sum(kernel.with_(sigma_w=s[0], sigma_b=s[1])(x))

    for leaf in jax.tree.leaves(jax.jit(jax.hessian(f, argnums=(0, 1)))(jnp.asarray([1.2, 0.3]), x)):
        assert np.isfinite(leaf).all()


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "erf", "gelu"])
@pytest.mark.parametrize("steps", [1, 4])
def test_second_derivatives_agree_with_differences_of_first(activation: str, steps: int, x64: None) -> None:
    """Forward over reverse is the hard case: there JAX drops custom rules inside a scan."""
    x = jnp.asarray(X[:, :steps])

    def f(s: jax.Array) -> jax.Array:
        return jnp.sum(Recurrent(s[0], s[1], s[2], activation=activation)(x + 0.1 * s[3] * jnp.cos(7 * x)))

    at = jnp.asarray([1.2, 0.9, 0.3, 0.5])
    slope = jax.jit(jax.grad(f))
    hessian = jax.jit(jax.hessian(f))(at)
    differences = [(slope(at.at[i].add(1e-5)) - slope(at.at[i].add(-1e-5))) / 2e-5 for i in range(4)]
    np.testing.assert_allclose(hessian, np.stack(differences), rtol=1e-7, atol=1e-7)


# -------------------------------------------------------------------------------------------------------- bad input

F32 = X.astype(np.float32)


def changed(at: tuple[int, ...], value: float) -> np.ndarray:
    x = F32.copy()
    x[at] = value
    return x


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Recurrent(sigma_w=-1.0), "sigma_w must be a finite standard deviation >= 0; got -1.0"),
        (lambda: Recurrent(sigma_u=np.nan), "sigma_u must be a finite"),
        (lambda: Recurrent(sigma_b=np.inf), "sigma_b must be a finite"),
        (lambda: Recurrent(sigma_r="1"), "sigma_r must be a standard deviation, a number >= 0; got '1'"),
        (lambda: Recurrent(sigma_h=None), "sigma_h must be a standard deviation"),
        (lambda: Recurrent(depth=0), "depth must be an integer >= 1; got 0"),
        (lambda: Recurrent(activation="swish"), "activation must be one of 'relu'.*got 'swish'"),
        (lambda: Recurrent(read="first"), "read must be one of 'last', 'mean', 'sum', 'steps'; got 'first'"),
        (lambda: Recurrent(direction="up"), "direction must be one of 'forward', 'reversed', 'both'; got 'up'"),
        (lambda: Recurrent(h0="random"), "h0 must be one of 'zero', 'shared', 'independent'; got 'random'"),
        (lambda: Recurrent(input_scale="d"), "input_scale must be one of 'dim', 'none'; got 'd'"),
        (lambda: Recurrent(kind="gp"), "kind must be one of 'ntk', 'nngp'; got 'gp'"),
        (lambda: Recurrent(param="standard"), "param must be one of 'ntk', 'raw'; got 'standard'"),
        (lambda: Recurrent(train="WX"), "train must be a string of letters out of 'WUbR'.*got 'WX'"),
        (lambda: Recurrent(train="WW"), "train must be .*got 'WW'"),
        (lambda: Recurrent(depth=2, train=("W",)), r"train must be .*2 such strings.*got \('W',\)"),
        (lambda: Recurrent(sigma_w=np.ones(3), depth=2)(F32), r"sigma_w must be .*shape \(2,\).*got shape \(3,\)"),
        (lambda: Recurrent()(F32[0]), r"x must have shape \(n, t, d\); got \(4, 2\)"),
        (lambda: Recurrent()(F32[:0]), r"at least one example, step and feature; got shape \(0, 4, 2\)"),
        (lambda: Recurrent()(F32[:, :0]), r"at least one example, step and feature; got shape \(3, 0, 2\)"),
        (lambda: Recurrent()([[1.0], [2.0, 3.0]]), "must be an array of numbers.*pad"),
        (lambda: Recurrent()(changed((1, 2, 0), np.nan)), r"x must be finite; got 1 NaN.*\(1, 2, 0\)"),
        (lambda: Recurrent()(changed((0, 0, 1), np.inf)), "x must be finite"),
        (lambda: Recurrent()(F32 * 1j), "x must be real; got dtype complex64"),
        (lambda: Recurrent()(F32, lengths=np.array([4, 0, 2])), r"lengths of x must lie in 1\.\.4.*got 0\.\.4"),
        (lambda: Recurrent()(F32, lengths=np.array([4, 5, 2])), r"lengths of x must lie in 1\.\.4.*got 2\.\.5"),
        (lambda: Recurrent()(F32, lengths=np.array([4.0, 2.0, 2.0])), "lengths of x must be integers; got dtype float"),
        (lambda: Recurrent()(F32, lengths=np.array([4, 2])), r"lengths of x must have shape \(3,\).*got \(2,\)"),
        (lambda: Recurrent()(1e30 * F32), "overflow float32 within 4 steps.*Lower sigma_w"),
        (lambda: Recurrent(activation="erf")(1e15 * F32), "overflow float32"),
        (lambda: Recurrent(sigma_w=1e10)(F32), "overflow float32"),
    ],
)
def test_wrong_input_is_refused_with_words(call, words) -> None:
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.slow
def test_large_inputs_of_a_relu_network_are_right_until_they_overflow() -> None:
    """The two-float variances overflow long before float32 does; they once came back as zero, and so did the kernel."""
    one, large = np.asarray(Recurrent()(F32), float), np.asarray(Recurrent()(F32 * 2.0**58), float)
    np.testing.assert_allclose(large, one * 2.0**116, rtol=1e-5)


@pytest.mark.slow(but=["3.0-relu"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("sigma_w", [1.9, 3.0])
def test_exploding_variances_are_finite_or_a_clear_error(activation, sigma_w) -> None:
    x = np.random.default_rng(0).standard_normal((3, 64, 2)).astype(np.float32)
    try:
        assert np.isfinite(Recurrent(sigma_w=sigma_w, activation=activation)(x)).all()
    except ValueError as error:
        assert "overflow float32 within 64 steps" in str(error)
