"""How far may rounding have moved a kernel value of a smooth activation? Its error recursion, to first order.

A smooth activation's kernel can be chaotic: sigma_w^2 E[phi'(u)^2] > 1, and two near-duplicate sequences part at
that rate per step, and with them every rounding. The error of a covariance, of a variance and of the tangent kernel
is carried along each sequence paired with itself, where the amplification is largest:

    e_p' = w^2 k_p e_p + c eps p
    e_c' = w^2 (k_c e_c + |k_p - k_c| e_p) + c eps p
    e_T' = w^2 (k_c e_T + T (s_c e_c + |s_p - s_c| e_p)) + c eps T                                 (numerics.7)

with k = E[phi(u)^2] and s = E[phi'(u)^2], k_c = s and s_c their derivatives in the covariance, k_p and s_p along the
diagonal; lower layers enter the same way. s_c is a secant, over as far as e_c reaches: at large variance the slope of
erf, sin and gelu bends within a few roundings of c = p, and a derivative there, or further off, would miss it. s is
itself computed as if its covariance were c eps p off, which is added to e_c there: units that saturate, at inputs of
1e3, see little else.
This is an estimate with a factor of safety, not a proof; it is infinite where it overflows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ntkseq._types import PyTree
from ntkseq.kernels.cells import CovarianceCell, Side

_PER_STEP = 2.0  # roundings, in eps, that one step adds: a few of half an eps each, seldom all of one sign
_PER_SERIES = 24.0  # a Hermite series adds the rounding of its 801-node rule: where units saturate, some tens of eps
_REACH = 8.0  # least length of the secant, in eps of p; its own rounding may then add a few tenths


def growth(values: Callable[[Side, Array], tuple[Array, Array]], side: Side) -> Array:
    """How far K_ii moves with a relative change of every covariance, times what a pooled read-out cancels.

    For kernels over all pairs of steps, where no error is carried along: one derivative in place of the recursion.

    Args:
        values: from a batch of one and the change: its kernel with itself, and the part of that from equal steps.
        side: of the examples.
    """

    def own(jolt: Array) -> tuple[Array, Array]:
        whole, equal = jax.vmap(lambda one: values(jax.tree.map(lambda leaf: leaf[None], one), jolt))(side)
        return whole[:, 0, 0], equal[:, 0, 0]

    zero = jnp.zeros((), jax.tree.leaves(side)[0].dtype)
    (whole, equal), (moved, _) = jax.jvp(own, (zero,), (jnp.ones_like(zero),))
    worst = jnp.maximum(jnp.maximum(jnp.abs(moved), equal), whole)
    return jnp.max(jnp.where(worst > 0, worst / jnp.where(whole > 0, whole, 1), 1))


@partial(jax.jit, static_argnames="read")
def relative(cell: CovarianceCell, side: Side, read: str) -> Array:
    """Largest estimated |computed - exact| / K_ii over the examples, or every step ("each"), first order in eps."""
    lay, update = cell.layers, side["update"]
    x, mask = update["x"], update["mask"]
    unit = jnp.finfo(x.dtype).eps * (_PER_SERIES if cell.dual.by_series else _PER_STEP)
    out = side["read"]["out"]
    least = _REACH * jnp.finfo(x.dtype).eps

    def derivatives(p: Array, ec: Array) -> tuple[Array, ...]:
        def diagonal(p: Array) -> tuple[Array, Array]:
            m = cell.dual.moments(p)
            return cell.dual.pair(p, m, m)

        m = cell.dual.moments(p)
        (k, s), (kp, sp) = jax.jvp(diagonal, (p,), (jnp.ones_like(p),))
        own = unit * p
        reach = jnp.clip(ec + own, least * p, p)
        less = cell.dual.pair(p - reach, m, m)[1]
        # a slope that falls to a share of itself may as well have risen by its inverse
        share = jnp.clip(jnp.where(s > 0, less / jnp.where(s > 0, s, 1), 1), 0.1, 1)
        sc = (s - less) / (share * jnp.where(reach > 0, reach, 1))
        return k, s, jnp.abs(kp), jnp.abs(sp), jnp.abs(sc), own

    def grow(weight: Array, d: tuple[Array, ...], e: tuple[Array, ...], tangent: Array) -> tuple[Array, Array, Array]:
        _, s, kp, sp, sc, own = d
        ep, ec, et = e
        turn = weight * (s * et + tangent * (sc * (ec + own) + jnp.abs(sp - sc) * ep))
        return weight * kp * ep, weight * (s * ec + jnp.abs(kp - s) * ep), turn

    def step(carry: PyTree, now: PyTree) -> tuple[Any, Any]:
        x, mask, before, h = now
        energy = jnp.sum(x * x, axis=-1)
        low, c_low = None, energy
        rows = []
        for i in range(lay.depth):
            d, e, tangent = carry[i]
            w2, u2, b2 = before * lay.w[i] ** 2, lay.u[i] ** 2, mask * lay.b[i] ** 2
            past = before * d[0] + h * h
            p = lay.w[i] ** 2 * past + u2 * c_low + b2
            own = past + c_low + mask if lay.raw else p
            errors = grow(w2, d, e, tangent)
            tangent = own + w2 * d[1] * tangent
            if low is not None:
                errors = jax.tree.map(jnp.add, errors, grow(u2, *low))
                tangent = tangent + u2 * low[0][1] * low[2]
            e = (errors[0] + unit * p, errors[1] + unit * p, errors[2] + unit * tangent)
            d = derivatives(p, e[1])
            rows.append((d, e, tangent))
            low, c_low = (d, e, tangent), mask * d[0]
        d, e, tangent = rows[-1]
        value = d[0] + (d[1] * tangent if lay.tangent else 0)
        error = grow(jnp.ones_like(mask), d, e, tangent)
        return rows, (value, error[1] + (error[2] if lay.tangent else 0) + unit * value)

    zero = jnp.zeros(x.shape[:1], x.dtype)
    start = [((zero,) * 6, (zero,) * 3, zero)] * lay.depth
    inputs = jax.tree.map(lambda a: jnp.swapaxes(a, 0, 1), (x, mask, update["before"], update["h"]))
    _, (value, error) = jax.lax.scan(step, start, inputs)  # (t, n)
    if read == "last":
        value, error = value[-1], error[-1]
    elif read == "each":
        value, error = out.T * value, out.T * error
    else:
        weight = out.T
        value, error = jnp.max(weight * value, axis=0), jnp.max(weight * error, axis=0)
    worst = jnp.max(jnp.where(value > 0, error / jnp.where(value > 0, value, 1), 0))
    return jnp.where(jnp.isnan(worst), jnp.inf, worst)
