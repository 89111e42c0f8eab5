"""What is assumed of the rounding of a kernel that states none? What some examples show in float64, as an estimate."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq import _checks, _precision
from ntkseq._types import AnyKernel, PyTree
from ntkseq.kernels.span import widened

WHY = "not stated by this kernel, which has no entry_rounding of its own: measured on a few examples, not proved"
_FEW = 16  # examples that are computed again
_SAFETY = 8.0
_LEAST = 32.0  # eps


def measured(kernel: AnyKernel, side: PyTree) -> float:
    """e of the entries among up to 16 prepared examples, 8 times what they are off, and 32 eps at least.

    What `prepare` rounds is not seen, nor anything of float64. Infinite where nothing can be measured: under a trace,
    of values that are no matrix, or of a kernel that does not compute in float64.
    """
    leaves = jax.tree.leaves(side)
    eps = max(float(jnp.finfo(leaf.dtype).eps) for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating))
    if not all(map(_checks.is_concrete, leaves)):
        return float("inf")
    if eps <= _precision.eps(np.float64):
        return _LEAST * eps
    which = np.linspace(0, leaves[0].shape[0] - 1, _FEW).astype(int)
    few = jax.tree.map(lambda leaf: np.asarray(leaf)[which], side)
    one = np.asarray(kernel.tile(*[jax.tree.map(jnp.asarray, few)] * 2))
    try:
        with _precision.setting(True):
            there, wide = jax.tree.map(widened, (kernel, few))
            other = np.asarray(there.tile(*[jax.tree.map(jnp.asarray, wide)] * 2))
    except (TypeError, ValueError):  # it holds arrays or casts of one fixed dtype
        return float("inf")
    if other.ndim != 2 or other.dtype != np.float64:
        return float("inf")
    size = np.sqrt(np.maximum(np.diagonal(other), 0.0))
    scale, apart = np.outer(size, size), np.abs(one.astype(np.float64) - other)
    ratio = np.divide(apart, scale, out=np.where(apart > 0, np.inf, 0.0), where=scale > 0)
    worst = float(np.max(ratio))
    return max(_LEAST * eps, _SAFETY * worst) if np.isfinite(worst) else float("inf")
