"""How is a base kernel summed over signed points, the queries and supports of tasks with weights [1, -R]?

The functions under `jax.jit` behind `kernels.Meta`: they take kernels and inner loops as arguments.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ntkseq import _precision
from ntkseq._types import AnyArray, GramLike
from ntkseq.kernels.base import Kernel, Side
from ntkseq.kernels.inner import Inner
from ntkseq.kernels.tasks import flat


class Points(NamedTuple):
    """All points of N tasks, task by task, queries before support, prepared for the base kernel and for Kin."""

    base: Side  # (N (q + s), ...) on every leaf
    inside: Side  # the same for Kin; None where Kin is the base, or nothing adapts
    sizes: tuple[int, int, int]  # N, q, s
    x: Any  # as they were given, (N (q + s), ...)
    lengths: Any


class Parts(NamedTuple):
    """What is known of N tasks: the support's weights in the answer at each query, and what rounding does to them."""

    R: Any  # (N, q, s)
    K: Any  # (N, s, s): Kin(X', X'); None where nothing adapts
    gross: Any  # (N, q): sum over the points of a row of |weight| sqrt(Theta_kk)
    slack: Any  # (N, q): error of R . Theta(X', X')^(1/2) per unit of rounding of Kin
    net: Any  # (N, q): Phi of each query with itself

    @property
    def signed(self) -> Array:
        """(N, q, q + s): the rows [I, -R]."""
        N, q, _ = self.R.shape
        eye = jnp.broadcast_to(jnp.eye(q, dtype=self.R.dtype), (N, q, q))
        return jnp.concatenate([eye, -self.R], axis=2)


_AT_ONCE = 1 << 20
"""Entries of the squares of tasks that are computed together."""


