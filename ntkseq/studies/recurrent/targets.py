"""The kernel of the papers on recurrent networks, functions of a token by name, and directions of random targets."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ntkseq import concepts, kernels
from ntkseq._types import AnyArray

KERNEL = kernels.Recurrent.preset("allen-zhu-li")
NAMED = {"linear": (0.0, 1.0), "square": (0.0, 0.0, 1.0), "cube": (0.0, 0.0, 0.0, 1.0)}


def function(name: str) -> concepts.Series:
    """An analytic function by its name: "linear", "square", "cube", or one of `concepts.series`.

    Raises:
        ValueError: not analytic at 0, or unknown.
    """
    return concepts.series.polynomial(NAMED[name]) if name in NAMED else concepts.series.get(name)


def unit_directions(seed: int, *shape: int) -> Float[np.ndarray, "..."]:
    """Random unit vectors along the last axis of a shape, without the last coordinate: that of the first token."""
    found = np.zeros(shape)
    found[..., :-1] = np.random.default_rng(seed).standard_normal((*shape[:-1], shape[-1] - 1))
    return found / np.linalg.norm(found, axis=-1, keepdims=True)


def label_error(y: AnyArray) -> float:
    """How far rounding may have moved a label: a few hundred operations in its dtype."""
    return 256 * float(np.finfo(y.dtype).eps) * (1 + float(np.abs(y).max()))
