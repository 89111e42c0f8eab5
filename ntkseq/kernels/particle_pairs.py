"""How are the gradients of two sequences' particles contracted at the speed of matrix products?

The weights W^a of a gate have the gradient F_pq = sum_t da_tp m_tq, so that the kernel needs the mean over p and q of

    F_pq F'_pq = sum_{t,s} da_tp da'_sp m_tq m'_sq

That is one matrix product of all sequences with all, however many steps they have. The mean need not run over all
P^2 pairs (p, q): what it varies by comes almost all from the P particles on either side, and each p is paired with the
`_PARTNERS` particles of the next group alone. The mean is unbiased for the same expectation, a sum of squares still,
and its variance was at most 1.02 times that of all pairs (GRU and LSTM, 8 to 32 steps, P = 256), at an eighth of the
cost for P = 512.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq._precision import product

_PARTNERS = 64
_FORMED = 1 << 23  # numbers of a side's gradients that are formed at a time: 32 MiB in float32
_BLOCKS = 4  # of rows in which a matrix of one set with itself is formed from its upper triangle: 5/8 of the square


class Fed(NamedTuple):
    """Gates fed by the same m."""

    m: Float[Array, "n t p"]
    da: Float[Array, "n t q"]
    """q = p for each gate, one gate behind the other."""


def crossed(left: Fed, right: Fed | None = None) -> Float[Array, "n m"]:
    """The mean of F_pq F'_pq over pairs of particles, summed over the gates of each side.

    Args:
        left, right: states and gradients. `right=None`: `left` with itself, where only the upper triangle is to be
            used.
    """
    p = left.m.shape[2]
    groups = -(-p // _PARTNERS)
    size = -(-p // groups)
    filled = np.minimum(size, p - size * np.arange(groups))

    def split(of: Fed) -> tuple[Array, Array]:
        """States and gradients with an axis of particles at the end, filled up with zeros to whole groups."""
        da = of.da.reshape(*of.da.shape[:2], -1, p)
        return tuple(jnp.pad(a, [(0, 0)] * (a.ndim - 1) + [(0, groups * size - p)]) for a in (of.m, da))  # pyright: ignore

    def gradients(of: tuple[Array, Array], group: Array) -> Array:
        m = jax.lax.dynamic_slice_in_dim(of[0], (group + 1) % groups * size, size, axis=2)
        da = jax.lax.dynamic_slice_in_dim(of[1], group * size, size, axis=3)
        return _outer(m, da.reshape(*da.shape[:2], -1))

    sides = (split(left),) if right is None else (split(left), split(right))
    return _summed(gradients, sides, groups) / int(np.sum(filled * np.roll(filled, -1)))


Steps = tuple[Array, Array]  # (n, t, k) and (n, t, q)


def complete(left: Steps, right: Steps | None = None) -> Float[Array, "n m"]:
    """sum_{t,s} <a_t, a'_s> <b_t, b'_s> for two sets of (a, b), or of one with itself: then only the upper triangle."""
    (n, t, k), q = left[0].shape, left[1].shape[2]
    m, s, _ = (left if right is None else right)[0].shape
    if k * q * (n * m + n * t + m * s) > n * m * t * s * (k + q):
        return _by_steps(left, left if right is None else right)
    chunks = min(q, -(-k * q * max(n, m) // _FORMED))
    size = -(-q // chunks)

    def gradients(of: Steps, chunk: Array) -> Array:
        return _outer(of[0], jax.lax.dynamic_slice_in_dim(of[1], chunk * size, size, axis=2))

    filled = lambda of: (of[0], jnp.pad(of[1], ((0, 0), (0, 0), (0, chunks * size - q))))  # noqa: E731
    return _summed(gradients, (filled(left),) if right is None else (filled(left), filled(right)), chunks)


def mirrored(values: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """The symmetric matrix with this upper triangle."""
    upper = jnp.triu(values)
    return upper + jnp.triu(values, 1).T


def _outer(a: Float[Array, "n t k"], b: Float[Array, "n t q"]) -> Float[Array, "n w"]:
    few, many = sorted((a, b), key=lambda side: side.shape[2])  # the longer axis last: twice as fast
    return product("ntk,ntq->nkq", few, many).reshape(a.shape[0], -1)


def _summed(gradients: Callable[[Any, Array], Array], sides: tuple[Any, ...], count: int) -> Float[Array, "n m"]:
    """The sum of gradients(left, i) gradients(right, i)' over i < count; of one side with itself the upper triangle."""
    n, m = (jax.tree.leaves(sides[i])[0].shape[0] for i in (0, -1))
    blocks = min(_BLOCKS, max(1, n // 64)) if len(sides) == 1 else 1
    edges = list(itertools.pairwise(np.linspace(0, n, blocks + 1).astype(int)))

    @jax.checkpoint
    def add(total: Array, i: Array) -> tuple[Array, None]:
        one = [gradients(jax.tree.map(lambda leaf: leaf[a:b], sides[0]), i) for a, b in edges]  # noqa: B023
        two = one if len(sides) == 1 else [gradients(sides[1], i)]
        rows = [
            jnp.concatenate(
                [jnp.zeros((f.shape[0], edges[at][0]), f.dtype)] * (len(sides) == 1)
                + [product("nw,mw->nm", f, g) for g in two[at if len(sides) == 1 else 0 :]],
                axis=1,
            )
            for at, f in enumerate(one)
        ]
        return total + jnp.concatenate(rows), None

    zero = jnp.zeros((n, m), jax.tree.leaves(sides)[0].dtype)
    return jax.lax.scan(add, zero, jnp.arange(count, dtype=jnp.int32))[0]


def _by_steps(left: Steps, right: Steps) -> Float[Array, "n m"]:
    """As it stands, for few steps and many numbers on both sides of the products."""

    @jax.checkpoint
    def row(one: Steps) -> Array:
        first, second = (product("tk,msk->mts", a, b) for a, b in zip(one, right, strict=True))
        return jnp.sum(first * second, axis=(1, 2))

    return jax.lax.map(row, left)
