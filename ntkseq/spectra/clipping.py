"""Which negative eigenvalues are rounding and count as zero, and which are refused?"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ntkseq import _checks, _precision
from ntkseq._types import AnyArray, ArrayLike


def nonnegative(values: AnyArray, errors: ArrayLike | None = None) -> Float[np.ndarray, " n"]:
    """The values in host float64, descending, with negative ones of the size of rounding set to 0.

    Args:
        values: vector of eigenvalues or singular values, or a matrix, whose singular values are taken.
        errors: per-value bound below which a negative value counts as 0; default n eps max|values| of their dtype.

    Raises:
        ValueError: empty, not finite, not numbers, or negative beyond the error.
    """
    array = np.asarray(values)
    if array.dtype.kind in "iub":
        array = array.astype(np.float64)
    if array.ndim not in (1, 2) or array.size == 0 or not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(
            "values must be a vector of eigenvalues, or a matrix, of real numbers, not empty; "
            f"got shape {array.shape}, dtype {array.dtype}. Pass a Gram, a Spectrum, or spectrum(K).values."
        )
    _checks.finite("values", array)
    eps = _precision.eps(array.dtype)
    array = array.astype(np.float64)
    if array.ndim == 2:
        rounding = max(array.shape) * eps
        array = np.linalg.svd(array, compute_uv=False)
        array = np.where(array > rounding * array[0], array, 0.0)  # a singular value of 0 comes out as eps s_1
    if errors is None:
        errors = array.size * eps * np.abs(array).max()
    bad = array < -np.broadcast_to(np.asarray(errors), array.shape)
    if bad.any():
        raise ValueError(
            "effective ranks are defined for eigenvalues >= 0 (positive semi-definite matrices); got "
            f"{int(bad.sum())} value(s) that are negative beyond rounding, the least {array.min():.3g} against a "
            f"largest of {array.max():.3g}. If these are eigenvalues of an indefinite matrix, pass its singular "
            "values, np.abs(values)."
        )
    return -np.sort(-np.maximum(array, 0.0))
