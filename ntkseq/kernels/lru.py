"""What is the kernel of a linear recurrent unit? Moments of its initialiser, and a convolution over both time axes.

    kap_y[t, s] = sigma_u^2 sum_{p <= t, q <= s} M[p, q] kap[t-p, s-q],   M[p, q] = E Re(g^2 lam^p conj(lam)^q)
                                                                                                        (state_space.1)
    th_y = sigma_u^2 (M * th + ((w_B + w_C + w_g) M + w_n N + w_t P) * kap)                              (state_space.2)
    N[p, q] = p q E Re(g^2 (ln |lam|)^2 lam^p conj(lam)^q),   P[p, q] = p q E Re(g^2 theta^2 lam^p conj(lam)^q)

* is the convolution of the first line. With r = |lam|^2 uniform on [a, b] and a phase uniform on [0, f], u = (p + q)/2:

    M = E[(1 - r) r^u] E cos(theta (p - q)),   N = p q E[(1 - r) r^u (ln r)^2 / 4] E cos(theta (p - q)),
    P = p q E[(1 - r) r^u] E[theta^2 cos(theta (p - q))]                                                 (state_space.3)

On the whole disc (a, b, f = 0, 1, 2 pi) M[p, q] = [p = q] / ((p + 1)(p + 2)): a power of the lag.     (state_space.4)
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import factorial

from ntkseq._precision import product, safe_sqrt
from ntkseq.cells import LRU
from ntkseq.kernels import tokens
from ntkseq.kernels.chordal import unfold
from ntkseq.kernels.layers import shift
from ntkseq.kernels.tokens import Context, Entry, Features, How, Own, Pair, column, covariance, inverse, row

_SERIES = 0.5  # phases times lags below which the moments of the phase are sums of their series


class Moments(NamedTuple):
    """state_space.3 for all lags p, q below t; host float64."""

    plain: Float[np.ndarray, "t t"]
    radius: Float[np.ndarray, "t t"]
    phase: Float[np.ndarray, "t t"]


@lru_cache(maxsize=32)
def moments(t: int, r_min: float, r_max: float, max_phase: float) -> Moments:
    """The moments of the initialiser."""
    twice = np.arange(2 * t - 1) / 2.0  # u = (p + q) / 2
    gap = np.arange(t, dtype=np.float64)
    lag = np.arange(t)
    both, apart = lag[:, None] + lag[None], np.abs(lag[:, None] - lag[None])
    size, logs = (_radius(twice, r_min**2, r_max**2, power)[both] for power in (0, 2))
    turn, weighed = (_phase(gap, max_phase, power)[apart] for power in (0, 2))
    pq = np.multiply.outer(gap, gap)
    return Moments(size * turn, pq * logs / 4 * turn, pq * size * weighed)


def _radius(u: np.ndarray, a: float, b: float, power: int) -> np.ndarray:
    """E[(1 - r) r^u (ln r)^power] for r uniform on [a, b]."""

    def integral(v: np.ndarray) -> np.ndarray:  # of r^(v - 1) (ln r)^power from a to b
        ends = []
        for r in (b, a):
            log = np.log(r) if r > 0 else 0.0
            value = np.power(r, v) / v
            ends.append(value if power == 0 else value * (log**2 - 2 * log / v + 2 / v**2))
        return ends[0] - ends[1]

    return (integral(u + 1) - integral(u + 2)) / (b - a)


def _phase(gap: np.ndarray, f: float, power: int) -> np.ndarray:
    """E[theta^power cos(theta gap)] for theta uniform on [0, f]."""
    x = f * gap
    near = x < _SERIES
    k = np.arange(12)[:, None]
    series = np.sum((-1.0) ** k / factorial(2 * k) * np.where(near, x, 0.0) ** (2 * k) / (2 * k + power + 1), axis=0)
    y = np.where(near, 1.0, x)
    far = np.sin(y) / y
    if power:
        far = far + 2 * np.cos(y) / y**2 - 2 * np.sin(y) / y**3
    return f**power * np.where(near, series, far)


def alone(cell: LRU, own: Own, context: Context) -> tuple[Entry, Float[Array, "n t"]]:
    """What pairs need of each sequence, and the standard deviations behind the cell."""
    x, t = own.std, own.std.shape[1]
    table = _table(moments(t, cell.r_min, cell.r_max, cell.max_phase).plain, x)
    root = x[:, :, None] * x[:, None, :]
    kap = root * (1 - 2 * unfold(own.z))
    pick = lambda a: jnp.diagonal(a, axis1=2, axis2=3)[0]  # noqa: E731
    variance = jnp.maximum(pick(_convolve(kap[None], table)), 0)
    gross = safe_sqrt(pick(_convolve(root[None], jnp.abs(table))))
    std = context.rattle(cell.sigma_u * safe_sqrt(variance), cell.sigma_u * gross)
    ratio = gross * inverse(safe_sqrt(variance))  # how much larger what was added is than the sum
    context.rounds.append(jax.lax.stop_gradient(jnp.max(jnp.where(context.inside, ratio**2, 0), axis=1)))
    return {"in": x, "out": std, "gross": ratio}, std


@lru_cache(maxsize=64)
def roots(t: int, cell: tuple[float, float, float], plain: float, radius: float, phase: float) -> np.ndarray:
    """(t, k) float64: R R^T is this combination of the moments of lags below t, as near as float64 allows."""
    sizes, vectors = np.linalg.eigh(sum(c * m for c, m in zip((plain, radius, phase), moments(t, *cell), strict=True)))
    kept = sizes > np.finfo(np.float64).eps * sizes[-1]
    return np.ascontiguousarray((vectors[:, kept] * np.sqrt(sizes[kept]))[:, ::-1])


def pooled(cell: LRU, lagged: Features, context: Context) -> Features:
    """Explicit features (n, 1, ...) of one sum of outputs, from the same sum of inputs at every lag, (n, t, ...)."""
    t, ring = lagged.f.shape[1], (cell.r_min, cell.r_max, cell.max_phase)

    def image(a: Array, own: tuple[float, float, float], u: Any) -> tuple[Array, Array]:
        table = _table(roots(t, ring, *own), a) * u
        flat = lambda z: z.reshape(len(z), 1, -1)  # noqa: E731
        gross = product("ntp,tk->nkp", jnp.abs(a), jnp.abs(table))
        return flat(product("ntp,tk->nkp", a, table)), flat(gross)

    plain = (1.0, 0.0, 0.0)
    f, gross = image(lagged.f, plain, cell.sigma_u)
    std, most = (safe_sqrt(jnp.sum(a**2, axis=-1)) for a in (f, gross))
    context.rounds.append(jax.lax.stop_gradient(jnp.max((most * inverse(std)) ** 2, axis=1)))
    if not context.tangent:
        return Features(context.rattle(f, gross), lagged.g[:, :1])
    g = [image(lagged.g, plain, cell.sigma_u)]
    own = _own(cell, "B" in cell.train and not context.raw)
    if any(own):
        g.append(image(lagged.f, own, cell.sigma_u))
    if "B" in cell.train and context.raw:
        g.append(image(lagged.f, plain, jnp.ones_like(cell.sigma_u)))
    return Features(context.rattle(f, gross), jnp.concatenate([context.rattle(*one) for one in g], axis=-1))


def pair(cell: LRU, left: Entry, right: Entry, pair: Pair, how: How) -> Pair:
    """A pair of sequences behind the cell."""
    t = max(pair.z.shape[2:])
    table = moments(t, cell.r_min, cell.r_max, cell.max_phase)
    kap = covariance(left["in"], right["in"], pair.z)
    plain = _table(table.plain, kap)
    unit = _convolve(kap, plain)
    k = cell.sigma_u**2 * unit
    eps = float(jnp.finfo(k.dtype).eps)
    noise = 4 * eps * row(left["gross"]) * column(right["gross"])
    z = tokens.settle((1 - k * row(inverse(left["out"])) * column(inverse(right["out"]))) / 2, noise, how)
    if pair.th is None:
        return Pair(z, None)
    own = sum(weight * moment for weight, moment in zip(_own(cell), table, strict=True))
    th = cell.sigma_u**2 * (_convolve(pair.th, plain) + _convolve(kap, _table(own, kap)))
    if "B" in cell.train:
        th = th + (unit if how.raw else k)
    return Pair(z, th)


def _own(cell: LRU, inputs: bool = False) -> tuple[float, float, float]:
    """How often each of the moments counts for the trained groups; B where its gradients carry sigma_u."""
    return sum(g in cell.train for g in "gC") + float(inputs), float("n" in cell.train), float("t" in cell.train)


def _table(values: np.ndarray, like: Array) -> Array:
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
