"""Which pairs of sequences lose most where tokens are told apart by a subtraction, and how much do they lose?

A block that makes m = (1 - rho) / 2 by a subtraction (attention, smooth activations) leaves an error of some eps in it,
however small m is, and the slope of a kink has that of sqrt(m). How much of it arrives in the kernel depends on how
near tokens come: so pairs of sequences are computed again with every such m moved by its noise, up and down, and what
the kernel moves by is the estimate. Nothing is linearised: near zero it goes with the root. Where a chaotic recursion
makes it as large as the kernel itself, two jolts show no more how far another may move it: nothing finite is stated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from ntkseq.kernels.base import Side

_UNIT = 2.0  # of a rattle, in eps
_SAFETY = 2.5  # jolts all of one sign may cancel; the sides' own subtractions come to those of the pair
_ALL = 24  # examples up to which every pair is looked at
_DIRECTIONS, _WINDOW = 8, 6  # of the search for neighbours


def none(x: Float[Any, "n t d"]) -> Float[np.ndarray, "n t 2"]:
    """No jolt of any token's own numbers."""
    return np.zeros((*x.shape[:2], 2), x.dtype)


def response(again: Callable[[Any], Side], values: Callable[..., Any], side: Side) -> float:
    """Largest estimated error of K_ij / sqrt(K_ii K_jj) over the pairs that are looked at; inf for one above 1.

    Args:
        again: the side prepared again with these jolts (n, t, 2): their size, and a number in [0, 1) of each token.
        values: from left and right sides, whether they are the same, and the jolt: their kernel one by one, (n,).
        side: of the examples.
    """
    x = side["x"]
    rng = np.random.default_rng(0)

    def rattled() -> Side:
        jolts = rng.random((*x.shape[:2], 2))
        jolts[:, :, 0] = _UNIT * float(jnp.finfo(x.dtype).eps)
        return jax.tree.map(np.asarray, again(jolts.astype(x.dtype)))

    side = jax.tree.map(np.asarray, side)  # rows are taken on the host: on a device each shape would be compiled
    one, zero = np.ones((), x.dtype), np.zeros((), x.dtype)
    moved = ((rattled(), one), (rattled(), -one))

    def change(right: Callable[[Side], Side], same: bool) -> tuple[np.ndarray, np.ndarray]:
        run = lambda s, jolt: np.asarray(values(s, right(s), np.bool_(same), jolt), np.float64)  # noqa: E731
        here = run(side, zero)
        with np.errstate(invalid="ignore"):  # inf - inf, of values that overflow: the answer is then inf
            return np.max([np.abs(run(*one) - here) for one in moved], axis=0), here

    changed, own = change(lambda s: s, True)
    over = np.where(own > 0, 1 / np.sqrt(np.where(own > 0, own, 1)), 0)
    if not np.isfinite(changed).all():
        return float("inf")
    worst = float(np.max(changed * over**2))
    for which in partners(side, x.shape[0]):
        take = lambda s, which=which: jax.tree.map(lambda leaf: leaf[which], s)  # noqa: E731
        changed = change(take, False)[0]
        if not np.isfinite(changed).all():
            return float("inf")
        worst = max(worst, float(np.max(changed * over * over[which])))
    return _SAFETY * worst if _SAFETY * worst <= 1 else float("inf")


def partners(side: Side, n: int) -> Iterator[Int[np.ndarray, " n"]]:
    """For every example another one, several times: all of them if they are few, else near ones and any ones."""
    index = np.arange(n)
    if n <= _ALL:
        yield from (np.roll(index, k) for k in range(1, n // 2 + 1))
        return
    inside = np.arange(side["x"].shape[1])[None] < side["lengths"][:, None]
    f = np.moveaxis(side["start"]["f"], 1, 2) if "start" in side else side["x"]  # (n, t, p)
    inside = inside[:, : f.shape[1]]  # one token may be all that is read
    f = np.asarray(f, np.float64) * inside[..., None]
    yield nearest(f.reshape(n, -1), index, n)[0]
    yield from nearest(f[inside], np.nonzero(inside)[0], n)
    yield from (np.roll(index, k) for k in (1, n // 2))


def nearest(
    points: Float[np.ndarray, "k p"], group: Int[np.ndarray, " k"], n: int
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """For each of n groups of points the other group that comes nearest to it, and the one nearest to its mirror image.

    Neighbours are looked for along a few random directions, in O(k log k): the nearest one may be missed where points
    are everywhere equally dense, not where two nearly coincide.
    """
    rng = np.random.default_rng(0)
    both, group = np.concatenate([points, -points]), np.tile(group, 2)
    sign = np.repeat([1, -1], len(points))
    least = np.full((2, n), np.inf)
    other = np.stack([np.roll(np.arange(n), 1)] * 2)
    for direction in rng.standard_normal((_DIRECTIONS, points.shape[1])):
        order = np.argsort(both @ direction, kind="stable")
        for step in range(1, min(_WINDOW, len(order) - 1) + 1):
            a, b = order[:-step], order[step:]
            square = np.sum((both[a] - both[b]) ** 2, axis=1)
            for kind in (0, 1):
                chosen = np.flatnonzero((group[a] != group[b]) & ((sign[a] != sign[b]) == kind))
                chosen = chosen[np.argsort(-square[chosen], kind="stable")]  # of several for one group the last stays
                for one, two in ((group[a], group[b]), (group[b], group[a])):
                    near = chosen[square[chosen] < least[kind, one[chosen]]]
                    least[kind, one[near]], other[kind, one[near]] = square[near], two[near]
    return other[0], other[1]
