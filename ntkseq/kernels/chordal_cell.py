"""How does the kernel of two sequences move one step on under a relu-like activation? By the normalised chord.

With a_t the standard deviation of the pre-activation u_t of one sequence and b_t, v_t those of the other, the state is

    m_t = |u_t / a_t - v_t / b_t|^2 / 4     and     T_t = Theta_t / (a_t b_t)

    m_t = w_t w'_t gain(m_{t-1}) + sum_k (F_t,k - F'_t,k)^2                                        (numerics.4)
    1 - m_t = sum_k (F_t,k + F'_t,k)^2 - w_t w'_t gain(m_{t-1})                                    (numerics.8)
    T_t = own_t + w_t w'_t slope(m_{t-1}) T_{t-1},   own_t = 1 - 2 m_t if W, U and b are trained   (numerics.5)

w_t = sigma_w sqrt(M) a_{t-1} / a_t is the share of the past, M = E[phi(z)^2]; the features F_t are half of
sigma_u x_t / a_t, sigma_b / a_t and w_t. Every term is >= 0 and at most one: no subtraction, no division and no clip
per pair, and w_t <= 1, slope <= 1 let nothing grow.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ntkseq._precision import safe_sqrt
from ntkseq._struct import struct
from ntkseq._types import AnyFunction, PyTree
from ntkseq.kernels.cells import Cell, Pair, Side, State
from ntkseq.kernels.chordal import fold, folded, second_moment, unfold
from ntkseq.kernels.layers import Layers, homogeneous_variances, shift

_UNROLL = 24  # features up to this number stand as one expression in the compiled step


@struct
class ChordalCell(Cell):
    """Carries chord and normalised tangent kernel of relu, leaky relu and abs."""

    layers: Layers

    @property
    def _moment(self) -> Any:
        act = self.layers.activation
        return second_moment(act.positive, act.negative)  # pyright: ignore[reportAttributeAccessIssue]

    def _pair(self, z: Array) -> Pair:
        act = self.layers.activation
        return folded(z, act.positive, act.negative)  # pyright: ignore[reportAttributeAccessIssue]

    def sides(self, x: Array, inside: Array, start: Array, out: Array) -> Side:
        lay, moment = self.layers, jnp.asarray(self._moment, x.dtype)
        mask = inside.astype(x.dtype)
        p, past = homogeneous_variances(lay, moment, jnp.sum(x * x, axis=-1), inside, start)
        a = safe_sqrt(p)
        inverse = 1 / jnp.where(p > 0, a, 1)  # a silent step has a = 0: whatever is divided there is 0 as well
        image = jnp.sqrt(moment) * a  # standard deviation of phi(u)
        rows = []
        for i in range(lay.depth):
            inv = inverse[i]
            b, h = lay.b[i] * mask * inv, jnp.where(start, lay.w[i] * lay.h, 0) * inv
            features = [b / 2, past[i] / 2]
            row: Side = {"w": past[i]}
            if i == 0:
                features += [lay.u[0] * x[..., k] * inv / 2 for k in range(x.shape[-1])]
            else:
                row["u"] = lay.u[i] * image[i - 1] * inv
                features.append(row["u"] / 2)
            if lay.independent:
                row["h"] = h / 2
            elif lay.initial:
                features.append(h / 2)
            if lay.tangent and not lay.all_trained(i):
                row["own"] = self._own(i, x, mask, start, inv, image)
            row["features"] = tuple(features)
            rows.append(row)
        return {"update": rows, "read": {"out": out * image[-1]}}

    def _own(self, i: int, x: Array, mask: Array, start: Array, inv: Array, image: Array) -> Side:
        """Sides of the tangent kernel's own terms, one entry per trained group."""
        lay, own = self.layers, {}
        w, u, b = (jnp.ones_like(lay.v),) * 3 if lay.raw else (lay.w[i], lay.u[i], lay.b[i])
        if "W" in lay.train[i]:
            own["W"] = w * shift(image[i]) * inv
            own["h"] = jnp.where(start, w * lay.h, 0) * inv
        if "U" in lay.train[i]:
            own["U"] = u * image[i - 1] * inv if i else tuple(u * x[..., k] * inv for k in range(x.shape[-1]))
        if "b" in lay.train[i]:
            own["b"] = b * mask * inv
        return own

    def top_pair(self, state: State, left: Side, right: Side) -> Pair:
        return self._pair(state["top"][0])

    def update(self, state: State, pair: Pair, left: Side, right: Side, same: bool) -> State:
        lay = self.layers
        lower, below = [], None
        for i in range(lay.depth):
            top = i == lay.depth - 1
            one, two = left[i], right[i]
            gain, slope, th = (*pair, state["top"][1]) if top else state["lower"][i]
            ww = one["w"] * two["w"]
            past = ww * gain
            m = past + _squares(one["features"], two["features"])
            if below is not None:
                uu = one["u"] * two["u"]
                m = m + uu * below[0]
            if lay.independent:  # two examples start in orthogonal directions, one example in its own
                m = m + ((one["h"] - two["h"]) ** 2 if same else one["h"] ** 2 + two["h"] ** 2)
            # opposite tokens at a first step: 1 - m by sums of features, not by a difference (numerics.8)
            z = fold(m, 1 - m if below is not None or lay.independent else _sums(one, two) - past)
            if lay.tangent:
                own = 1 - 2 * unfold(z) if lay.all_trained(i) else self._own_terms(i, one, two, gain, below, same)
                th = own + ww * slope * th
                if below is not None:
                    th = th + uu * below[1] * below[2]  # pyright: ignore[reportPossiblyUnboundVariable]
            if top:
                return {"lower": lower, "top": (z, th)}
            below = (*self._pair(z), th)
            lower.append(below)
        raise AssertionError("a stack has at least one layer")

    def _own_terms(self, i: int, left: Side, right: Side, gain: Array, below: PyTree, same: bool) -> Array:
        own = jnp.zeros_like(gain)
        one, two = left["own"], right["own"]
        if "W" in one:
            own = own + one["W"] * two["W"] * (1 - 2 * gain)
            if same or not self.layers.independent:
                own = own + one["h"] * two["h"]
        if "U" in one:
            own = own + (one["U"] * two["U"] * (1 - 2 * below[0]) if i else _dots(one["U"], two["U"]))
        if "b" in one:
            own = own + one["b"] * two["b"]
        return own

    def read(self, pair: Pair, tangent: Array, left: Side, right: Side) -> Array:
        gain, slope = pair
        lay = self.layers
        v2 = lay.v**2
        k = 1 - 2 * gain
        if not lay.tangent:
            return left["out"] * right["out"] * v2 * k
        head = (k if lay.raw else v2 * k) if "R" in lay.train[-1] else 0
        return left["out"] * right["out"] * (head + v2 * slope * tangent)


