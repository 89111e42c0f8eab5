"""What is a list of inputs? One array of all examples, but for a kernel that takes trees: there, leaves of a tree."""

from __future__ import annotations

import contextlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq._types import AnyKernel, Inputs


def read(kernel: AnyKernel | None, x: Inputs | None) -> Any:
    """Inputs as the kernel reads them, for whoever counts, cuts or records examples; what is no list, as it is.

    Numbers of Python become JAX's default floats, for nobody chose their dtype; arrays keep theirs. A list that is no
    array is left to the kernel, which says so.
    """
    if not isinstance(x, (list, tuple)) or getattr(kernel, "takes_trees", False):
        return x
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        array = np.asarray(x)
        chosen = any(hasattr(leaf, "dtype") and np.ndim(leaf) for leaf in jax.tree.leaves(x))
        return array.astype(jnp.result_type(float)) if array.dtype == np.float64 and not chosen else array
    return x