@partial(jax.jit, static_argnames="sizes")
def squares(kernel: Kernel, points: Side, sizes: tuple[int, int, int]) -> Array:
    """The kernel between the points of each task, (N, q + s, q + s)."""
    N, a = sizes[0], sizes[1] + sizes[2]
    split = jax.tree.map(lambda leaf: leaf.reshape(N, a, *leaf.shape[1:]), points)
    return jax.lax.map(kernel.square_side, split, batch_size=max(1, min(N, _AT_ONCE // a**2)))


def diagonal_blocks(values: AnyArray, N: int) -> Any:
    """(N, a, a) of the kernel between all points of N tasks (N a, N a)."""
    a = values.shape[0] // N
    task = np.arange(N)
    return values.reshape(N, a, N, a)[task, :, task]


@partial(jax.jit, static_argnames=("q", "smooth"))
def solved(inner: Inner, own: Array, inside: Array | None, q: int, smooth: bool = True) -> Parts:
    """The parts of N tasks from the base kernel and Kin between the points of each, (N, q + s, q + s).

    inside: None where Kin is the base. smooth: whether derivatives may be wanted, which takes T(K) once more.
    """

    def one(pair: tuple[Array, Array]) -> Parts:
        theta, kin = (a.astype(_precision.wide(a.dtype)) for a in pair)  # half precision is solved in float32
        K = (kin[q:, q:] + kin[q:, q:].T) / 2
        k = kin[:q, q:]
        # dR = dk T + k dT, dT = U (F o U^T dK U) U^T: Cauchy-Schwarz over the entries of dk and of dK
        w, U = jnp.linalg.eigh(jax.lax.stop_gradient(K))
        loop = inner.in_sum(w.shape[0]).in_dtype(w.dtype)
        w = jnp.maximum(w, 0)
        turned = jnp.matmul(jax.lax.stop_gradient(k), U, precision="highest")
        if smooth:
            R = jnp.matmul(k, inner.transfer(K), precision="highest")
        else:
            R = jnp.matmul(turned * loop.value(w)[None, :], U.T, precision="highest")
        bend = jnp.sqrt(jnp.max(jnp.square(turned) @ jnp.square(loop.divided(w)), axis=1))  # (q,)
        total = jnp.sum(jnp.diagonal(K))
        direct = jnp.sqrt(jnp.diagonal(kin)[:q] * total) * jnp.max(jnp.abs(loop.value(w)))
        size = jnp.sqrt(jnp.sum(jnp.diagonal(theta)[q:]))
        slack = jax.lax.stop_gradient((direct + bend * total) * size)
        return _measured(theta, R, K, slack)

    return jax.lax.map(one, (own, own if inside is None else inside), batch_size=max(1, _AT_ONCE // own[0].size))


@partial(jax.jit, static_argnames="q")
def untouched(own: Array, q: int) -> Parts:
    """The parts of N tasks where nothing adapts."""
    own = own.astype(_precision.wide(own.dtype))
    N, _, _ = own.shape
    R, slack = jnp.zeros((N, q, 0), own.dtype), jnp.zeros((N, q), own.dtype)
    return jax.vmap(lambda theta, R, slack: _measured(theta, R, None, slack))(own, R, slack)


def _measured(theta: Array, R: Array, K: GramLike | None, slack: Array) -> Parts:
    q = R.shape[0]
    rows = jnp.concatenate([jnp.eye(q, dtype=R.dtype), -R], axis=1)
    half = jnp.matmul(rows, theta, precision="highest")
    sizes = jnp.sqrt(jnp.maximum(jnp.diagonal(theta), 0))
    gross = jnp.matmul(jnp.abs(rows), sizes, precision="highest")
    return Parts(R, K, jax.lax.stop_gradient(gross), slack, jnp.sum(half * rows, axis=1))


@jax.jit
def rows(points: Points, parts: Parts) -> Side:
    """One row per query point: the query and the support of its task, with their weights [1, -R]."""
    N, q, s = parts.R.shape

    def gather(leaf: Array) -> Array:
        leaf = leaf.reshape(N, q + s, *leaf.shape[1:])
        support = jnp.broadcast_to(leaf[:, None, q:], (N, q, s, *leaf.shape[2:]))
        return jnp.concatenate([leaf[:, :q, None], support], axis=2).reshape(N * q, 1 + s, *leaf.shape[2:])

    weights = jnp.concatenate([jnp.ones((N, q, 1), parts.R.dtype), -parts.R], axis=2).reshape(N * q, 1 + s)
    flat_ = {name: getattr(parts, name).reshape(N * q) for name in ("gross", "slack", "net")}
    task = jnp.repeat(jnp.arange(N, dtype=jnp.int32), q, total_repeat_length=N * q)
    base, inside = (jax.tree.map(gather, side) for side in (points.base, points.inside))
    return {"points": base, "inside": inside, "weights": weights, "task": task, **flat_}


def once(side: Side, name: str) -> Side:
    """Every point of some rows but once: all queries, and the support of each task."""
    _, first = np.unique(np.asarray(side["task"]), return_index=True)

    def gather(leaf: Array) -> Array:
        return jnp.concatenate([leaf[:, 0], leaf[first, 1:].reshape(-1, *leaf.shape[2:])])

    return jax.tree.map(gather, side[name])


@jax.jit
def tile(base: Kernel, left: Side, right: Side) -> Array:
    """The kernel between rows of signed points."""
    values = base.tile(flat(left["points"]), flat(right["points"]))
    return sandwich(left["weights"], values.astype(left["weights"].dtype), right["weights"])


@partial(jax.jit, static_argnames="same")
def blocks(left: Parts, right: Parts, values: Array, same: bool) -> Array:
    """Phi by task and query, (N, q, M, p), from the base kernel between all points; `same`: tasks with themselves."""
    one, two = left.signed, right.signed
    values = values.astype(one.dtype)
    (N, q, a), (M, _, b) = one.shape, two.shape
    half = jnp.einsum("iqa,iam->iqm", one, values.reshape(N, a, M * b), precision="highest")
    phi = jnp.einsum("jpb,iqjb->iqjp", two, half.reshape(N, q, M, b), precision="highest")
    return (phi + phi.transpose(2, 3, 0, 1)) / 2 if same else phi


@jax.jit
def first_order(left: Parts, right: Parts, values: Array) -> Array:
    """Theta(X_i, X_j) - R_i Theta(X'_i, X_j), (N q, M p), from the base kernel between all points."""
    one = left.signed
    values = values.astype(one.dtype)
    (N, q, a), (M, p, _) = one.shape, right.R.shape
    queries = values.reshape(N, a, M, -1)[:, :, :, :p].reshape(N, a, M * p)
    return jnp.einsum("iqa,iam->iqm", one, queries, precision="highest").reshape(N * q, M * p)


def sandwich(left: Array, values: Array, right: Array) -> Array:
    """sum_kl left_ik values_(ik, jl) right_jl, for (n, a), (n a, m b) and (m, b)."""
    (n, a), (m, b) = left.shape, right.shape
    half = jnp.einsum("ia,iam->im", left, values.reshape(n, a, m * b), precision="highest")
    return jnp.einsum("ijb,jb->ij", half.reshape(n, m, b), right, precision="highest")
