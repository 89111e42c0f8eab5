"""In which form are the tokens of one sequence, and of two, carried through a network?

Up to the first activation a network on tokens is linear in its random weights, given the attention matrices: then

    kap_ij = F_i F_j^T,   th_ij = G_i G_j^T                                                            (tokens.1)

with explicit features F (t, p) and G (t, q) of each sequence (`Features`): nothing is computed per pair. Behind it the
covariance of tokens a of i and b of j is carried as the standard deviations of both and a quarter of the squared
distance of the normalised tokens, m = (1 - rho) / 2 (`Pair`), folded at a half (`chordal.fold`). If y is the sum of
independent parts, with the shares s = std(part) / std(y) of each token, both m and 1 - m are sums without cancellation:

    m_y = sum over parts of (s - s')^2 / 4 + s s' m,   1 - m_y the same with 1 - m                     (tokens.2)
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkseq._precision import product
from ntkseq._types import AnyArray
from ntkseq.kernels.chordal import fold, unfold, unfold_rest

Entry = Any
"""What a pair of sequences needs of one of them at one block: a pytree of arrays with leading axis n."""

_UNROLL = 24  # features up to this number stand as one expression in the compiled program


class Features(NamedTuple):
    """Explicit features of the tokens."""

    f: Float[Array, "n t p"]
    g: Float[Array, "n t q"]


class Pair(NamedTuple):
    """Two batches of sequences against each other: folded m, and the tangent kernel (None: not wanted)."""

    z: Float[Array, "n m t s"]
    th: Float[Array, "n m t s"] | None


class Own(NamedTuple):
    """A batch of sequences, each with itself."""

    std: Float[Array, "n t"]
    z: Float[Array, "n t t"]
    th: Float[Array, "n t t"] | None


class How(NamedTuple):
    """How a pair is computed.

    `same`: both sides are one and the same example; traced where one program does for both.
    `raw`: gradients without sigma. `tangent`: whether th is wanted.
    `group`: the group of Monte Carlo draws, a traced integer; None: all of them.
    `jolt`: a traced number; every m that a subtraction made is moved by its noise times this. None: by nothing.
    `row`: the step of the left side, where pairs are those of one step with all of the right side. None: all steps.
    """

    same: Any
    raw: bool
    tangent: bool
    group: Any = None
    jolt: Any = None
    row: Any = None


class Rule(NamedTuple):
    """How a block acts.

    features(block, x, context) -> features behind it, or None if only pairs can pass;
    enter(block, own, context) -> (entry, std) behind it;
    pair(block, left, right, pair, how) -> pair behind it.
    """

    features: Callable[..., Features] | None
    enter: Callable[..., tuple[Entry, Array]]
    pair: Callable[..., Pair]


class Context:
    """What all blocks of one pass share, and what they report."""

    def __init__(self, inside: Array, jolts: Any, raw: bool, tangent: bool, group: Any = None) -> None:
        self.inside = inside  # (n, t) whether a token belongs to its sequence
        self.jolts, self._count = jolts, 0
        self.raw = raw
        self.tangent = tangent
        self.group = group
        self.rounds: list[Array] = []  # (n,) how many roundings each recurrence lets pile up
        self.silent: list[Array] = []  # whether a token of no variance met a LayerNorm without eps

    def at_one(self) -> Context:
        """The same, behind a block of which one token alone is read."""
        one = copy.copy(self)  # the reports are shared
        one.inside, one.jolts = jnp.ones_like(self.inside[:, :1]), self.jolts[:, :1]
        return one

    def rattle(self, a: Array, size: Any = None) -> Array:
        """`a` (n, t) or (n, t, p) with a rounding of `size`, or of itself, drawn at random; as large as `jolts` says.

        Args:
            a: what has been rounded.
            size: of the numbers of which it was made.
        """
        self._count += 1
        most, noise = self.jolts[0, 0, 0], self.jolts[:, :, 1].reshape(self.inside.shape + (1,) * (a.ndim - 2))
        steps = jnp.arange(a.shape[2], dtype=a.dtype).reshape(1, 1, -1) if a.ndim > 2 else 0.0
        turns = noise * (16 + self._count) + 0.618034 * steps  # as good as independent from block to block
        return a + most * (2 * (turns - jnp.floor(turns)) - 1) * (a if size is None else size)

    def letters(self, block: Any) -> str:
        """The trained groups that count."""
        return block.train if self.tangent else ""


def row(a: Array) -> Array:
    """(n, t, ...) -> (n, 1, t, 1, ...)."""
    return jnp.expand_dims(a, (1, 3))


def column(a: Array) -> Array:
    """(m, s, ...) -> (1, m, 1, s, ...)."""
    return jnp.expand_dims(a, (0, 2))


def inverse(a: Array) -> Array:
    """1 / a, and 0 where a is 0."""
    there = a > 0
    return jnp.where(there, 1 / jnp.where(there, a, 1), 0)


def covariance(left: Array, right: Array, z: Array) -> Array:
    """std std' (1 - 2 m)."""
    return row(left) * column(right) * (1 - 2 * unfold(z))


