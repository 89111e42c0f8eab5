"""How large is the norm of a target in the function space of a recurrent kernel? Upper bounds from power series."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy  # its parts load when they are first used

from ntkseq import _checks
from ntkseq._bound import Assumption, Bound, Constants, Term, total
from ntkseq._types import AnyKernel, AnyTarget, ArrayLike
from ntkseq.concepts import Additive, NVariable, Series, WholeSequence
from ntkseq.norms.power_series import Expansion, centre, diagonal, expand
from ntkseq.norms.tokens import Tokens, as_tokens

EPS = float(np.finfo(np.float64).eps)
DEGREES = ((32, 160), (16, 28, 40), (8, 14), (6, 9), (4, 6))  # tried for 1, 2, ... variables; more variables: 1
ENOUGH = 1e-6  # the share of the norm that may come from the looser bound beyond the degree
FURTHEST = (500, 4000)  # degrees up to which that looser bound is added term by term


def rkhs_norm(
    target: AnyTarget, kernel: AnyKernel, x: ArrayLike | Tokens, *, degree: int | None = None
) -> Bound[NormConstants]:
    """Bound the squared norm of a target in the function space of the last read-out relu kernel.

    With K = sum_alpha a_alpha prod_j y_j^alpha_j (see `power_series.expand`) and Taylor coefficients b of the target,

        additive    |f|^2 <= b_0^2/a_0 + sum_l sum_{p>=1} b_{l,p}^2 |beta_l|^{2p} / a_{p e_l}      (recurrent_bounds.4)
        N-variable  |f|^2 <= sum_p b_p^2 sum_{|alpha|=p} (p!/alpha!)^2 prod_j |beta_j|^{2 alpha_j}/a_alpha   (.5)

    and for labels y_i = f(x_i) without noise y'K^-1 y <= |f|^2 for every sample. Beyond the degree that is computed, a
    lower bound of the coefficients takes over (recurrent_bounds.6); the series must fall fast enough for it.

    Args:
        target: a `concepts.Additive`, `NVariable` or `WholeSequence` whose positions the kernel's sequences have.
        kernel: a `kernels.Recurrent` of the relu family with the last read-out.
        x: inputs (n, t, d) on which token norms are checked, or a `Tokens` that declares them.
        degree: up to which coefficients are computed exactly; None chooses.

    Returns:
        Bound of |f|^2, one term per group of positions; inf with the reason where no bound is proven. `constants` has
        the norm (its root), what each degree adds, what comes from beyond the degree, and K(x, x).

    Raises:
        ValueError: a target or a kernel without a power series, positions or features that the inputs do not have.

    Reference: wang2021rnn for the classes; the bound is derived here.

    Example:
        >>> from ntkseq import concepts, kernels
        >>> kernel = kernels.Recurrent.preset("allen-zhu-li")
        >>> law = Tokens.declared([1.0] * 3, features=2)
        >>> norm = rkhs_norm(concepts.Additive([(2, [0.6, 0.8], concepts.series.polynomial([0, 1]))]), kernel, law)
        >>> norm.certified, f"{norm.value:.4g}"
        (True, '18.55')
    """
    given = as_tokens(x)
    groups, offset, tokens, reads = _read(target, given)
    first, used = centre(kernel, tokens), 0
    sums: dict[tuple[int, ...], _Sum] = {}
    for _, same in itertools.groupby(sorted(groups, key=len), key=len):
        listed = list(same)
        for used in _degrees([b for group in listed for b in groups[group]], degree):
            series = expand(kernel, tokens, listed, degree=used)
            found = {group: _sum(series, i, groups[group]) for i, group in enumerate(listed)}
            if all(one.beyond <= ENOUGH * one.value for one in found.values()):
                break
        sums |= found  # pyright: ignore[reportPossiblyUnboundVariable]  a group has a degree to try
    return _bound(given, reads, sums, (offset, first), diagonal(kernel, tokens))


@dataclass(frozen=True)
class NormConstants(Constants):
    """Numbers of a bound of the norm.

    Attributes:
        norm: the bound of |f|.
        by_degree: what degrees 0, 1, ... add to |f|^2.
        beyond: what comes from beyond the degree.
        kernel_diagonal: K(x, x).
    """

    norm: float
    by_degree: tuple[float, ...]
    beyond: float
    kernel_diagonal: float


@dataclass(frozen=True, eq=False)
class _Block:
    """weight phi(sum_j <beta_j, x[l_j]>) over the positions of its group."""

    weight: float
    norms: np.ndarray  # |beta_j| |x~[l_j]|, (v,)
    series: Series


@dataclass(frozen=True, eq=False)
class _Sum:
    """The squared norm of the part of the target that looks at one group of positions."""

    by_degree: np.ndarray  # of degrees 1..P
    beyond: float

    @property
    def value(self) -> float:
        return float(np.sum(self.by_degree)) + self.beyond


def _read(target: AnyTarget, given: Tokens) -> tuple[dict[tuple[int, ...], list[_Block]], float, Tokens, Assumption]:
    """The blocks of the target by positions, f at x~ = 0, and the tokens with nothing split off that it reads."""
    terms = list(_terms(target))
    if target.features != given.features and given.shared is not None:
        raise ValueError(
            f"x must have tokens of {target.features} features, as the target reads; got {given.features}."
        )
    if target.steps > given.steps:
        raise ValueError(
            f"the target looks at position {target.steps - 1}, counted from 0; the sequences have {given.steps} steps."
        )
    along: set[int] = set()
    if given.shared is not None:
        for _, positions, betas, _ in terms:
            for position, beta in zip(positions, betas, strict=True):
                shared = given.shared[position]
                size = float(np.linalg.norm(beta) * np.linalg.norm(shared))
                if abs(float(beta @ shared)) > 2 * len(beta) * EPS * size:
                    along.add(position)
    tokens = given.whole_at(sorted(along))
    groups: dict[tuple[int, ...], list[_Block]] = {}
    offset = 0.0
    for weight, positions, betas, series in terms:
        offset += weight * float(series.coefficients(0)[0])
        # a token that all inputs share is seen as 0: a direction along it has been taken care of above
        zero = (tokens.varying == 0.0) & (given.shared is not None)
        seen = [j for j, beta in enumerate(betas) if np.any(beta) and not zero[positions[j]]]
        seen.sort(key=lambda j: positions[j])
        if seen and series.degree != 0 and weight != 0:
            at = tuple(positions[j] for j in seen)
            sizes = np.array([np.linalg.norm(betas[j]) for j in seen]) * np.sqrt(tokens.varying[list(at)])
            groups.setdefault(at, []).append(_Block(weight, sizes, series))
    if given.shared is None:
        status, where = ("declared", "") if given.common.any() else ("holds", "nothing is shared")
    else:
        where = f"not split off at positions {sorted(along)}, where the target reads it" if along else "split off"
        status = "holds"
    reads = Assumption("directions", "the directions of the target are orthogonal to the shared part", status, where)
    return groups, offset, tokens, reads


def _terms(target: AnyTarget) -> Iterator[tuple[float, tuple[int, ...], np.ndarray, Series]]:
    """Weight, positions, directions (v, d) and series of every term."""
    if isinstance(target, Additive):
        for position, beta, series in target.parts:
            yield 1.0, (position,), np.asarray(beta, np.float64)[None], series
    elif isinstance(target, NVariable):
        yield 1.0, tuple(target.positions), np.asarray(target.betas, np.float64), target.series
    elif isinstance(target, WholeSequence):
        for weight, part in target.parts:
            yield float(weight), tuple(part.positions), np.asarray(part.betas, np.float64), part.series
    else:
        raise ValueError(
            f"target must be a concepts.Additive, NVariable or WholeSequence; got {type(target).__name__}. One output "
            "of a position-to-position target at the last step is an Additive."
        )


def _degrees(blocks: list[_Block], degree: int | None) -> tuple[int, ...]:
    """Degrees to try, of which none needs to exceed that of a polynomial."""
    if degree is not None:
        return (_checks.positive_int("degree", degree),)
    variables = len(blocks[0].norms)
    tried = DEGREES[variables - 1] if variables <= len(DEGREES) else (1,)
    ends = [b.series.degree for b in blocks]
    largest = math.inf if None in ends else max(d for d in ends if d is not None)
    return tuple(dict.fromkeys(min(d, int(largest)) if math.isfinite(largest) else d for d in tried))


def _sum(series: Expansion, row: int, blocks: list[_Block]) -> _Sum:
    """(recurrent_bounds.4), (recurrent_bounds.5); blocks that share their positions share monomials: norms add up."""
    exponents = series.exponents[1:]  # all but the constant
    degrees = exponents.sum(axis=1)
    last = int(degrees[-1])
    multinomial = scipy.special.gammaln(degrees + 1) - scipy.special.gammaln(exponents + 1).sum(axis=1)  # log p!/alpha!
    sizes = []
    for b in blocks:
        with np.errstate(divide="ignore"):
            logs = b.series.log_abs(last)[degrees] + exponents @ np.log(b.norms) + math.log(abs(b.weight))
        sizes.append(logs + multinomial)
    size = 2 * np.logaddexp.reduce(sizes, axis=0)
    with np.errstate(divide="ignore"):
        below = np.log(series.scaled[row, 1:])
    found = np.exp(np.where(np.isneginf(size), -np.inf, np.minimum(size - below, 709.0)))
    found = np.where(found >= math.exp(709.0), np.inf, found)
    spent = series.rounding + 16 * EPS * (8 + np.abs(np.where(np.isneginf(size), 0.0, size)))  # of the logarithms
    by_degree = np.bincount(degrees, found * (1 + spent), minlength=last + 1)[1:]
    return _Sum(by_degree, _beyond(series, row, blocks, last))


def _beyond(series: Expansion, row: int, blocks: list[_Block], last: int) -> float:
    """What degrees above `last` can add, by (recurrent_bounds.6) and (recurrent_bounds.7); inf if nothing is proven."""
    ends = [b.series.degree for b in blocks]
    if None not in ends and max(d for d in ends if d is not None) <= last:
        return 0.0
    slopes = series.head.slopes[row]
    if (slopes <= 0).any():
        return math.inf
    log_reach = [math.log(float(np.sum(b.norms**2 / slopes))) for b in blocks]  # S
    found = math.inf
    for furthest in (max(one, last + 1) for one in FURTHEST):
        lower = series.head.log_lower(furthest)
        if lower is None:
            return math.inf
        log_floor, ratio = lower
        p = np.arange(last + 1, furthest + 1)
        parts, rest = [], []
        for b, reach in zip(blocks, log_reach, strict=True):
            weight = math.log(abs(b.weight))
            parts.append(weight + b.series.log_abs(furthest)[p] + 0.5 * p * reach)
            R = math.exp(min(0.5 * (reach - math.log(ratio)), 300.0)) if ratio > 0 else math.inf
            rest.append(weight + (b.series.log_sum(R, start=furthest + 1).upper if R < 1e100 else math.inf))
        middle = float(np.logaddexp.reduce(2 * np.logaddexp.reduce(parts, axis=0) - log_floor[p - 1]))
        end = 2 * float(np.logaddexp.reduce(rest)) - float(log_floor[-1]) + furthest * math.log(ratio)
        rounded = 1 + series.rounding + 64 * EPS * furthest * furthest
        found = min(found, _exp(float(np.logaddexp(middle, end))) * rounded)
        if end < middle - 20:
            break
    return found


def _exp(value: float) -> float:
    return math.exp(value) if value < 709.0 else math.inf


def _bound(
    given: Tokens,
    reads: Assumption,
    sums: dict[tuple[int, ...], _Sum],
    constant: tuple[float, float],
    kernel_diagonal: float,
) -> Bound[NormConstants]:
    offset, first = constant
    at_zero = 0.0 if offset == 0 else (offset**2 / first if first > 0 else math.inf)
    terms = [Term("constant", "b_0^2/a_0", at_zero, explicit=True, provenance="derived", note=f"a_0 = {first:.4g}")]
    apart = len({p for group in sums for p in group}) == sum(map(len, sums))
    beyond = sum(one.beyond for one in sums.values())
    longest = max((len(one.by_degree) for one in sums.values()), default=0)
    for group, one in sums.items():
        where = ", ".join(map(str, group)) if len(group) <= 4 else f"{group[0]}..{group[-1]} ({len(group)})"
        formula = "sum_p b_p^2 |beta|^{2p}/a_p" if len(group) == 1 else "sum_p b_p^2 sum_alpha (p!/alpha!)^2 ../a_alpha"
        note = f"degrees 1 to {len(one.by_degree)}" + (f", beyond: {one.beyond:.2g}" if one.beyond else "")
        terms.append(
            Term(
                f"positions {where}", formula, one.value, explicit=True, provenance="derived", note=note, counted=apart
            )
        )
    if not apart:  # groups that overlap share monomials: norms add up, not their squares
        value = sum(math.sqrt(one.value) for one in sums.values()) ** 2
        terms.append(
            Term("all positions", "(sum over groups of the root)^2", value, explicit=True, provenance="derived")
        )
    value = total(terms)
    value = math.inf if value is None else value
    reason = ""
    if not math.isfinite(value):
        reason = (
            "a coefficient of the kernel that the target needs is zero or underflows"
            if math.isfinite(beyond)
            else "the Taylor series of the target is not proven to fall faster than the coefficients of the kernel: "
            "shorten the directions, take smaller degrees (a polynomial), or pass a larger degree"
        )
    padded = [np.pad(one.by_degree, (0, longest - len(one.by_degree))) for one in sums.values()]
    return Bound(
        name="norm of the target by power series",
        quantity="|f|_K^2",
        value=value,
        terms=tuple(terms),
        assumptions=(given.assumption, reads),
        applies_to="the function f itself, for inputs with these token norms",
        references=("wang2021rnn",),
        constants=NormConstants(
            norm=math.sqrt(value),
            by_degree=(at_zero, *map(float, np.sum(padded, axis=0))) if padded else (at_zero,),
            beyond=beyond,
            kernel_diagonal=kernel_diagonal,
        ),
        trivial=None,
        reason=reason,
    )
