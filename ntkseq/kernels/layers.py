"""Which constants does a stack of (recurrent) layers have? Shared by the cells that carry a kernel through it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ntkseq._layers import GROUPS, check_train, per_layer
from ntkseq._struct import static, struct
from ntkseq.activations import Activation


@struct
class Layers:
    """Scales (depth,) and choices of a stack; `w[l]` is the standard deviation of layer l's recurrent weights."""

    w: Float[Array, " depth"]
    u: Float[Array, " depth"]
    b: Float[Array, " depth"]
    v: Float[Array, ""]
    h: Float[Array, ""]
    activation: Activation
    train: tuple[str, ...] = static()
    raw: bool = static()
    initial: bool = static()
    independent: bool = static()
    tangent: bool = static()

    @property
    def depth(self) -> int:
        return len(self.train)

    def all_trained(self, layer: int) -> bool:
        """Whether the tangent kernel's own term is the covariance itself."""
        return not self.raw and set("WUb") <= set(self.train[layer])


def variances(
    layers: Layers, second: Any, energy: Float[Array, "n t"], inside: Bool[Array, "n t"], start: Bool[Array, "n t"]
) -> Float[Array, "depth n t"]:
    """Variance of every pre-activation (recurrent.4): zero outside a sequence. O(n t).

    Args:
        second: p -> E[phi(u)^2] for u ~ N(0, p).
        energy: |x_t|^2, with the input scale in it.
        inside: whether the step belongs to the sequence.
        start: whether the step is the sequence's first one (h_0 enters there).
    """

    def step(carry: Array, now: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        below, valid, first = now
        rows = []
        for layer in range(layers.depth):
            p = layers.w[layer] ** 2 * (carry[layer] + jnp.where(first, layers.h**2, 0))
            p = p + layers.u[layer] ** 2 * below + layers.b[layer] ** 2
            p = jnp.where(valid, p, 0)
            below = jnp.where(valid, second(p), 0)
            rows.append((p, below))
        return jnp.stack([r[1] for r in rows]), jnp.stack([r[0] for r in rows])

    zero = jnp.zeros((layers.depth, energy.shape[0]), energy.dtype)
    _, p = jax.lax.scan(step, zero, (energy.T, inside.T, start.T))  # (t, depth, n)
    return jnp.moveaxis(p, 0, 2)


def shift(x: Array) -> Array:
    """The value at the step before, zero at the first: (n, t, ...) along t."""
    return jnp.concatenate([jnp.zeros_like(x[:, :1]), x[:, :-1]], axis=1)


def safe_sqrt(x: Array) -> Array:
    """sqrt with derivative 0 at 0."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), 0)


__all__ = ["GROUPS", "Layers", "check_train", "per_layer", "safe_sqrt", "shift", "variances"]

