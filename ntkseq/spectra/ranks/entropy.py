"""How many directions does the entropy of a spectrum count?"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _display
from ntkseq._types import ArrayLike
from ntkseq.spectra import density, entropy
from ntkseq.spectra.ranks.base import check_power, needs_all
from ntkseq.spectra.ranks.relative import Box, Relative

if TYPE_CHECKING:
    from ntkseq.spectra.partial import PartialSpectrum


@dataclasses.dataclass(frozen=True)
class Entropy(Relative):
    """exp(H(p)), H(p) = -sum p log p, p = s / sum s; with power=2 of the energies, p = s^2 / sum s^2.

    Its bounds: the entropy moves by at most

        |H(p) - H(q)| <= T log(n - 1) + h(T),   T = |p - q|_1 / 2 <= sum(errors) / sum(s),   h the binary entropy,

    (for the energies s^2 the errors are 2 s error + error^2), and by no more than the box of all values within the
    errors lets it (`spectra.entropy.bounds`).

    Args:
        power: 1 (of s) or 2 (of the energies s^2).

    Raises:
        ValueError: another power.

    Reference: roy2007effective (the definition), audenaert2007, theorem 1 (how far it moves).

    Example:
        >>> from ntkseq import effective_rank, spectra
        >>> round(effective_rank([4.0, 2.0, 1.0, 0.0], spectra.ranks.Entropy()), 4)
        2.6005
    """

    power: int = 1

    __repr__ = _display.record

    def __post_init__(self) -> None:
        check_power(self.power)

    @property
    def name(self) -> str:
        return "entropy" if self.power == 1 else "energy_entropy"

    @property
    def formula(self) -> str:
        return "exp of the entropy of s/sum s" if self.power == 1 else "exp of the entropy of s^2/sum s^2"

    def of_scaled(self, s: Float[np.ndarray, " n"]) -> float:
        s = s**self.power
        p = s / np.sum(s)
        p = p[p > 0]
        return float(np.exp(-np.sum(p * np.log(p))))

    def scaled_bounds(self, box: Box) -> tuple[float, float]:
        s, errors, low, high = box
        squares = self.power == 2
        moved, total = (2.0 * s * errors + errors**2, np.sum(s**2)) if squares else (errors, np.sum(s))
        change = _change(float(np.sum(moved) / total), s.size)
        value = self.of(s)
        least, most = entropy.bounds(low**self.power, high**self.power)
        return float(max(value * np.exp(-change), np.exp(least))), float(min(value * np.exp(change), np.exp(most)))

    def partial_numbers(self, part: PartialSpectrum) -> tuple[float, float, float]:
        if self.power != 1:
            raise needs_all(self)
        return _of_partial(part)

    def scaled_batch(self, s: Float[Array, "... n"]) -> Float[Array, "..."]:
        s = s**self.power
        total = jnp.sum(s, axis=-1)
        p = s / jnp.where(total > 0, total, 1)[..., None]
        return jnp.exp(-jnp.sum(jnp.where(p > 0, p * jnp.log(jnp.where(p > 0, p, 1)), 0), axis=-1))


def _change(distance: float, n: int) -> float:
    """Bound of |H(p) - H(q)| for distributions on n points at total variation `distance`."""
    if n == 1:
        return 0.0
    if distance >= 1.0 - 1.0 / n:
        return float(np.log(n))
    if distance == 0.0:
        return 0.0
    binary = -distance * np.log(distance) - (1.0 - distance) * np.log1p(-distance)
    return float(distance * np.log(n - 1) + binary)


def _of_partial(part: PartialSpectrum) -> tuple[float, float, float]:
    """exp of H = log T - (1/T) sum lambda log lambda.

    With c the largest value and F = sum f(lambda), f(x) = x log(e c / x) >= 0, which grows up to x = c and is concave:
    sum lambda log lambda = T (1 + log c) - F.
    """
    trace = density.trace(part)
    c = max(part.max_eigenvalue.upper, part.tail.upper)

    def f(x: ArrayLike) -> Any:
        x = np.clip(x, 0.0, c)
        return np.where(x > 0, x * np.log(np.e * c / np.where(x > 0, x, 1.0)), 0.0)

    def shifted(x: ArrayLike) -> Any:
        return f(np.asarray(x) - part.tail.lower)

    move = min(part.nuclear / part.n, c)
    found = [density.total(part, f, bernstein=False, change=float(part.n * f(move)))]
    down = max(-part.tail.lower, 0.0)
    if part.tail.lower <= 0:
        move = min(part.nuclear / part.n + down, c)
        found.append(density.total(part, shifted, bernstein=True, change=float(part.n * f(move))))
    elif part.tail.n:
        found.append(density.total(part, f, bernstein=True, change=float(part.n * f(move))))
    lower, upper = max(one[0] for one in found), min(one[2] for one in found)
    estimate = found[-1][1]

    def perplexity(F: float, T: float) -> float:
        return math.exp(min(math.log(T) - 1.0 - math.log(c) + F / T, 700.0))

    if trace.lower <= 0:
        return 1.0, min(float(part.n), perplexity(estimate, trace.estimate)), float(part.n)
    # F / T + log T falls in T below F and grows above: take the ends of both
    ends = [perplexity(F, T) for F in (lower, upper) for T in (trace.lower, trace.upper)]
    if trace.lower < lower < trace.upper:
        ends.append(perplexity(lower, lower))
    return min(ends), perplexity(estimate, trace.estimate), max(ends)
