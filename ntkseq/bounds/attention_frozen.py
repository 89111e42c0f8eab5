"""How large can the test loss be of a read-out behind attention that was fixed before training?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ntkseq import _checks
from ntkseq._bound import Assumption, Bound, Constants, Term, total
from ntkseq._types import ArrayLike, Lengths
from ntkseq.bounds.assumptions import beforehand, independent, within
from ntkseq.bounds.attention_covers import rounded_up
from ntkseq.bounds.attention_head import tokens
from ntkseq.bounds.attention_setting import GRID, labelled
from ntkseq.bounds.losses import named
from ntkseq.bounds.system import EPS


def frozen_attention(
    U: ArrayLike,
    A: ArrayLike,
    x: ArrayLike,
    y: ArrayLike,
    *,
    delta: float = 0.05,
    loss: str = "absolute",
    gamma: float = 1.0,
    radius: float | None = None,
    grid: float = GRID,
    tried: int = 1,
    lengths: Lengths = None,
) -> Bound[FrozenConstants]:
    """Bound the expected loss of f(x) = <U, A(x) x>, A fixed before training: here attention ranks enter with proof.

        E l(f) <= mean l(f(x_i), y_i) + 2 rho Rad + 3 sqrt(log(2 union/delta)/(2n))
        Rad <= (B/n) sqrt(sum_i |A_i x_i|_F^2) <= (B/n) sqrt(sum_i srank(A_i) |A_i|_op^2 |x_i|_op^2)

    B is |U|_F rounded up to a power of `grid`. The middle is the bound; the right, with the stable ranks of the
    attention matrices, is shown beside it. A may be any matrices: of the network at initialisation, of another model.

    Args:
        U: read-out, (t, d).
        A: attention matrices of these examples, (n, t, t), computed with parameters that have not seen these examples.
        x: inputs (n, t, d).
        y: labels (n,).
        delta, loss, gamma, grid, tried: see `attention_norm`.
        radius: limit of |U|_F, if it was fixed before seeing these examples.
        lengths: of the sequences, (n,): rows and columns of A behind them do not count, whatever they hold.

    Returns:
        Bound; an estimate if U exceeds the radius.

    Raises:
        ValueError: shapes or options that do not fit; entries that are not finite inside a sequence, with the first
            such example.

    Reference: derived; attention.9.

    Example:
        >>> import numpy as np
        >>> x = np.ones((500, 2, 3))
        >>> bound = frozen_attention(np.zeros((2, 3)), np.full((500, 2, 2), 0.5), x, np.zeros(500))
        >>> bound.certified, round(bound.constants.stable_rank, 3)
        (True, 1.0)
    """
    x, lengths = tokens(x, lengths)
    n, t, d = x.shape
    A = _attention(A, n, t, lengths)
    U = _checks.numbers("U", U)
    if U.shape != (t, d):
        raise ValueError(f"U must have shape ({t}, {d}), one weight per step and feature; got {U.shape}.")
    _checks.finite("U", U)
    chosen = named(loss, gamma)
    y = labelled(y, n, chosen)
    delta, tried = _checks.probability("delta", delta), _checks.positive_int("tried", tried)
    if not (grid := _checks.nonnegative("grid", grid)) > 1:
        raise ValueError(f"grid must be a ratio above 1; got {grid:g}.")

    seen = A @ x  # (n, t, d)
    f = np.einsum("ntd,td->n", seen, U)
    spread = 16 * U.size * EPS
    norm = float(np.linalg.norm(U)) * (1 + 0.5 * spread)
    slack = 4 * (t * d + t) * EPS  # of the sums below, relative to their absolute terms
    off = slack * float(np.mean(np.einsum("ntd,td->n", np.abs(A) @ np.abs(x), np.abs(U))))
    energy = float(np.sum(seen**2) + slack * np.sum((np.abs(A) @ np.abs(x)) ** 2))
    if radius is None:
        B, cost = rounded_up(norm, grid)
    else:
        B, cost = _checks.nonnegative("radius", radius) * (1 + spread), 0.0  # room for the rounding of a norm
    training = min(1.0, float(np.mean(chosen.value(f, y))) + chosen.lipschitz * off)

    s = np.linalg.svd(A, compute_uv=False)
    op, fro = s[:, 0], np.sqrt(np.sum(s**2, axis=1))
    stable = np.where(op > 0, (fro / np.where(op > 0, op, 1)) ** 2, 0.0)
    by_rank = float(np.sum(stable * op**2 * np.linalg.norm(x, ord=2, axis=(1, 2)) ** 2))
    error = float(stable.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    rho = chosen.lipschitz
    log_union = math.log(tried) + cost
    capacity = [2 * rho * B / n * math.sqrt(value) for value in (energy, by_rank)]
    terms = (
        chosen.measured(training, "f"),
        Term(
            "capacity",
            f"{2 * rho:g} B sqrt(sum |A_i x_i|_F^2)/n",
            capacity[0],
            explicit=True,
            provenance="derived",
            note=f"B = {B:.4g}",
        ),
        Term(
            "confidence",
            "3 sqrt(log(2 union/delta)/(2n))",
            3 * math.sqrt((math.log(2 / delta) + log_union) / (2 * n)),
            explicit=True,
            provenance="derived",
        ),
        Term(
            "capacity by rank",
            f"{2 * rho:g} B sqrt(sum srank(A_i) |A_i|_op^2 |x_i|_op^2)/n",
            capacity[1],
            explicit=True,
            provenance="derived",
            note=f"mean stable rank {stable.mean():.4g}",
            counted=False,
        ),
    )
    what = "loss, delta" + (", gamma" if chosen.signs else "") + (", grid" if radius is None else ", radius")
    assumptions = [
        independent(),
        Assumption("frozen", "A is a function of x that was fixed before seeing these examples", "declared"),
        beforehand(what, tried),
    ]
    if radius is not None:
        evidence = f"|U|_F = {norm:.9g}, radius {B:.9g}"
        assumptions.append(Assumption("norm", "|U|_F <= radius", within(norm, spread, B), evidence))
    return Bound(
        name="frozen attention, linear read-out",
        quantity=chosen.risk(),
        value=total(terms),
        terms=terms,
        assumptions=tuple(assumptions),
        delta=delta,
        applies_to="<U, A(x) x> with these U and A, in exact arithmetic",
        references=("bartlett2002rademacher",),
        constants=FrozenConstants(
            n=n, B=B, norm_U=norm, rho=rho, energy=energy, energy_by_rank=by_rank, stable_rank=float(stable.mean()),
            stable_rank_error=error, complexity=B / n * math.sqrt(energy), log_union=log_union, **_rows(A, lengths),
        ),
    )  # fmt: skip


@dataclass(frozen=True)
class FrozenConstants(Constants):
    """Numbers of a bound for a read-out behind frozen attention.

    Attributes:
        n: the number of examples.
        B: the radius of |U|_F, norm_U its value.
        rho: the Lipschitz constant of the loss.
        energy: sum_i |A_i x_i|_F^2; energy_by_rank: sum_i srank(A_i) |A_i|_op^2 |x_i|_op^2, which is no smaller.
        stable_rank, stable_rank_error: mean over the examples, and its standard error.
        complexity: the Rademacher complexity of the class, at most.
        log_union: log of one over the share of delta that is left behind all unions.
        row_error: how far sums of rows of A are from 1.
        negative: whether an entry of A is.
        hidden_rows: how many rows see nothing.
    """

    n: int
    B: float
    norm_U: float
    rho: float
    energy: float
    energy_by_rank: float
    stable_rank: float
    stable_rank_error: float
    complexity: float
    log_union: float
    row_error: float
    negative: bool
    hidden_rows: int


def _attention(A: ArrayLike, n: int, t: int, lengths: np.ndarray) -> np.ndarray:
    """(n, t, t), zero outside the sequences."""
    A = _checks.numbers("A", A)
    if A.shape != (n, t, t):
        raise ValueError(
            f"A must have shape ({n}, {t}, {t}), one matrix per example; got {A.shape}. One head at a time."
        )
    inside = np.arange(t) < lengths[:, None]
    A = np.where(inside[:, :, None] & inside[:, None, :], A, 0).astype(np.float64)
    broken = ~np.isfinite(A).all(axis=(1, 2))
    if broken.any():
        raise ValueError(
            f"A must be finite; {int(broken.sum())} of {n} examples are not, the first is example "
            f"{int(broken.argmax())}. A row whose keys are all masked with -inf is NaN: set it to 0, or pass lengths=."
        )
    return A


def _rows(A: np.ndarray, lengths: np.ndarray) -> dict[str, Any]:
    """Whether rows are probabilities: the bound does not ask for it, a reader may."""
    sums, any_seen = A.sum(axis=2), (A != 0).any(axis=2)
    inside = np.arange(A.shape[1]) < lengths[:, None]
    off = float(np.max(np.abs(np.where(any_seen, sums - 1, 0))))
    return {"row_error": off, "negative": bool((A < 0).any()), "hidden_rows": int((inside & ~any_seen).sum())}
