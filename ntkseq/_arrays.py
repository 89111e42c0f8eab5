"""Are these arrays of numbers what was asked for? Checked with messages of one line."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq import _devices, _notices
from ntkseq._types import DType
from ntkseq._values import is_concrete, shown, why


def traced(x: object) -> bool:
    """Whether `x`, an array or a pytree of arrays, holds a tracer."""
    return any(isinstance(leaf, jax.Array) and not is_concrete(leaf) for leaf in jax.tree.leaves(x))


def outside(name: str, x: object, does: str) -> None:
    """Raise if `x` holds a tracer, for what runs on the host; `does` says what to do instead."""
    if traced(x):
        raise ValueError(
            f"{name} is needed as numbers on the host; got a tracer. Call this outside jit, vmap and grad{does}."
        )


def not_a_key(name: str, x: object) -> None:
    """Raise if `x` is a random key, which is an array to JAX and holds no numbers."""
    if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        raise ValueError(f"{name} must hold numbers; got a random key. Draw from it, as jax.random.normal(key, shape).")


def unmasked(name: str, x: object) -> None:
    """Raise if entries are masked: NumPy keeps a number under the mask, which would count."""
    if isinstance(x, np.ma.MaskedArray) and np.ma.getmaskarray(x).any():
        raise ValueError(
            f"{name} must have no masked entries; got {int(np.ma.getmaskarray(x).sum())}. Leave those examples out."
        )


def numbers(name: str, x: object, dtype: DType = np.float64) -> np.ndarray:
    """`x` as a NumPy array of real numbers, or an error of one line; they may be NaN."""
    outside(name, x, "")
    unmasked(name, x)
    not_a_key(name, x)
    try:
        array = np.asarray(x)
        if array.dtype.kind == "V" and jnp.issubdtype(array.dtype, jnp.floating):  # bfloat16 and the like
            array = array.astype(np.float32)
    except Exception as error:
        raise ValueError(f"{name} must be an array of numbers; got {shown(x)} ({why(error)}).") from None
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} must be real numbers; got {shown(x)} of dtype {array.dtype}.")
    return array.astype(dtype)


def real(name: str, x: object) -> np.ndarray:
    """`x` as finite real numbers, an array or one, in host float64."""
    array = numbers(name, x)
    finite(name, array)
    return array


def integers(name: str, x: object, least: int, wanted: str = "integers") -> np.ndarray:
    """`x` as whole numbers >= `least` on the host, an array of one or more."""
    array = host(name, x)
    if array.dtype.kind not in "iu" or not array.size or array.min() < least:
        raise ValueError(f"{name} must be {wanted} of {least} or more; got {shown(x)}.")
    return array


def ascending(name: str, x: object, least: int) -> np.ndarray:
    """`x` as ascending whole numbers >= `least`, (k,)."""
    array = np.atleast_1d(integers(name, x, least, "ascending integers")).astype(np.int64)
    if array.ndim != 1 or (np.diff(array) <= 0).any():
        raise ValueError(f"{name} must be ascending integers of {least} or more; got {shown(x)}.")
    return array


def floating(name: str, x: object) -> jax.Array:
    """`x` as a JAX array of floating dtype; integers and booleans become the default float."""
    unmasked(name, x)
    not_a_key(name, x)
    x = _devices.together(name, x)
    try:
        x = _notices.narrowed(name, x)
        array = jnp.asarray(x)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} must be an array of numbers; got {_unread(name, x, error)}") from None
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise ValueError(f"{name} must be real; got dtype {array.dtype}. Stack real and imaginary parts as features.")
    if not jnp.issubdtype(array.dtype, jnp.floating):
        array = array.astype(jnp.result_type(float))
    return array


def _unread(name: str, x: Any, error: Exception) -> str:
    """What came in place of an array of numbers, and what to pass."""
    ragged = "Ragged lists: pad them to one length and pass `lengths=`."
    if isinstance(x, np.ndarray) and x.dtype == np.dtype(object):
        if any(np.ndim(one) for one in x.flat):
            return f"an array of {x.size} arrays (dtype object). {ragged}"
        odd = [one for one in x.flat if not isinstance(one, (int, float, np.number, np.bool_))]
        return f"{shown(odd[0])}. Encode it as a number." if odd else f"dtype object. Pass {name}.astype(float)."
    if isinstance(x, np.ndarray):
        wide = x.dtype == np.longdouble
        return f"dtype {x.dtype}. {f'Pass {name}.astype(float).' if wide else 'Encode it as numbers.'}"
    what = f"{type(x).__name__} that does not convert ({why(error)})."
    return f"{what} {ragged}" if isinstance(x, (list, tuple)) else what


def tokens_or_floats(name: str, x: object) -> jax.Array:
    """`x` as a JAX array: integers, which may be token numbers, as they are; all else as `floating`."""
    try:
        array = np.asarray(x) if isinstance(x, (list, tuple)) else x
    except (TypeError, ValueError):
        return floating(name, x)  # says what it is
    if not jnp.issubdtype(getattr(array, "dtype", None) or np.float64, jnp.integer):
        return floating(name, x)
    array = _devices.together(name, array)
    whole = jnp.asarray(array)
    if isinstance(array, np.ndarray) and not np.array_equal(np.asarray(whole), array):
        raise ValueError(f"{name} must fit {whole.dtype}, as JAX's integers are here; got {array.max()}.")
    return whole


def finite(name: str, x: object) -> None:
    """Raise if `x` holds NaN or infinity; does nothing under a trace."""
    if not is_concrete(x) or (isinstance(x, jax.Array) and _devices.all_finite(x)):
        return
    held = np.asarray(x)
    if held.dtype == object:  # a whole number beyond all dtypes
        raise ValueError(f"{name} must be numbers; got {shown(x)}.")
    bad = ~np.isfinite(held)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"{name} must be finite; got {int(bad.sum())} NaN or infinite value(s), the first at index {where}. "
            "Remove or impute them."
        )


def shape(name: str, x: Any) -> tuple[int, ...]:
    """The shape of an array or of lists of equal length, looked at before anything else."""
    try:
        return tuple(np.shape(x))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of numbers; got {shown(x)} ({why(error)}).") from None


def host(name: str, y: object) -> np.ndarray:
    """`y` as a NumPy array of whatever dtype it has."""
    outside(name, y, "")
    unmasked(name, y)
    not_a_key(name, y)
    try:
        y = np.asarray(y)
    except (TypeError, ValueError) as error:  # a list of lists of unequal length
        raise ValueError(f"{name} must be an array of numbers; got {shown(y)} ({why(error)}).") from None
    floats = y.dtype.kind == "V" and jnp.issubdtype(y.dtype, jnp.floating)  # bfloat16 and the like
    return y.astype(np.float32) if floats else y
