"""What are the kernels of fully connected relu networks of every depth, the first layers frozen? All in one pass."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks
from ntkseq.kernels import chordal


def frozen(x: Float[np.ndarray, "n d"], layers: int) -> Iterator[list[Float[np.ndarray, "n n"]]]:
    """For 1, 2, ... `layers` layers of weights: the kernels with the first 0, 1, ... of them frozen.

        S_1 = <x, x'>,   S_{l+1} = E[phi(u) phi(u')],   T_{l+1,f} = S_{l+1} + T_{l,f} E[phi'(u) phi'(u')]

    with u ~ N(0, S_l) and T_{l,l-1} = S_l, the read-out alone (dense.6): no biases, sigma_w = 1, inputs not divided by
    sqrt d. `kernels.Dense(depth=l - 1, input_scale="none", train=...)` is the same, compiled for each l and f.

    Args:
        x: n vectors.
        layers: of weights, the read-out among them.

    Returns:
        Lists of 1, 2, ..., `layers` matrices in the dtype of x, the fewest frozen first.

    Raises:
        Overflow: inner products overflow the dtype.
    """
    wide = np.asarray(x, np.float64)
    norm = np.linalg.norm(wide, axis=1)
    unit = wide / np.where(norm > 0, norm, 1.0)[:, None]
    m = np.clip((1.0 - unit @ unit.T) / 2, 0.0, 1.0)
    np.fill_diagonal(m, 0.0)  # where one differs from |u|^2 by a rounding
    m = m.astype(x.dtype)
    with np.errstate(over="ignore"):
        scale = np.outer(norm, norm).astype(x.dtype)
    if not np.isfinite(scale).all():
        raise _checks.Overflow(
            f"x must have inner products that fit {x.dtype}; got norms up to {norm.max():.3g}. Scale it."
        )
    tangent: list[np.ndarray] = []
    for layer in range(layers):
        if layer:
            m, slope = (np.asarray(one) for one in _step(m))  # (dense.7)
            tangent = [T * (slope / 2) for T in tangent]
        covariance = scale * (1 - 2 * m) * 0.5**layer
        tangent = [T + covariance for T in tangent] + [covariance]
        yield tangent


@jax.jit
def _step(m: Float[Array, "n n"]) -> tuple[Array, Array]:
    """The chord one layer on, and the slope (numerics.2) on the way, twice E[phi'(u) phi'(u')]."""
    return chordal.rectified(m, 1.0, 0.0)
