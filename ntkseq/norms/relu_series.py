"""How do truncated power series pass through a relu layer, and which kernels have one with coefficients >= 0?"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from ntkseq import _checks, activations
from ntkseq._types import AnyKernel
from ntkseq.kernels import Recurrent

MOST_TERMS = 1200  # the product of two series takes its square in memory


def multi_indices(variables: int, degree: int) -> Int[np.ndarray, "m v"]:
    """All exponents of total degree at most `degree`, sorted by it; the first ones are 0, e_1, ..., e_v."""
    found = math.comb(variables + degree, degree)
    if found > MOST_TERMS:
        raise ValueError(
            f"degree {degree} in {variables} variables has {found} coefficients, more than {MOST_TERMS}. "
            "Lower the degree, or take fewer positions at a time."
        )
    if variables == 0:
        return np.zeros((1, 0), np.int64)
    rows: list[list[int]] = []
    for total in range(degree + 1):
        bars = itertools.combinations(range(total + variables - 1), variables - 1)
        edges = [(-1, *places, total + variables - 1) for places in bars]
        rows += [[b - a - 1 for a, b in itertools.pairwise(one)] for one in reversed(edges)]
    return np.array(rows, np.int64)


@dataclass(frozen=True, eq=False)
class Dual:
    """E[phi phi] and E[phi' phi'] as series, and what they are at the centre."""

    covariance: np.ndarray
    slope: np.ndarray
    gap: Any
    power: Any
    cosine: Any
    sine_squared: Any
    centre_slope: Any


@dataclass(frozen=True, eq=False)
class Network:
    """The squared scales of a relu recurrent kernel, layer by layer, and what of it is trained."""

    w2: np.ndarray
    u2: np.ndarray
    b2: np.ndarray
    v2: Any
    h0: Any
    own: dict[str, np.ndarray]  # multipliers of the own-parameter terms, 0 where not trained
    own_v: Any
    ntk: int
    steep: Any  # (a - b)^2 for a max(z, 0) + b min(z, 0)
    linear: Any  # a b

    @property
    def gain(self) -> Any:
        return self.steep / 2 + self.linear


class Algebra:
    """Truncated series (g, m) with the exponents of the rows."""

    def __init__(self, exponents: np.ndarray, real: Any) -> None:
        place = {tuple(row): i for i, row in enumerate(exponents.tolist())}
        differences = exponents[:, None, :] - exponents[None, :, :]  # (m, m, v)
        self.real = real
        self.at = np.array([[place.get(tuple(d), len(place)) for d in row] for row in differences.tolist()])

    def constant(self, series: np.ndarray, value: object) -> np.ndarray:
        out = series.copy()
        out[:, 0] += value
        return out

    def operator(self, series: np.ndarray) -> np.ndarray:
        """The matrix that multiplies with a series, (g, m, m)."""
        return np.concatenate([series, np.zeros((len(series), 1), self.real)], axis=1)[:, self.at]

    def times(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return (self.operator(one) @ other[:, :, None])[:, :, 0]


def dual(algebra: Algebra, relu: Network, total: np.ndarray, power: Any, gap: Any, degree: int) -> Dual:
    """E[phi phi] and E[phi' phi'] as series, for pre-activations of variance `power` and covariance `total`."""
    real = algebra.real
    if gap == 0 or power == 0:  # nothing varies up to here: both inputs have the same state
        flat = algebra.constant(np.zeros_like(total), 1)
        one, zero = real(1.0), real(0.0)
        return Dual(flat * (relu.gain * power), flat * relu.gain, zero, power, one, zero, one)
    pi = 4 * np.arctan(real(1.0))
    centre = max(power - gap, real(0.0))
    square = gap * (power + centre) / power**2  # 1 - rho^2, without cancellation
    sine, cosine = np.sqrt(square), centre / power
    angle = np.arctan2(sine, cosine)
    v = [1 / sine]
    for k in range(degree):
        v.append((cosine * (2 * k + 1) * v[k] + (k * v[k - 1] if k else 0)) / ((k + 1) * square))
    k0 = [(pi - angle) / pi] + [v[j] / (pi * (j + 1)) for j in range(degree)]
    k1 = [(sine + cosine * (pi - angle)) / pi] + [k0[j] / (j + 1) for j in range(degree)]
    inner = total / power  # rho
    inner[:, 0] = 0
    multiply, term = algebra.operator(inner), algebra.constant(np.zeros_like(total), 1)
    slope, covariance = np.zeros_like(total), np.zeros_like(total)
    for j in range(degree + 1):
        slope, covariance = slope + k0[j] * term, covariance + k1[j] * term
        term = (multiply @ term[:, :, None])[:, :, 0]
    steep, linear = relu.steep, relu.linear
    if angle < 0.05:  # cosine angle - sine, by its series: the difference loses half the digits
        a2 = angle**2
        bend = -cosine * angle**3 * (real(1) / 3 + a2 * (real(2) / 15 + a2 * (real(17) / 315 + a2 * 62 / real(2835))))
    else:
        bend = cosine * angle - sine
    return Dual(
        covariance=power * (steep / 2 * covariance + linear * algebra.constant(inner, cosine)),
        slope=algebra.constant(steep / 2 * slope, linear),
        gap=steep * (gap / 2 + power * bend / (2 * pi)) + linear * gap,
        power=power,
        cosine=cosine,
        sine_squared=square,
        centre_slope=k0[0],
    )


def network(kernel: AnyKernel, real: Any) -> Network:
    """The numbers of the kernel, if it has a power series with coefficients >= 0."""
    if not isinstance(kernel, Recurrent):
        raise ValueError(f"kernel must be a kernels.Recurrent, whose series is known; got {type(kernel).__name__}.")
    act = activations.get(kernel.activation)
    if not activations.is_rectifier(act):
        raise ValueError(
            f"kernel must have the relu activation; "
            f"got {_checks.shown(act)}. Only for relu and leaky relu are the coefficients of "
            "the kernel at its centre computed here, and known not to be negative."
        )
    for name in ("sigma_w", "sigma_u", "sigma_b", "sigma_r", "sigma_h"):
        if not _checks.is_concrete(getattr(kernel, name)) and not isinstance(getattr(kernel, name), (list, tuple)):
            raise ValueError(f"{name} is needed as a number on the host; got a tracer. Call this outside jit and grad.")
    a, b = real(float(act.positive)), real(float(act.negative))
    if a * b < 0:
        raise ValueError(
            f"kernel must have an activation that rises or falls throughout; got slopes {float(a):g} and {float(b):g}. "
            "With slopes of opposite sign the coefficients are differences, which rounding may turn positive."
        )
    for name, wanted in (("read", "last"), ("direction", "forward")):
        if getattr(kernel, name) != wanted:
            raise ValueError(
                f'kernel must have {name}="{wanted}", the read-out of the theorems; got {getattr(kernel, name)!r}.'
            )
    if kernel.h0 == "independent":
        raise ValueError(
            'kernel must have h0="zero" or "shared"; with h0="independent" it is no function of the inputs.'
        )
    raw, ntk = kernel.param == "raw", kernel.kind == "ntk"
    w2, u2, b2 = (
        np.broadcast_to(np.asarray(getattr(kernel, name), real) ** 2, (kernel.depth,))
        for name in ("sigma_w", "sigma_u", "sigma_b")
    )
    own = {
        name: np.array([(1.0 if raw else scale[i]) * (name in kernel.train[i]) for i in range(kernel.depth)], real)
        for name, scale in (("W", w2), ("U", u2), ("b", b2))
    }
    v2 = real(float(kernel.sigma_r)) ** 2
    trained = "R" in kernel.train[-1]
    own_v = (real(1.0) if raw else v2) * trained if ntk else v2
    h0 = real(float(kernel.sigma_h)) ** 2 if kernel.h0 == "shared" else real(0.0)
    return Network(w2, u2, b2, v2, h0, own, own_v, int(ntk), (a - b) ** 2, a * b)
