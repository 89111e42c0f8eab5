"""What is the kernel of a linear recurrence with a diagonal state? Moments of its initialiser, and a convolution.

    kap_y[t, s] = sum_{p <= t, q <= s} M[p, q] kap[t-p, s-q]                                           (state_space.1)
    th_y = M * th + sum over trained groups G of M_G * kap                                             (state_space.2)

* is the convolution of the first line; M and the M_G are second moments of the response to a token p steps ago, and of
its derivatives by the parameters in G, over the initialiser: see `ntkseq.kernels.lag_moments`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import cells
from ntkseq._precision import product, safe_sqrt
from ntkseq.kernels import lag_moments, tokens
from ntkseq.kernels.chordal import unfold
from ntkseq.kernels.layers import shift
from ntkseq.kernels.tokens import Context, Entry, Features, How, Own, Pair, column, covariance, inverse, row


class Part(NamedTuple):
    """A table times the square of a scale of the cell, by name; `weights`: gradients may be taken without the scale."""

    table: str
    scale: str
    weights: bool = False


class Law(NamedTuple):
    """What the initialiser of a cell says.

    tables(t, *choices) -> tables (t, t) by name, host float64; choices: the fields of the cell that it takes;
    covariance: the parts whose sum is M; groups: the part M_G of each trained group, by its letter.
    """

    tables: Callable[..., dict[str, np.ndarray]]
    choices: tuple[str, ...]
    covariance: tuple[Part, ...]
    groups: dict[str, Part]

    def chosen(self, cell: cells.Cell) -> tuple[Any, ...]:
        """The values of the choices."""
        return tuple(getattr(cell, name) for name in self.choices)


_LRU = Part("plain", "sigma_u")
_S4D = Part("plain", "sigma_c")
LAWS: dict[type, Law] = {
    cells.LRU: Law(
        lag_moments.lru,
        ("r_min", "r_max", "max_phase"),
        (_LRU,),
        {"n": _LRU._replace(table="radius"), "t": _LRU._replace(table="phase"), "g": _LRU, "C": _LRU}
        | {"B": _LRU._replace(weights=True)},
    ),
    cells.S4D: Law(
        lag_moments.s4d,
        ("states", "dt_min", "dt_max"),
        (_S4D, Part("skip", "sigma_d")),
        {"d": _S4D._replace(table="step"), "r": _S4D._replace(table="real"), "i": _S4D._replace(table="imaginary")}
        | {"C": _S4D._replace(weights=True), "D": Part("skip", "sigma_d", weights=True)},
    ),
}


def alone(cell: cells.Cell, own: Own, context: Context) -> tuple[Entry, Float[Array, "n t"]]:
    """What pairs need of each sequence, and the standard deviations behind the cell."""
    x, t = own.std, own.std.shape[1]
    table = _total(cell, _covariance(cell), t, x)
    root = x[:, :, None] * x[:, None, :]
    kap = root * (1 - 2 * unfold(own.z))
    pick = lambda a: jnp.diagonal(a, axis1=2, axis2=3)[0]  # noqa: E731
    variance = jnp.maximum(pick(_convolve(kap[None], table)), 0)
    gross = safe_sqrt(pick(_convolve(root[None], jnp.abs(table))))
    std = context.rattle(safe_sqrt(variance), gross)
    ratio = gross * inverse(safe_sqrt(variance))  # how much larger what was added is than the sum
    context.rounds.append(jax.lax.stop_gradient(jnp.max(jnp.where(context.inside, ratio**2, 0), axis=1)))
    return {"in": x, "out": std, "gross": ratio}, std


def pair(cell: cells.Cell, left: Entry, right: Entry, pair: Pair, how: How) -> Pair:
    """A pair of sequences behind the cell."""
    t = max(pair.z.shape[2:])
    kap = covariance(left["in"], right["in"], pair.z)
    table = _total(cell, _covariance(cell), t, kap)
    k = _convolve(kap, table)
    eps = float(jnp.finfo(k.dtype).eps)
    noise = 4 * eps * row(left["gross"]) * column(right["gross"])
    z = tokens.settle((1 - k * row(inverse(left["out"])) * column(inverse(right["out"]))) / 2, noise, how)
    if pair.th is None:
        return Pair(z, None)
    th = _convolve(pair.th, table)
    own = _trained(cell, how.raw)
    return Pair(z, th + _convolve(kap, _total(cell, own, t, kap)) if own else th)


def pooled(cell: cells.Cell, lagged: Features, context: Context) -> Features:
    """Explicit features (n, 1, ...) of one sum of outputs, from the same sum of inputs at every lag, (n, t, ...)."""
    t = lagged.f.shape[1]

    def images(a: Array, parts: Parts) -> tuple[Array, Array]:
        """Features, and the sizes of what was added up in them."""
        flat = lambda z: z.reshape(len(z), 1, -1)  # noqa: E731
        both = []
        for scale, tables in _by_scale(parts).items():
            table = _array(_roots(cell, t, tables), a) * (1 if scale is None else _scale(cell, scale, a))
            both.append([flat(product("ntp,tk->nkp", b, c)) for b, c in ((a, table), (jnp.abs(a), jnp.abs(table)))])
        values, sizes = (jnp.concatenate(several, axis=-1) for several in zip(*both, strict=True))
        return values, sizes

    f, gross = images(lagged.f, _covariance(cell))
    std, most = (safe_sqrt(jnp.sum(a**2, axis=-1)) for a in (f, gross))
    context.rounds.append(jax.lax.stop_gradient(jnp.max((most * inverse(std)) ** 2, axis=1)))
    f = context.rattle(f, gross)
    if not context.tangent:
        return Features(f, lagged.g[:, :1])
    g = [context.rattle(*images(lagged.g, _covariance(cell)))] if lagged.g.shape[2] else []
    if own := _trained(cell, context.raw):
        g.append(context.rattle(*images(lagged.f, own)))
    return Features(f, jnp.concatenate(g, axis=-1) if g else lagged.g[:, :1])


# --------------------------------------------------------------------------------------------------- sums of tables

Parts = tuple[tuple[str, str | None], ...]
"""Tables and scales by name; None: no scale."""


def _covariance(cell: cells.Cell) -> Parts:
    return tuple((part.table, part.scale) for part in LAWS[type(cell)].covariance)


def _trained(cell: Any, raw: bool) -> Parts:
    parts = [LAWS[type(cell)].groups[letter] for letter in cell.train]
    return tuple((part.table, None if raw and part.weights else part.scale) for part in parts)


def _by_scale(parts: Parts) -> dict[str | None, tuple[str, ...]]:
    scales = dict.fromkeys(scale for _, scale in parts)
    return {scale: tuple(name for name, of in parts if of == scale) for scale in scales}


def _total(cell: cells.Cell, parts: Parts, t: int, like: Array) -> Float[Array, "t t"]:
    """The sum of the tables, each with the square of its scale."""
    law = LAWS[type(cell)]
    tables = law.tables(t, *law.chosen(cell))
    total = _array(np.zeros((t, t)), like)
    for scale, names in _by_scale(parts).items():
        table = _array(np.sum([tables[name] for name in names], axis=0), like)
        total = total + (table if scale is None else _scale(cell, scale, like) ** 2 * table)
    return total


def _roots(cell: cells.Cell, t: int, names: tuple[str, ...]) -> Float[np.ndarray, "t k"]:
    """R with R R^T the sum of these tables, as near as float64 allows."""
    law = LAWS[type(cell)]
    return _root(law.tables, t, law.chosen(cell), names)


@lru_cache(maxsize=64)
def _root(tables: Callable[..., dict], t: int, choices: tuple[Any, ...], names: tuple[str, ...]) -> np.ndarray:
    held = tables(t, *choices)
    sizes, vectors = np.linalg.eigh(np.sum([held[name] for name in names], axis=0))
    kept = sizes > np.finfo(np.float64).eps * sizes[-1]
    return np.ascontiguousarray((vectors[:, kept] * np.sqrt(sizes[kept]))[:, ::-1])


def _scale(cell: cells.Cell, name: str, like: Array) -> Array:
    return jnp.asarray(getattr(cell, name), like.dtype)


def _array(values: np.ndarray, like: Array) -> Array:
    return jnp.asarray(values, like.dtype)


def _convolve(grid: Float[Array, "n m t s"], table: Float[Array, "p q"]) -> Float[Array, "n m t s"]:
    """sum_{p <= t, q <= s} table[p, q] grid[t-p, s-q], one lag p at a time: a matrix product each."""
    t, s = grid.shape[2:]
    lag = jnp.arange(s, dtype=jnp.int32)[None] - jnp.arange(s, dtype=jnp.int32)[:, None]

    def add(carry: tuple[Array, Array], weights: Array) -> tuple[tuple[Array, Array], None]:
        total, late = carry
        toeplitz = jnp.where(lag >= 0, weights[jnp.maximum(lag, 0)], 0)
        total = total + jnp.einsum("nmtq,qs->nmts", late, toeplitz, precision="highest")
        return (total, shift(late, axis=2)), None

    return jax.lax.scan(add, (jnp.zeros_like(grid), grid), table[:t, :s])[0][0]
