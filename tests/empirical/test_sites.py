"""Is a kernel that of the explicit Jacobian for every pair of dtypes that may meet at a site, complex ones included?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from ntkseq.empirical.ntk import NTK
from tests import oracles

N, D, C = 3, 4, 3
WHOLE = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32")
REAL = ("float8_e4m3fn", "bfloat16", "float16", "float32", "float64")
COMPLEX = ("complex64", "complex128")
LEAVES = ("bfloat16", "float16", "float32", "float64")


def inputs(dtype: str, *shape: int) -> jax.Array:
    rng = np.random.default_rng(0)
    if dtype in WHOLE:
        return jnp.asarray(rng.integers(0, 2 if dtype == "bool" else 5, (N, *shape)).astype(dtype))
    values = rng.standard_normal((N, *shape))
    return jnp.asarray(values + 1j * rng.standard_normal(values.shape) if dtype in COMPLEX else values).astype(dtype)


def weights(dtype: str, *shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(1).standard_normal(shape)).astype(dtype)


def read(z: jax.Array) -> jax.Array:
    """A real number that depends on all entries, and on both of their parts, in another way on each."""
    z = z.astype(jnp.complex128)
    turn = jnp.asarray(np.random.default_rng(2).standard_normal(z.shape))
    return jnp.sum(jnp.sin(z.real + turn) * jnp.cos(z.imag - turn) + 0.3 * jnp.abs(z + 0.1) ** 2)


def eps(*dtypes: Any) -> float:
    return max(float(jnp.finfo(d).eps) for d in dtypes if jnp.issubdtype(d, jnp.inexact))


Met = Callable[[jax.Array, jax.Array], jax.Array]


def product(left: bool = False, to: str | None = None) -> Met:
    """Without batch axes, the parameter on either side, with a dtype of the result that is asked for."""

    def met(x: jax.Array, w: jax.Array) -> jax.Array:
        a, b = (w, x) if left else (x, w)
        axes = (((0,), (1,)), ((), ())) if left else (((1,), (0,)), ((), ()))
        return lax.dot_general(a, b, axes, preferred_element_type=to)

    return met


def batched(x: jax.Array, w: jax.Array) -> jax.Array:
    """A matrix for each step."""
    return lax.dot_general(x.reshape(2, 2, 2), w.reshape(2, 2, C), (((2,), (1,)), ((0,), (0,))))


def convolved(x: jax.Array, w: jax.Array) -> jax.Array:
    """Of equal dtypes only: that of the one that is not whole, complex if one is."""
    kind = w.dtype if x.dtype.name in WHOLE else x.dtype
    x, filters, numbers = x.reshape(1, D, 2).astype(kind), w.reshape(2, 2, C).astype(kind), ("NWC", "WIO", "NWC")
    return lax.conv_general_dilated(x, filters, (1,), "SAME", dimension_numbers=numbers)


CASES: dict[str, tuple[Met, tuple[str, ...]]] = {
    "product": (product(), WHOLE + REAL + COMPLEX),
    "parameter on the left": (product(left=True), WHOLE + REAL + COMPLEX),
    "parameter turned": (lambda x, w: product()(x, w.astype(jnp.complex64) * (0.6 - 0.8j)), WHOLE + REAL + COMPLEX),
    "batched": (batched, WHOLE + REAL + COMPLEX),
    "convolved": (convolved, WHOLE + REAL[1:] + COMPLEX),
    "to float32": (product(to="float32"), ("bool", "int8", "int32", "uint8", "bfloat16", "float32", "complex64")),
    "to complex": (product(to="complex64"), ("int8", "float32", "complex64")),
    "to bfloat16": (product(to="bfloat16"), ("int8", "bfloat16", "float32")),
}
# where the parameter passes through another dtype, its derivative is rounded there, by JAX's own Jacobian too
THROUGH = {"parameter turned": ("complex64",)}


def allowed(met: Met, x: jax.Array, w: jax.Array) -> bool:
    """Whether lax multiplies them: a result narrower than both, it does not."""
    try:
        jax.eval_shape(met, x, w)
    except TypeError:
        return False
    return True


def agrees(name: str, leaves: tuple[str, ...], kinds: tuple[str, ...], methods: tuple[str, ...]) -> None:
    """One function with an output for each pair of dtypes, so that uses of one leaf are of all kinds."""
    met = CASES[name][0]
    x = {kind: inputs(kind, 2, D) for kind in kinds}
    params = {leaf: weights(leaf, D, C) for leaf in leaves}
    pairs = [(leaf, kind) for leaf in leaves for kind in kinds if allowed(met, x[kind][0], params[leaf])]
    f = lambda p, x: jnp.stack([read(met(x[kind], p[leaf])) for leaf, kind in pairs])  # noqa: E731
    exact = np.einsum("nmoo->nmo", oracles.explicit_ntk(f, params, x))
    results = [jax.eval_shape(met, x[kind][0], params[leaf]).dtype for leaf, kind in pairs]
    most = [16 * eps(result, leaf, *THROUGH.get(name, ())) for result, (leaf, _) in zip(results, pairs, strict=True)]
    for method in methods:
        K = np.asarray(NTK(f, params, outputs="diagonal", method=method)(x), np.float64)
        gaps = np.abs(K - exact).max(axis=(0, 1)) / np.abs(exact).max(axis=(0, 1))
        bad = {pair: gap for pair, gap, tolerance in zip(pairs, gaps, most, strict=True) if not gap <= tolerance}
        assert not bad, (method, bad)
    assert "jacobian" not in [part.order for part in NTK(f, params, method="structured").plan(x).parts]


def test_data_of_every_kind_meet_a_float32_weight(x64) -> None:
    agrees("product", ("float32",), ("bool", "uint8", "int32", "bfloat16", "complex64"), ("structured",))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_every_pair_of_dtypes(x64, name: str) -> None:
    agrees(name, LEAVES, CASES[name][1], ("structured", "products"))
