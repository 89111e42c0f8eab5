"""How is a warning worded that the user's own line of code should show?"""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_BESIDE = ("ntkseq", "jax", "jaxtyping", "beartype", "functools", "contextlib", "concurrent", "threading")


class PrecisionWarning(UserWarning):
    """A computation runs in a lower precision than the numbers that were given, or its rounding is not known."""


class HeavyTails(UserWarning):
    """An average over networks is made by a few of them, or may be: medians say what a typical one does.

    Reference: (finite_width.4).
    """


def warn(message: str, category: type[Warning] = PrecisionWarning) -> None:
    """Warn at the line that called this library: Python shows it once for each such line."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and _inside(frame):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def narrowed(name: str, x: Any) -> Any:
    """`x`; a float64 array, which JAX in its 32-bit mode rounds to float32, with a warning, and rounded if it is JAX's.

    Numbers in lists have no dtype that somebody chose; arrays in lists have one.
    """
    if jnp.result_type(float) == jnp.float64 or isinstance(x, (int, float)):
        return x
    if isinstance(x, (list, tuple)):
        held = next((leaf for leaf in jax.tree.leaves(x) if hasattr(leaf, "dtype")), None)
    else:
        held = x if hasattr(x, "dtype") else np.asarray(x)
    if held is None or str(held.dtype) not in ("float64", "torch.float64") or np.ndim(held) == 0:
        return x
    warn(
        f"{name} is float64, and JAX is in its 32-bit mode: it is computed in float32. For float64 run under "
        'jax.enable_x64(True), or jax.config.update("jax_enable_x64", True) first of all; for float32 pass '
        f"{name}.astype(numpy.float32)."
    )
    return np.asarray(x, np.float32) if isinstance(x, jax.Array) else x


def _inside(frame: Any) -> bool:
    name = str(frame.f_globals.get("__name__", "")).split(".")[0]
    return frame.f_code.co_filename.startswith((_PACKAGE, "<@beartype")) or name in _BESIDE