def _squares(left: tuple[Array, ...], right: tuple[Array, ...]) -> Array:
    return _accumulate(left, right, lambda x, y: (x - y) * (x - y))


def _sums(left: Side, right: Side) -> Array:
    return _accumulate(left["features"], right["features"], lambda x, y: (x + y) * (x + y))


def _dots(left: tuple[Array, ...], right: tuple[Array, ...]) -> Array:
    return _accumulate(left, right, lambda x, y: x * y)


def _accumulate(left: tuple[Array, ...], right: tuple[Array, ...], term: AnyFunction) -> Array:
    """Sum over features; many of them in a loop of eight at a time, so that compile time does not grow with d."""
    head = len(left) % 8 if len(left) > _UNROLL else len(left)
    total = jnp.zeros(jnp.broadcast_shapes(left[0].shape, right[0].shape), left[0].dtype)
    for x, y in zip(left[:head], right[:head], strict=True):
        total = total + term(x, y)
    if head == len(left):
        return total

    def add(total: Array, eight: Any) -> tuple[Array, None]:
        return sum((term(x, y) for x, y in eight), total), None

    groups = tuple((jnp.stack(left[head + j :: 8]), jnp.stack(right[head + j :: 8])) for j in range(8))
    return jax.lax.scan(add, total, groups)[0]
