"""Second moments of linear recurrences over their initialisers, lag by lag: closed forms, or quadrature (slow S4D).

LRU (state_space.3), with r = |lam|^2 uniform on [a, b] and a phase uniform on [0, f], u = (p + q) / 2:

    M = E[(1 - r) r^u] E cos(theta (p - q)),   N = p q E[(1 - r) r^u (ln r)^2 / 4] E cos(theta (p - q)),
    P = p q E[(1 - r) r^u] E[theta^2 cos(theta (p - q))]

On the whole disc (a, b, f = 0, 1, 2 pi) M[p, q] = [p = q] / ((p + 1)(p + 2)): a power of the lag.     (state_space.4)

S4D (state_space.7): with z_p = lam^p (lam - 1) / A and lam = exp(dt A), each table is 2 sum_j E Re(D z_p conj(D z_q)),
D one, or the derivative by a parameter.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import scipy  # its parts load when they are first used
from jaxtyping import Float

Table = Float[np.ndarray, "t t"]
_SERIES = 0.5  # below which differences are sums of their series
_CLOSE = 1e-12  # how near two quadratures of S4D come, in units of the root of the diagonal
_FAST = 0.01  # |A| dt_min from which closed forms keep their digits
_PANEL, _MOST_PANELS = 32, 4096  # points of Gauss and Legendre in each panel of log dt

# -------------------------------------------------------------------------------------------------------------- LRU


@lru_cache(maxsize=32)
def lru(t: int, r_min: float, r_max: float, max_phase: float) -> dict[str, Table]:
    """M ("plain"), N ("radius") and P ("phase") for all lags below t; host float64."""
    twice = np.arange(2 * t - 1) / 2.0  # u = (p + q) / 2
    gap = np.arange(t, dtype=np.float64)
    lag = np.arange(t)
    both, apart = lag[:, None] + lag[None], np.abs(lag[:, None] - lag[None])
    size, logs = (_radius(twice, r_min**2, r_max**2, power)[both] for power in (0, 2))
    turn, weighed = (_phase(gap, max_phase, power)[apart] for power in (0, 2))
    pq = np.multiply.outer(gap, gap)
    return {"plain": size * turn, "radius": pq * logs / 4 * turn, "phase": pq * size * weighed}


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
    series = np.sum(
        (-1.0) ** k / scipy.special.factorial(2 * k) * np.where(near, x, 0.0) ** (2 * k) / (2 * k + power + 1), axis=0
    )
    y = np.where(near, 1.0, x)
    far = np.sin(y) / y
    if power:
        far = far + 2 * np.cos(y) / y**2 - 2 * np.sin(y) / y**3
    return f**power * np.where(near, series, far)


# -------------------------------------------------------------------------------------------------------------- S4D


@lru_cache(maxsize=32)
def s4d(t: int, states: int, dt_min: float, dt_max: float) -> dict[str, Table]:
    """The tables of plain values ("plain"), of log dt ("step"), log -Re A ("real") and Im A ("imaginary").

    "skip" is 1 at lag 0. Modes that turn fast, |A| dt_min >= 0.01, have closed forms, good to 1e-12 sqrt(T[p, p]
    T[q, q]); for the others log dt is integrated over panels of Gauss and Legendre, whose number is doubled until no
    entry of a sample of lags moves by more than 1e-12 of that.
    """
    tables = {name: np.zeros((t, t)) for name in _IMAGES}
    for mode in -0.5 + 1j * np.pi * np.arange(states // 2):
        closed = abs(mode) * dt_min >= _FAST  # else its differences of exponential integrals would cancel
        found = _closed(mode, t, dt_min, dt_max) if closed else _quadrature(mode, t, dt_min, dt_max)
        for name, table in found.items():
            tables[name] += table
    skip = np.zeros((t, t))
    skip[0, 0] = 1
    return tables | {"skip": skip}


def _closed(mode: complex, t: int, low: float, high: float) -> dict[str, Table]:
    """The tables of one mode A by exponential integrals.

    z_p is a difference of lam^p / A, its derivatives are differences of dt p lam^p and dt p lam^p / A - lam^p / A^2; so
    each table is a second difference of P^k Q^l E[dt^(k+l) exp(a dt)], a = P A + Q conj A.
    """
    below = np.tril_indices(t + 1)
    p, q = (index.astype(np.float64) for index in below)
    a = p * mode + q * np.conj(mode)
    a[0] = -1.0  # p = q = 0 is set by hand
    span = np.log(high / low)
    ends = [np.exp(a * h) for h in (low, high)]
    by_power = (
        (_exp1(-a * low) - _exp1(-a * high), span),
        ((ends[1] - ends[0]) / a, high - low),
        ((high - 1 / a) / a * ends[1] - (low - 1 / a) / a * ends[0], (high**2 - low**2) / 2),
    )
    lattices = []
    for values, at_zero in by_power:
        values[0] = at_zero
        lattice = np.zeros((t + 1, t + 1), complex)
        lattice[below] = values / span
        lattices.append(lattice + np.tril(lattice, -1).conj().T)
    plain, once, twice = lattices
    k = np.arange(t + 1.0)
    twice = np.multiply.outer(k, k) * twice
    by_mode = twice / abs(mode) ** 2 + plain / abs(mode) ** 4
    by_mode -= k[:, None] * once / (mode * np.conj(mode) ** 2) + k[None] * once / (mode**2 * np.conj(mode))
    change = lambda lattice: 2 * np.diff(np.diff(lattice, axis=0), axis=1).real  # noqa: E731
    moved = change(by_mode)
    return {
        "plain": change(plain) / abs(mode) ** 2, "step": change(twice), "real": mode.real**2 * moved,
        "imaginary": moved,
    }  # fmt: skip


def _exp1(z: np.ndarray) -> np.ndarray:
    """The exponential integral in the right half-plane; 0 beyond 45, where it is below 1e-21."""
    near = np.real(z) < 45
    values = np.zeros_like(z)
    values[near] = scipy.special.exp1(z[near])
    return values


def _quadrature(mode: complex, t: int, low: float, high: float) -> dict[str, Table]:
    """The tables of one mode; the number of panels is doubled until a sample of lags has settled."""
    some = np.unique(np.round(np.geomspace(1, t, 16)).astype(int) - 1).astype(np.float64)
    panels, before = 1, dict[str, np.ndarray]()
    while True:
        points = _points(panels, low, high)
        now = {name: _moment(image, mode, some, *points) for name, image in _IMAGES.items()}
        if before and all(_near(now[name], before[name]) for name in _IMAGES):
            break
        if panels >= _MOST_PANELS:
            raise ArithmeticError(f"the integral over dt has not settled with {panels * _PANEL} points.")
        panels, before = 2 * panels, now
    lags = np.arange(t, dtype=np.float64)
    return {name: _moment(image, mode, lags, *points) for name, image in _IMAGES.items()}


def _points(panels: int, dt_min: float, dt_max: float) -> tuple[np.ndarray, np.ndarray]:
    """Points dt and weights, of sum one, for log dt uniform between the logs of both ends."""
    x, w = np.polynomial.legendre.leggauss(_PANEL)
    at = (np.arange(panels)[:, None] + (x[None] + 1) / 2).ravel() / panels
    low, high = np.log(dt_min), np.log(dt_max)
    return np.exp(low + (high - low) * at), np.tile(w / 2, panels) / panels


def _near(a: np.ndarray, b: np.ndarray) -> bool:
    root = np.sqrt(np.diagonal(a))
    return bool(np.all(np.abs(a - b) <= _CLOSE * np.multiply.outer(root, root)))


def _moment(image: Callable, mode: complex, lags: np.ndarray, dt: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """2 E Re(D z_p conj(D z_q)) over dt for one mode."""
    total = np.zeros((len(lags), len(lags)))
    block = max(1, (1 << 22) // len(lags))
    for start in range(0, len(dt), block):
        part = slice(start, start + block)
        h, p = dt[None, part], lags[:, None]
        decay = np.exp(p * (h * mode))
        z = decay * image(mode, h, p) * np.sqrt(2 * weight[None, part])
        both = np.concatenate([z.real, z.imag], axis=1)
        total += both @ both.T
    return total


def _gain(mode: complex, dt: np.ndarray) -> np.ndarray:
    """(exp(dt A) - 1) / A."""
    return np.expm1(dt * mode) / mode


_IMAGES: dict[str, Callable] = {  # D z_p lam^-p
    "plain": lambda mode, dt, p: _gain(mode, dt),
    "step": lambda mode, dt, p: dt * (np.exp(dt * mode) + p * mode * _gain(mode, dt)),
    "real": lambda mode, dt, p: mode.real * _by_mode(mode, dt, p),
    "imaginary": lambda mode, dt, p: _by_mode(mode, dt, p),
}


def _by_mode(mode: complex, dt: np.ndarray, p: np.ndarray) -> np.ndarray:
    """d z_p / d A, times lam^-p."""
    z = dt * mode
    near = np.abs(z) < _SERIES
    small, large = np.where(near, z, 0), np.where(near, 1, z)
    series = np.sum([small**j * (j + 1) / scipy.special.factorial(j + 2) for j in range(16)], axis=0)
    bend = np.where(near, series, (large * np.exp(large) - np.expm1(large)) / large**2)
    return dt**2 * bend + p * dt * _gain(mode, dt)
