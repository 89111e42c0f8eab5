"""How does the kernel of two sequences move one step on? What a cell is, and the cell of smooth activations.

A cell says what each sequence contributes on its own (`sides`) and how the state of a pair of steps follows from
the state of the pair before (`update`). The state of the top layer is read lazily: its pair of expectations is
computed when the next step, or a read-out, asks for it; lower layers carry theirs.
"""

from __future__ import annotations

import abc
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ntkseq._struct import struct
from ntkseq._types import DType
from ntkseq.kernels import duals
from ntkseq.kernels.layers import Layers, shift, variances

Pair = tuple[Array, Array]
State = dict[str, Any]
Side = Any  # a pytree of arrays


class Cell(abc.ABC):
    """One step of a recurrent kernel. Arrays of a side have axes (n, t, ...); `update` and `read` are elementwise."""

    layers: Layers

    @abc.abstractmethod
    def sides(self, x: Array, inside: Array, start: Array, out: Array) -> Side:
        """`{"update": ..., "read": ...}`: arrays (n, t, ...) that the step to t, and a read-out at t, need.

        Args:
            x: aligned tokens (n, t, d), with the input scale in them, zero outside the sequence.
            inside, start: (n, t) whether a step belongs to the sequence, and is its first.
            out: (n, t) weight of the read-out at each step.
        """

    @abc.abstractmethod
    def top_pair(self, state: State, left: Side, right: Side) -> Pair:
        """The expectations of the top layer at the steps of the two "read" sides."""

    @abc.abstractmethod
    def update(self, state: State, pair: Pair, left: Side, right: Side, same: bool) -> State:
        """The state one step on, from the "update" sides. `same`: the two sequences are one and the same example."""

    @abc.abstractmethod
    def read(self, pair: Pair, tangent: Array, left: Side, right: Side) -> Array:
        """The kernel of the outputs at the steps of the two "read" sides, times both weights."""

    def zero(self, shape: tuple[int, ...], dtype: DType) -> State:
        """The state before the first step."""
        z = jnp.zeros(shape, dtype)
        lower = [(z, z, z)] * (self.layers.depth - 1)
        return {"lower": lower, "top": (z, z)}


@struct
class CovarianceCell(Cell):
    """Carries the covariance c and the tangent kernel of smooth activations: recurrent.2, recurrent.3, recurrent.5."""

    layers: Layers
    dual: duals.Dual

    def sides(self, x: Array, inside: Array, start: Array, out: Array) -> Side:
        lay = self.layers
        mask = inside.astype(x.dtype)
        p = variances(lay, self.dual.second, jnp.sum(x * x, axis=-1), inside, start)
        update: Side = {
            "x": x,
            "mask": mask,
            "before": shift(mask),
            "h": jnp.where(start, lay.h, 0),
            "moments": [self.dual.moments(p[i]) for i in range(lay.depth - 1)],
        }
        return {"update": update, "read": {"out": out, "moments": self.dual.moments(p[-1])}}

    def top_pair(self, state: State, left: Side, right: Side) -> Pair:
        return self.dual.pair(state["top"][0], left["moments"], right["moments"])

    def update(self, state: State, pair: Pair, left: Side, right: Side, same: bool) -> State:
        lay = self.layers
        before = left["before"] * right["before"]
        mask = left["mask"] * right["mask"]
        initial = left["h"] * right["h"] if lay.initial and (same or not lay.independent) else None
        below, dbelow, tbelow = _dot(left["x"], right["x"]), None, None
        lower = []
        for i in range(lay.depth):
            top = i == lay.depth - 1
            k, kd, th = (*pair, state["top"][1]) if top else state["lower"][i]
            w2, u2, b2 = lay.w[i] ** 2, lay.u[i] ** 2, lay.b[i] ** 2
            past = before * k if initial is None else before * k + initial
            c = w2 * past + u2 * below + b2 * mask
            own = c if lay.all_trained(i) else jnp.zeros_like(c)
            for group, term, scale in (("W", past, w2), ("U", below, u2), ("b", mask, b2)):
                if group in lay.train[i] and not lay.all_trained(i):
                    own = own + (term if lay.raw else scale * term)
            th = own + w2 * before * kd * th
            if dbelow is not None:
                th = th + u2 * dbelow * tbelow
            if top:
                return {"lower": lower, "top": (c, th)}
            k, kd = self.dual.pair(c, left["moments"][i], right["moments"][i])
            k, kd = mask * k, mask * kd
            lower.append((k, kd, th))
            below, dbelow, tbelow = k, kd, th
        raise AssertionError("a stack has at least one layer")

    def read(self, pair: Pair, tangent: Array, left: Side, right: Side) -> Array:
        k, kd = pair
        v2 = self.layers.v**2
        if not self.layers.tangent:
            return left["out"] * right["out"] * v2 * k
        head = (k if self.layers.raw else v2 * k) if "R" in self.layers.train[-1] else 0
        return left["out"] * right["out"] * (head + v2 * kd * tangent)


def _dot(left: Array, right: Array) -> Array:
    """Inner product over the last axis of two broadcasting sides, in chunks: never (n, m, d) at once."""
    d = left.shape[-1]
    if d <= 16:
        return sum((left[..., k] * right[..., k] for k in range(1, d)), left[..., 0] * right[..., 0])

    def add(total: Array, k: Array) -> tuple[Array, None]:
        take = lambda a: jax.lax.dynamic_index_in_dim(a, k, -1, keepdims=False)  # noqa: E731
        return total + take(left) * take(right), None

    shape = jnp.broadcast_shapes(left.shape[:-1], right.shape[:-1])
    return jax.lax.scan(add, jnp.zeros(shape, left.dtype), jnp.arange(d))[0]
