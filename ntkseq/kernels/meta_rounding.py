"""How far may rounding have moved a kernel between tasks? As far as its base and its inner loop, where they cancel.

Phi_ij is a sum over the points k, l of two tasks of p_ik Theta_kl p_jl, p = [1, -R]. If every Theta_kl and every entry
of Kin is off by a share e and f of the root of its diagonal entries, then

    |dPhi_ij| <= e g_i g_j + f (h_i sqrt(Phi_jj) + sqrt(Phi_ii) h_j) + f^2 h_i h_j

g_i = sum_k |p_ik| sqrt(Theta_kk); h_i is what R_i Theta(X', X')^(1/2) moves by per unit of f: `signed.solved`.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ntkseq import _provenance
from ntkseq.kernels import signed
from ntkseq.kernels.base import Kernel, Side
from ntkseq.kernels.origin import Origin
from ntkseq.kernels.signed import Parts, Points

Batch = tuple[Side, Side, Parts]
"""Sides of the base and of Kin with every point once, and what is known of the tasks."""


def rounding(kernel: Any, batches: list[Batch]) -> float:
    """e with |computed - exact| <= e sqrt(Phi_ii Phi_jj) in one batch of tasks, or between two.

    Args:
        kernel: a `kernels.Meta`.
        batches: one or two.
    """
    s = max(parts.R.shape[-1] for _, _, parts in batches)
    floor = max(32, 1 + s) * float(jnp.finfo(batches[0][2].R.dtype).eps)  # sums of 1 + s products, twice
    unit = solved = 1.01 * max(floor, _of_base(kernel.base, [base for base, _, _ in batches]))
    kin = kernel.inner_loop_kernel()
    if kin is not None and kin is not kernel.base:
        solved = 1.01 * max(floor, *(kin.entry_rounding(inside) for _, inside, _ in batches))
    gross, through = [], []
    for _, _, parts in batches:
        root = np.sqrt(np.maximum(np.asarray(parts.net, np.float64), float(jnp.finfo(parts.net.dtype).tiny)))
        gross.append(float(np.max(np.asarray(parts.gross, np.float64) / root)))
        through.append(solved * float(np.max(np.asarray(parts.slack, np.float64) / root)))
    return unit * gross[0] * gross[-1] + through[0] + through[-1] + through[0] * through[-1]


def of_rows(side: Side) -> Batch:
    """Of the rows that `kernels.Meta.prepare` makes."""
    inside = None if side["inside"] is None else signed.once(side, "inside")
    parts = Parts(side["weights"][:, 1:], None, side["gross"], side["slack"], side["net"])
    return signed.once(side, "points"), inside, parts


def of_tasks(*batches: tuple[Points, Parts]) -> list[Batch]:
    """Of tasks taken apart by `kernels.Meta.points` and `solved`."""
    return [(points.base, points.inside, parts) for points, parts in batches]


def note(kernel: Any, phi: Array, left: tuple[Points, Parts], right: tuple[Points, Parts] | None) -> None:
    """Remember what is known of the rounding of phi, (N, q, M, p), beside it; right: None, the left with itself."""
    if right is None:
        n = left[1].net.size
        index = jnp.arange(n, dtype=jnp.int32)
        left = left[0], left[1]._replace(net=phi.reshape(n, n)[index, index].reshape(left[1].net.shape))
    sides = tuple(_kept(kernel, *side) for side in ((left,) if right is None else (left, right)))
    totals = lambda: tuple(float(np.sum(np.asarray(parts.net, np.float64))) for _, parts in sides)  # noqa: E731
    found = Origin(
        lambda: rounding(kernel, of_tasks(*sides)),
        None if right is None else totals,  # pyright: ignore[reportArgumentType]
        sides,
        phi.nbytes,
        kernel.estimated,
        kernel.sampled,
    )
    _provenance.remember(phi, found)


def _kept(kernel: Any, points: Points, parts: Parts) -> tuple[Points, Parts]:
    """In the least memory."""
    return points._replace(base=kernel.base.kept(points.base), x=None, lengths=None), parts._replace(K=None)


def _of_base(base: Kernel, sides: list[Side]) -> float:
    """On the points of each batch, where the inner loops are solved, and between two."""
    own = max(base.entry_rounding(side) for side in sides)
    return own if len(sides) == 1 else max(own, base.cross_rounding(*sides))
