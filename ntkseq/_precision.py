"""Which precision do products and constants have, and which derivative a root at zero?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq._types import AnyArray, DType


def product(subscripts: str, *operands: jax.Array) -> jax.Array:
    """`einsum` at full precision: on accelerators the float32 default is TF32 or bf16, which an eigenvalue sees."""
    return jnp.einsum(subscripts, *operands, precision="highest")


def wide(*dtypes: Any) -> np.dtype:
    """The dtype in which sums are held: the widest of these, float32 at least."""
    widest = max((jnp.dtype(dtype) for dtype in dtypes), key=lambda dtype: jnp.finfo(dtype).bits)
    return widest if jnp.finfo(widest).bits >= 32 else jnp.dtype(jnp.float32)


def normal(key: jax.Array, shape: tuple[int, ...], dtype: DType) -> jax.Array:
    """Standard normal numbers, drawn in float32 at least and rounded.

    Drawn in bfloat16 they would have 128 values, the mean -0.012 and none above 2.6 (jax 0.10 to 0.12, whose uniform
    numbers have as many bits as the mantissa); in float16 1024 values. Bit for bit `jax.random.normal` otherwise.
    """
    return jax.random.normal(key, shape, wide(dtype)).astype(dtype)


def is_complex(dtype: DType) -> bool:
    """Whether numbers of this dtype have imaginary parts."""
    return jnp.issubdtype(dtype, jnp.complexfloating)


def real_dtype(dtype: DType) -> np.dtype:
    """The dtype of the parts of a complex number; that of a real one itself."""
    return jnp.finfo(dtype).dtype


def safe_sqrt(x: jax.Array) -> jax.Array:
    """sqrt with derivative 0 at 0."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), 0)


def x64() -> bool:
    """Whether JAX is in its 64-bit mode, in this thread."""
    return jnp.result_type(float) == jnp.float64


def handed(values: AnyArray) -> AnyArray:
    """An array for JAX; for NumPy where JAX, in its 32-bit mode, would round float64 to float32."""
    wide = values.dtype == np.float64 and not x64()
    return np.asarray(values) if wide else jnp.asarray(values)


def setting(x64: bool) -> Any:
    """A `with` under which JAX computes as where something was made: helpers of a thread do not see its setting."""
    return jax.enable_x64(x64)


def eps(dtype: object) -> float:
    """The spacing of 1.0 in `dtype`, as a Python float."""
    return float(jnp.finfo(dtype).eps)  # pyright: ignore[reportArgumentType]
