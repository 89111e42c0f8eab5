"""How large is the norm of a function with an output at every step? An upper bound, before any label is seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ntkseq import _checks
from ntkseq._bound import Assumption, Bound, Constants, Term
from ntkseq._types import AnyTarget, ArrayLike
from ntkseq.concepts import Additive, PositionToPosition
from ntkseq.kernels import Recurrent
from ntkseq.norms.power_series import centre, diagonal, expand
from ntkseq.norms.rkhs import EPS, rkhs_norm
from ntkseq.norms.tokens import Tokens

DEGREES = (32, 160)  # tried for a series that does not end
ENOUGH = 1e-6  # the share that may come from beyond the degree


def every_step_norm(target: AnyTarget, kernel: Any, x: ArrayLike | Tokens) -> Bound[StepsNormConstants]:
    """Bound the squared norm of a position-to-position target in the space of the kernel of all steps.

    One function f = (f_1, .., f_t) of sequence and step must tell steps apart. It can, by the first token: let that be
    the same in all inputs and orthogonal to all later tokens. Counted from the end of the sequences it stands at
    another place for every step, so K[t, s] does not contain <x[0], x'[0]> for t != s, and

        K[t, s] = R[t, s] + (t = s) (K[t, t] - K[t, t] at <x[0], x'[0]> = 0)

    where both parts are kernels: the second is a power series with coefficients a'_alpha >= 0, the first a limit of
    averages of K over copies of each point whose first tokens are orthogonal to each other. Hence |f|_K^2 is at most
    the norm in the second part, in which steps are orthogonal:

        |f|^2 <= sum_t (b_0^2/a'_0 + sum_l sum_{p>=1} b_{t,l,p}^2 |beta_{t,l}|^{2p} / a'_{t,p e_l})

    with a'_{t,alpha} = a_{t,alpha}(first token common) - a_{t,alpha}(first token orthogonal) of the sequence up to step
    t. The kernel forgets the first token, so this grows with t. For labels of the target without noise y'K^-1 y of all
    points is at most |f|^2. Beyond the degree that is computed, a'_{p e_l} >= F_p m_l^p m_0 rho_0 (2p-1)/(1-rho_0^2)
    with F_p, rho_0, m of (recurrent_bounds.6) at a first token that is orthogonal.

    Args:
        target: no part may read the first token.
        kernel: a `kernels.Recurrent` of the relu family with the last read-out and h0="zero".
        x: inputs (n, t, d), or a `Tokens` that declares their norms; all token norms above 0.

    Returns:
        Bound of |f|^2, one term per step; inf with the reason where no bound is proven. `constants` has
        the norm (its root), the steps, and `K[t, t](x, x)` of these steps.

    Raises:
        ValueError: another target, a part that reads the first token, a kernel without such a series, sequences that
            are too short.

    Reference: allenzhu2019rnn for the class; the bound is derived here.

    Example:
        >>> from ntkseq import concepts, kernels
        >>> f = concepts.PositionToPosition([(1, j, 0, [0.6, 0.8], concepts.series.polynomial([0, 1])) for j in (2, 3)])
        >>> law = Tokens.declared([1.0] * 4, common=[1.0, 0, 0, 0], features=2)
        >>> every_step_norm(f, kernels.Recurrent.preset("allen-zhu-li"), law).certified
        True
    """
    if not isinstance(target, PositionToPosition):
        raise ValueError(f"target must be a concepts.PositionToPosition; got {type(target).__name__}.")
    _checks.kind("kernel", kernel, Recurrent)
    if kernel.h0 != "zero":
        raise ValueError(
            f'kernel must have h0="zero", so that the first token marks the start; got {_checks.shown(kernel.h0)}.'
        )
    if any(part.source == 0 for part in target.parts):
        raise ValueError("no part may read token 0, which all inputs share: add its value to the constant of a series.")
    norms, first = _first(x)
    if target.steps > len(norms):
        raise ValueError(
            f"x must have {target.steps} steps or more, as the target feeds step {target.steps - 1}, counted from 0; "
            f"got {len(norms)}."
        )
    steps = sorted({part.step for part in target.parts})
    terms, diagonals = [], []
    for j in steps:
        marked = Tokens.declared(norms[: j + 1], common=[norms[0] ** 2] + [0.0] * j, features=target.features)
        bare = Tokens.declared(norms[: j + 1], features=target.features)
        found = [
            _output(target, j, output, kernel, marked, bare)
            for output in sorted({part.output for part in target.parts if part.step == j})
        ]
        diagonals.append(diagonal(kernel, marked))
        terms.append(
            Term(
                f"step {j}",
                "b_0^2/a'_0 + sum_p b_p^2 |beta|^{2p}/a'_p",
                sum(found),
                explicit=True,
                provenance="derived",
            )
        )
    value = sum(term.value or 0.0 for term in terms)
    reason = ""
    if not math.isfinite(value):
        reason = (
            "what is left of the first token cannot be told from rounding, or the series of the target is not proven "
            "to fall faster than the coefficients of the kernel"
        )
    return Bound(
        name="norm of a position-to-position target by power series",
        quantity="|f|_K^2",
        value=value,
        terms=tuple(terms),
        assumptions=first,
        applies_to="the function f itself, of all steps, for inputs with these token norms",
        references=("allenzhu2019rnn",),
        constants=StepsNormConstants(math.sqrt(value), tuple(steps), tuple(diagonals)),
        trivial=None,
        reason=reason,
    )


@dataclass(frozen=True)
class StepsNormConstants(Constants):
    """The bound of |f|, the steps that the target feeds, and K[t, t](x, x) of these steps."""

    norm: float
    steps: tuple[int, ...]
    kernel_diagonal: tuple[float, ...]


def _first(x: Any) -> tuple[np.ndarray, tuple[Assumption, ...]]:
    """Token norms, and whether the first token is common and orthogonal to all others."""
    words = "the first token is the same in all inputs and orthogonal to all later tokens"
    if isinstance(x, Tokens):
        common = x.varying[0] == 0.0
        status = "declared" if common else "fails"
        first = Assumption("first token", words, status, "" if common else "not declared as common")
        return np.sqrt(x.squares), (x.assumption, first)
    known = Tokens.measured(x)
    data = np.asarray(x, np.float64)
    across = float(np.max(np.abs(data[:, 1:] @ data[0, 0]), initial=0.0))
    size = float(np.max(np.abs(data[:, 1:]) @ np.abs(data[0, 0]), initial=0.0))  # 0: no product of two entries is left
    rounding = data.shape[2] * EPS * size  # of a sum of products
    status = "fails" if known.varying[0] != 0.0 or across > rounding else "holds" if size == 0.0 else "unresolved"
    first = Assumption("first token", words, status, f"largest inner product with a later one {across:.2g}")
    return np.sqrt(known.squares), (known.assumption, first)


def _output(target: PositionToPosition, step: int, output: int, kernel: Any, marked: Tokens, bare: Tokens) -> float:
    """The squared norm of one output of one step in the part of the kernel that contains the first token."""
    parts = [part for part in target.parts if (part.step, part.output) == (step, output)]
    offset = sum(float(part.series.coefficients(0)[0]) for part in parts)
    value = 0.0
    if offset != 0:
        first = centre(kernel, marked) - centre(kernel, bare) * (1 + _slack(kernel, step, 1))
        value = offset**2 / first if first > 0 else math.inf
    for source in sorted({part.source for part in parts}):
        f = Additive([(source, part.beta, part.series) for part in parts if part.source == source])
        value += _source(f, kernel, marked, bare, step)
    return value


def _source(f: Additive, kernel: Any, marked: Tokens, bare: Tokens, step: int) -> float:
    """sum_p b_p^2 |beta|^{2p}/a'_p over p >= 1."""
    found = math.inf
    for degree in DEGREES if f.degree is None else (max(f.degree, 1),):
        with_first, without = (rkhs_norm(f, kernel, law, degree=degree).constants for law in (marked, bare))
        one, two = (np.asarray(c.by_degree[1:], np.float64) for c in (with_first, without))
        share = np.where(one > 0, (1 + _slack(kernel, step, degree)) * one / np.where(two > 0, two, 1.0), 0.0)
        # one = c/a, two = c/a0, share = a0/a: c/(a - a0) = one/(1 - share)
        inside = float(np.sum(np.where(share < 1, one / np.where(share < 1, 1 - share, 1.0), math.inf)))
        beyond = float(without.beyond)
        if beyond > 0:
            head = expand(kernel, bare, [[0]], degree=1).head
            grows = float(head.slopes[0, 0]) * head.cosine * (2 * degree + 1) / head.sine_squared
            beyond = beyond / grows * (1 + _slack(kernel, step, degree)) if head.tangent > 0 and grows > 0 else math.inf
        found = min(found, inside + beyond)
        if beyond <= ENOUGH * inside:
            break
    return found


def _slack(kernel: Any, step: int, degree: int) -> float:
    """More than the relative rounding of a term of `rkhs_norm`, which raises it, and of a coefficient."""
    return 64 * EPS * ((step + 1) * kernel.depth * (degree + 1) + 720)
