"""How is a base kernel summed over signed points, the queries and supports of tasks with weights [1, -R]?

The functions under `jax.jit` behind `kernels.Meta`: they take kernels and inner loops as arguments.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ntkseq.kernels.base import Kernel, Side
from ntkseq.kernels.inner import Inner
from ntkseq.kernels.tasks import flat


class Parts(NamedTuple):
    """What is known of N tasks: base sides of all points and the support's weights in the answer at each query."""

    points: Side  # (N, q + s, ...) on every leaf
    R: Any  # (N, q, s)
    slack: Any  # (N, q): error of R . Theta(X', X')^(1/2) per unit of rounding of Kin
    K: Any  # (N, s, s): Kin(X', X'); None where nothing adapts

    @property
    def signed(self) -> Array:
        """(N, q, q + s): the rows [I, -R]."""
        N, q, _ = self.R.shape
        eye = jnp.broadcast_to(jnp.eye(q, dtype=self.R.dtype), (N, q, q))
        return jnp.concatenate([eye, -self.R], axis=2)


@partial(jax.jit, static_argnames="q")
def weights(base: Kernel, kin: Kernel, inner: Inner, points: Side, inside: Side, q: int) -> tuple[Array, Array, Array]:
    """R, what one unit of rounding in Kin does to it, and Kin(X', X'), for every task."""

    def one(points: Side, inside: Side) -> tuple[Array, Array, Array]:
        query, support = jax.tree.map(lambda leaf: leaf[:q], inside), jax.tree.map(lambda leaf: leaf[q:], inside)
        K = kin.square_side(support)
        K = (K + K.T) / 2
        k = kin.tile(query, support)
        T = inner.transfer(K)
        R = jnp.matmul(k, T, precision="highest")
        # dR = dk T + k dT, dT = U (F o U^T dK U) U^T: Cauchy-Schwarz over the entries of dk and of dK
        w, U = jnp.linalg.eigh(jax.lax.stop_gradient(K))
        loop = inner.in_sum(w.shape[0]).in_dtype(w.dtype)
        w = jnp.maximum(w, 0)
        turned = jnp.matmul(jax.lax.stop_gradient(k), U, precision="highest")
        bend = jnp.sqrt(jnp.max(jnp.square(turned) @ jnp.square(loop.divided(w)), axis=1))  # (q,)
        total = jnp.sum(jnp.diagonal(K))
        direct = jnp.sqrt(kin.diag_side(query) * total) * jnp.max(jnp.abs(loop.value(w)))
        theta = base.diag_side(jax.tree.map(lambda leaf: leaf[q:], points))
        return R, jax.lax.stop_gradient((direct + bend * total) * jnp.sqrt(jnp.sum(theta))), K

    return jax.vmap(one)(points, inside)


@jax.jit
def rows(parts: Parts) -> Side:
    """One row per query point: the query and the support of its task, with their weights [1, -R]."""
    N, q, s = parts.R.shape

    def gather(leaf: Array) -> Array:
        support = jnp.broadcast_to(leaf[:, None, q:], (N, q, s, *leaf.shape[2:]))
        return jnp.concatenate([leaf[:, :q, None], support], axis=2).reshape(N * q, 1 + s, *leaf.shape[2:])

    weights = jnp.concatenate([jnp.ones((N, q, 1), parts.R.dtype), -parts.R], axis=2).reshape(N * q, 1 + s)
    points = jax.tree.map(gather, parts.points)
    return {"points": points, "weights": weights, "slack": parts.slack.reshape(N * q)}


@jax.jit
def tile(base: Kernel, left: Side, right: Side) -> Array:
    """The kernel between rows of signed points."""
    values = base.tile(flat(left["points"]), flat(right["points"]))
    return sandwich(left["weights"], values, right["weights"])


@jax.jit
def diag(base: Kernel, side: Side) -> Array:
    """The kernel of each row with itself; a point with itself is the same example."""

    def one(row: Side) -> Array:
        values = jnp.matmul(base.square_side(row["points"]), row["weights"], precision="highest")
        return jnp.sum(row["weights"] * values)

    return jax.vmap(one)(side)


@jax.jit
def scales(base: Kernel, side: Side) -> tuple[Array, Array, Array]:
    """For each row sum_k |p_k| sqrt(Theta_kk), the slack of R, and Phi_ii."""
    own = jnp.sqrt(jax.vmap(base.diag_side)(side["points"]))
    return jnp.sum(jnp.abs(side["weights"]) * own, axis=1), side["slack"], diag(base, side)


@partial(jax.jit, static_argnames="same")
def blocks(base: Kernel, left: Parts, right: Parts, same: bool) -> Array:
    """Phi by task and query, (N, q, M, p); `same`: the tasks with themselves."""
    one, two = left.signed, right.signed
    (N, q, a), (M, _, b) = one.shape, two.shape
    points = flat(left.points)
    values = base.square_side(points) if same else base.tile(points, flat(right.points))
    half = jnp.einsum("iqa,iam->iqm", one, values.reshape(N, a, M * b), precision="highest")
    phi = jnp.einsum("jpb,iqjb->iqjp", two, half.reshape(N, q, M, b), precision="highest")
    return (phi + phi.transpose(2, 3, 0, 1)) / 2 if same else phi


@partial(jax.jit, static_argnames="same")
def first_order(base: Kernel, left: Parts, right: Parts, same: bool) -> Array:
    """Theta(X_i, X_j) - R_i Theta(X'_i, X_j), (N q, M p)."""
    one = left.signed
    (N, q, a), (M, p, _) = one.shape, right.R.shape
    queries = jax.tree.map(lambda leaf: leaf[:, :p], right.points)
    values = base.tile(flat(left.points), flat(queries)).reshape(N, a, M * p)
    if same:
        own = base.diag_side(flat(queries)).reshape(N, q)
        task, query = (index.ravel() for index in jnp.indices((N, q)))
        values = values.at[task, query, task * q + query].set(own.ravel())
    return jnp.einsum("iqa,iam->iqm", one, values, precision="highest").reshape(N * q, M * p)


def sandwich(left: Array, values: Array, right: Array) -> Array:
    """sum_kl left_ik values_(ik, jl) right_jl, for (n, a), (n a, m b) and (m, b)."""
    (n, a), (m, b) = left.shape, right.shape
    half = jnp.einsum("ia,iam->im", left, values.reshape(n, a, m * b), precision="highest")
    return jnp.einsum("ijb,jb->ij", half.reshape(n, m, b), right, precision="highest")