def mix(*parts: tuple[Array, Array, Array | None]) -> Array:
    """tokens.2 for (share, share', folded m) of each part; None: the part is one vector for all tokens, m = 0."""
    terms = []
    for one, two, z in parts:
        u, v = row(one), column(two)
        apart, both = (u - v) ** 2 / 4, u * v
        terms.append((apart, apart + both) if z is None else (apart + both * unfold(z), apart + both * unfold_rest(z)))
    low, high = (sum(several[1:], several[0]) for several in zip(*terms, strict=True))
    return fold(low, high)


def meet(left: Entry, right: Entry, how: How) -> Pair:
    """From features to pairs. `left["f"]` (n, p, t) is normalised, `left["g"]` (n, t, q) is not.

    m is summed from differences, near opposite tokens 1 - m from sums: both keep their digits.
    """
    one, two = left["f"], right["f"]
    opposite = product("npa,mpb->nmab", one, two) < 0
    sign = jnp.where(opposite, -1, 1).astype(one.dtype)
    p = one.shape[1]
    take = lambda a, b: (a[:, None, :, None] - sign * b[None, :, None, :]) ** 2  # noqa: E731
    head = p if p <= _UNROLL else p % 8
    total = jnp.zeros_like(sign)
    for k in range(head):
        total = total + take(one[:, k], two[:, k])
    if head < p:
        group = lambda a: jnp.moveaxis(a[:, head:].reshape(a.shape[0], -1, 8, a.shape[2]), (1, 2), (0, 1))  # noqa: E731

        def add(total: Array, eight: tuple[Array, Array]) -> tuple[Array, None]:
            for a, b in zip(*eight, strict=True):
                total = total + take(a, b)
            return total, None

        total = jax.lax.scan(add, total, (group(one), group(two)))[0]
    total = total / 4
    z = jnp.where(opposite, -jnp.maximum(total, float(jnp.finfo(total.dtype).tiny)), total)
    return Pair(z, product("naq,mbq->nmab", left["g"], right["g"]) if how.tangent else None)


def chord(k: Array, left: Array, right: Array, how: How, noise: float | AnyArray = 4.0) -> Array:
    """Folded m from the covariance k and both standard deviations; what is below a few roundings is 0.

    Rounding would otherwise part equal tokens, by sqrt(eps) where the next activation has a kink.

    Args:
        noise: how far m may be off, in eps.
    """
    ratio = k * row(inverse(left)) * column(inverse(right))
    eps = float(jnp.finfo(k.dtype).eps)
    return _settled((1 - ratio) / 2, (1 + ratio) / 2, 4 * eps, how, lambda: noise * eps)


def settle(m: Array, floor: Array, how: How, noise: float | AnyArray | None = None) -> Array:
    """Folded m, 0 where it is below `floor`, the size of its own rounding.

    Args:
        noise: how far m may be off; None: as far as the floor.
    """
    return _settled(m, 1 - m, floor, how, lambda: floor if noise is None else noise)


def _settled(m: Array, rest: Array, floor: float | AnyArray, how: How, noise: Callable[[], Any]) -> Array:
    least, own = m <= floor, None
    if how.same is not False:  # a token does not differ from itself
        itself = (
            jnp.eye(m.shape[-1], dtype=bool)
            if how.row is None
            else jnp.arange(m.shape[-1], dtype=jnp.int32)[None] == how.row
        )
        own = itself[None, None] & jnp.asarray(how.same)
        least = least | own
    m, rest = jnp.where(least, 0, jnp.minimum(m, 1)), jnp.clip(rest, 0, 1)
    if how.jolt is not None:  # behind the floor, which may have hidden what is below it
        moved = how.jolt * (noise() if own is None else jnp.where(own, 0, noise()))
        m, rest = jnp.clip(m + moved, 0, 1), jnp.clip(rest - moved, 0, 1)
    return fold(m, rest)


def by_rows(
    step: Callable[[Any, tuple[Array, Entry, Pair]], tuple[Any, Pair]],
    start: Callable[[Pair], Any],
    left: Entry,
    pair: Pair,
) -> Pair:
    """Pairs behind a recurrence, one step of the left side after the other, all of the right side at once.

    Args:
        step: (state, (step, entries of the left side (n, 1, ...), pairs of tokens (n, m, 1, s))) -> (state, pairs).
        start: the state before the first step, from pairs of tokens of one row.
        left: entries (n, t, ...).
        pair: pairs of tokens (n, m, t, s).
    """
    rows = jax.tree.map(lambda a: jnp.moveaxis(a, 1, 0)[:, :, None], left)  # (t, n, 1, ...)
    grid = jax.tree.map(lambda a: jnp.moveaxis(a, 2, 0)[:, :, :, None], pair)  # (t, n, m, 1, s)
    steps = jnp.arange(pair.z.shape[2], dtype=jnp.int32)
    _, states = jax.lax.scan(step, start(jax.tree.map(lambda a: a[0], grid)), (steps, rows, grid))
    return jax.tree.map(lambda a: jnp.moveaxis(a[:, :, :, 0], 0, 2), states)


def turn(inside: Array) -> Array:
    """For each token of each sequence the place it has from the end; padding stays where it is."""
    at = jnp.arange(inside.shape[1], dtype=jnp.int32)[None]
    length = jnp.sum(inside, axis=1, dtype=jnp.int32)[:, None]
    return jnp.where(inside, length - 1 - at, at)
