"""Do kernels add, scale and refuse each other as the interface says?"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import _checks, gram, kernels, spectrum
from ntkseq._struct import struct
from ntkseq.bounds import rademacher
from ntkseq.kernels import Dense, Kernel, Recurrent, Scaled, Sum

X = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)


@struct
class Linear(Kernel):
    """The least that a kernel has to say."""

    scale: Any = 1.0

    def prepare(self, x: Any, lengths: Any = None) -> jax.Array:
        return _checks.matrix("x", x)

    def tile(self, left: jax.Array, right: jax.Array) -> jax.Array:
        return self.scale * jnp.einsum("id,jd->ij", left, right, precision="highest")


@pytest.mark.slow
def test_a_kernel_of_prepare_and_tile_has_a_diagonal_and_a_matrix() -> None:
    kernel = Linear(2.0)
    np.testing.assert_allclose(kernel(X), 2 * X @ X.T, rtol=1e-6)
    np.testing.assert_allclose(kernel(X, X[:2]), 2 * X @ X[:2].T, rtol=1e-6)
    np.testing.assert_array_equal(kernel.diag(X), np.diagonal(kernel(X)))
    assert kernel.entry_rounding(kernel.prepare(X)) == 32 * np.finfo(np.float32).eps


def test_sums_and_multiples_have_the_values_of_their_parts() -> None:
    K = np.asarray(Linear()(X))
    np.testing.assert_allclose((Linear(1.0) + Linear(3.0))(X), 4 * K, rtol=1e-6)
    np.testing.assert_allclose((0.5 * Linear())(X, X), K / 2, rtol=1e-6)
    np.testing.assert_allclose((Linear() * 2)(X), 2 * K, rtol=1e-6)
    total = 2.0 * (Linear() + Linear(0.5)) + Linear()
    assert isinstance(total, Sum) and isinstance(total.first, Scaled)
    np.testing.assert_allclose(total(X), 4 * K, rtol=1e-6)
    np.testing.assert_allclose(total.diag(X), 4 * np.diagonal(K), rtol=1e-6)


@struct
class Rough(Linear):
    """With an error of its own in float32, which 32 eps do not cover."""

    def tile(self, left: jax.Array, right: jax.Array) -> jax.Array:
        return (1.0 + 5e-2 * float(jnp.finfo(left.dtype).eps) ** 0.5) * super().tile(left, right)


@pytest.mark.slow
def test_a_kernel_that_states_no_rounding_is_measured_and_certifies_nothing() -> None:
    one, two = Linear(), Rough()
    for kernel in (one, two, 2.0 * one + two, two + Dense()):
        assert "not stated by this kernel" in kernel.estimated and gram(kernel, X).estimated
    assert two.entry_rounding(two.prepare(X)) > 300 * np.finfo(np.float32).eps
    K = gram(two, X)
    assert np.linalg.norm(np.asarray(K, np.float64) - X.astype(np.float64) @ X.T.astype(np.float64)) <= K.rounding
    assert "not stated" in spectrum(K).estimated
    assert not rademacher(K, [1.0, -1.0, 1.0], reg=0.1).certified
    assert not Dense().estimated and not Recurrent().estimated


def test_what_cannot_be_measured_in_float64_promises_nothing() -> None:
    fixed = Linear(jnp.float32(2.0))
    half = jax.jit(lambda side: fixed.entry_rounding(side) * jnp.ones(()))
    assert half(fixed.prepare(X)) == np.inf


@pytest.mark.slow
def test_the_factor_is_a_leaf() -> None:
    grad = jax.grad(lambda k: k(X).sum())(Scaled(Linear(), 3.0))
    assert float(grad.factor) == pytest.approx(float(Linear()(X).sum()), rel=1e-5)


def test_a_double_factor_leaves_single_data_single(x64) -> None:
    assert (np.float64(0.3) * Linear())(jnp.asarray(X)).dtype == jnp.float32


@pytest.mark.slow
def test_the_rounding_of_a_sum_is_that_of_its_worse_part_and_a_little() -> None:
    one, two = Linear(), Dense(activation="identity", depth=40)
    worse = max(one.entry_rounding(one.prepare(X)), two.entry_rounding(two.prepare(X)))
    total = one + two
    assert worse < total.entry_rounding(total.prepare(X)) < 1.1 * worse


KERNELS = [kind for name in kernels.__all__ if isinstance(kind := getattr(kernels, name), type)]


@pytest.mark.parametrize("kind", [kind for kind in KERNELS if issubclass(kind, Kernel) and kind is not Kernel])
def test_no_argument_of_a_kernel_hides_a_method_of_all_kernels(kind: type[Any]) -> None:
    """`LeakyRecurrent(keep=...)(x)` said that a float is not callable."""
    assert {field.name for field in dataclasses.fields(kind)}.isdisjoint(dir(Kernel))


def test_only_kernels_add_and_only_numbers_multiply() -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        Linear() + 1.0  # pyright: ignore
    with pytest.raises(TypeError, match="unsupported operand"):
        Linear() * Linear()


def test_a_copy_has_what_was_changed_and_is_checked() -> None:
    kernel = (Linear(2.0) + Dense(sigma_b=0.3)).with_(first=Linear(5.0))
    assert isinstance(kernel.first, Linear) and kernel.first.scale == 5.0
    assert isinstance(kernel.second, Dense) and kernel.second.sigma_b == 0.3
    assert Dense(sigma_b=0.3).with_(depth=2).sigma_b == 0.3
    with pytest.raises(ValueError, match="depth must be an integer >= 1; got 0"):
        Dense().with_(depth=0)


def test_a_copy_of_another_depth_trains_in_every_layer_what_all_layers_trained() -> None:
    assert Recurrent().with_(depth=3).train == Recurrent(depth=3).train
    assert Recurrent(depth=2, train="Wb").with_(depth=1).train == ("Wb",)
    assert Recurrent(depth=2, train=("W", "WR")).with_(depth=3).train == ("WR",) * 3
    assert Recurrent().with_(depth=2, train=("W", "U")).train == ("W", "U")
    with pytest.raises(ValueError, match="train must be"):
        Recurrent(depth=2, train=("W", "UR")).with_(depth=3)


@pytest.mark.parametrize(
    "kernel",
    [
        Dense(), Recurrent(), kernels.LinearRecurrent(), kernels.LeakyRecurrent(), kernels.Bidirectional(),
        kernels.Gated(), kernels.Attention(),
    ],
    ids=lambda kernel: type(kernel).__name__,
)  # fmt: skip
def test_only_the_limit_of_a_tangent_kernel_has_a_network(kernel) -> None:
    assert type(kernel.finite(8)).__name__ in (type(kernel).__name__, "Recurrent")
    with pytest.raises(ValueError, match=r"finite\(\) gives the network .*; got kind='nngp'.*Use kind=\"ntk\""):
        kernel.with_(kind="nngp").finite(8)


def test_raw_gradients_have_no_network() -> None:
    with pytest.raises(ValueError, match=r"got kind='ntk', param='raw', no .* Use kind=\"ntk\", param=\"ntk\""):
        Recurrent(param="raw").finite(8)


SEQUENCES = np.ones((2, 3, 2), np.float32)


@pytest.mark.slow(
    cases=[
        "<lambda>-overflow.*float32",
        "<lambda>-x1 and x2 must agree after the first axis.*pad",
        "<lambda>-x1 and x2 must agree.*features",
    ]
)
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: -1.0 * Linear(), "factor must be a finite .* >= 0; got -1.0"),
        (lambda: Scaled(Linear(), np.nan), "factor must be a finite"),
        (lambda: Recurrent()(SEQUENCES, SEQUENCES[:, :, :1]), r"x1 and x2 must agree.*features"),
        (lambda: Recurrent()(SEQUENCES, SEQUENCES[:, :2]), r"x1 and x2 must agree after the first axis.*pad"),
        (lambda: Linear()(X, X[:, :3]), r"agree after the first axis.*\(4,\).*\(3,\)"),
        (lambda: Linear()(X, X.astype(np.float16)), "one dtype; got .*float16.*float32.*Cast"),
        (lambda: (Linear() + Linear())(X, X[:, :3]), "agree after the first axis"),
        (lambda: Dense()(X[0]), r"x must have shape \(n, d\); got \(4,\)"),
        (lambda: Dense()(X, lengths=np.ones(3, int)), "have no lengths"),
        (lambda: Dense(train="WU"), "train must be .*'WbR'.*got 'WU'"),
        (lambda: Dense(depth=0), "depth must be an integer >= 1; got 0"),
        (lambda: Dense(sigma_b=-1.0), "sigma_b must be a finite standard deviation >= 0; got -1.0"),
        (lambda: Dense(kind="cntk"), "kind must be one of 'ntk', 'nngp'; got 'cntk'"),
        (lambda: Dense(activation="swish"), "activation must be one of .*got 'swish'"),
        (lambda: Dense()(np.full((2, 3), 1e30, np.float32)), "overflow.*float32"),
    ],
)
def test_wrong_inputs_are_refused_with_words(call, words) -> None:
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("t", [4, 3])  # as many steps as examples, and fewer
def test_a_list_of_arrays_is_one_array_of_examples(t):
    x = np.random.default_rng(0).normal(size=(4, t, 2)).astype(np.float32)
    x[1] *= 1e-15  # looked at once more in float64, as that example
    kernel = 0.5 * kernels.Recurrent()
    np.testing.assert_array_equal(kernel(list(x)), kernel(x))
    np.testing.assert_array_equal(kernel.diag(list(map(jnp.asarray, x))), kernel.diag(x))
