"""Every definition of effective rank in exact arithmetic, and spectra that are hard to count."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np

from ntkseq.spectra.ranks import (
    Dimension,
    EffectiveRank,
    Energy,
    Entropy,
    Intrinsic,
    Numerical,
    Participation,
    Stable,
    Tail,
)

PLACES = 90
ALL: tuple[EffectiveRank, ...] = (
    *(Entropy(), Entropy(power=2), Stable(), Intrinsic(), Participation(), Participation(power=2), Numerical()),
    *map(Numerical, (0.0, 5e-324, 1e-300, 2.0**-52, 0.1, 0.5, float(np.nextafter(1, 0)), 1.0, 2.0, 1e300)),
    *map(Energy, (5e-324, 1e-300, 0.1, 0.25, 0.5, 0.9, 0.99, 1 - 1e-12, float(np.nextafter(1, 0)), 1.0)),
    *(Tail(k, rest) for rest in (Intrinsic(), Participation()) for k in (0, 1, 2, 5)),
    *(Dimension(reg, power) for power in (1, 2) for reg in (5e-324, 1e-200, 1e-9, 1.0, 1e12, 1e308)),
)
"""Every definition, over the whole range of its number."""


def exact_rank(values: list[Fraction], rank: EffectiveRank) -> Fraction | None:
    """The effective rank of exact values; None where it is not defined. The entropies to `PLACES` digits."""
    s = sorted((v for v in values if v > 0), reverse=True)
    if isinstance(rank, Tail):
        return exact_rank(s[rank.k :], rank.rest) if s[rank.k :] else None
    if not s:
        return Fraction(0)
    power = getattr(rank, "power", 1)
    energies = [v**power for v in s]
    match rank:
        case Stable() | Intrinsic():
            return sum(energies, Fraction(0)) / energies[0]
        case Participation():
            return sum(energies, Fraction(0)) ** 2 / sum(v * v for v in energies)
        case Entropy():
            return _perplexity(energies)
        case Dimension(reg):
            return sum(((v / (v + Fraction(reg))) ** power for v in s), Fraction(0))
        case Numerical(tol):
            return Fraction(sum(v > Fraction(tol or 0) * s[0] for v in s))
        case Energy(quantile):
            share = Fraction(quantile) * sum(v * v for v in s)
            return Fraction(next(k for k in range(1, len(s) + 1) if sum(v * v for v in s[:k]) >= share))
    raise AssertionError(rank)


def _perplexity(s: list[Fraction]) -> Fraction:
    with localcontext() as context:
        context.prec, context.Emin, context.Emax = PLACES, -999999, 999999
        p = [Decimal(v.numerator) / Decimal(v.denominator) for v in (v / sum(s) for v in s)]
        return Fraction((-sum((v * v.ln() for v in p), Decimal(0))).exp())


def hard(rng: np.random.Generator) -> np.ndarray:
    """Values >= 0, descending: equal, zero, subnormal, over 600 orders of magnitude, squares that vanish."""
    n = int(rng.integers(1, 8))
    shape = rng.integers(6)
    if shape == 0:
        values = 10.0 ** rng.uniform(-320, 300, n)
    elif shape == 1:
        values = np.full(n, 10.0 ** rng.uniform(-310, 300))
    elif shape == 2:
        values = 10.0 ** -rng.uniform(0, 20, n)
    elif shape == 3:
        values = rng.choice([0.0, 5e-324, 1e-310, 1.0, 1e-8, 1e-9, 1.5e-8], n)
    elif shape == 4:
        values = 10.0 ** -np.arange(float(n)) * rng.choice([1e-200, 1.0, 1e200])
    else:
        values = np.append(rng.uniform(0, 1, n), np.zeros(int(rng.integers(3))))
    return -np.sort(-values)


def inside(rng: np.random.Generator, s: np.ndarray, errors: np.ndarray) -> list[Fraction] | None:
    """Exact values, descending, the i-th within errors[i] of s[i] and >= 0; None if the draw is not descending."""
    low = [max(Fraction(a) - Fraction(e), Fraction(0)) for a, e in zip(s, errors, strict=True)]
    high = [Fraction(a) + Fraction(e) for a, e in zip(s, errors, strict=True)]
    where = rng.integers(0, 5, len(s)) if rng.random() < 0.5 else np.full(len(s), rng.integers(0, 5))
    drawn = [a + (b - a) * Fraction(int(w), 4) for a, b, w in zip(low, high, where, strict=True)]
    drawn.sort(reverse=True)
    return drawn if all(a <= v <= b for a, v, b in zip(low, drawn, high, strict=True)) else None
