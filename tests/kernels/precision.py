"""How much does single precision lose of a kernel's matrix, and how much does the kernel say?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def lost_and_stated(kernel: Any, x: np.ndarray) -> tuple[float, float]:
    """The largest difference from float64 and `entry_rounding`, both over sqrt(K_ii K_jj)."""
    with jax.enable_x64(True):
        want = np.asarray(kernel(x.astype(np.float64)))
    root = np.sqrt(np.diagonal(want))
    single = jnp.asarray(x, jnp.float32)
    error = np.max(np.abs(np.asarray(kernel(single), np.float64) - want) / np.outer(root, root))
    return float(error), kernel.entry_rounding(kernel.prepare(single))
