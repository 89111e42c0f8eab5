"""How large can the test loss of one attention head be? Bounds from norms, ranks and Schatten norms of its weights."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ntkseq import _checks
from ntkseq._bound import Bound, Term
from ntkseq._types import AnyHead, ArrayLike, Lengths
from ntkseq.bounds.attention_covers import (
    chained,
    norm_cover,
    rank_complexity,
    readout_entropy,
    rounded_up,
    schatten_entropies,
)
from ntkseq.bounds.attention_setting import GRID, HeadConstants, Setting, setting

POWERS = (0.125, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)


def attention_norm(
    head: AnyHead,
    x: ArrayLike,
    y: ArrayLike,
    *,
    Bx: float,
    delta: float = 0.05,
    loss: str = "absolute",
    gamma: float = 1.0,
    radii: Mapping[str, float] | None = None,
    grid: float = GRID,
    tried: int = 1,
    lengths: Lengths = None,
) -> Bound[NormHeadConstants]:
    """Bound the expected loss of an attention head by the sums of its absolute weights, with every constant.

        E l(f) <= mean l(f(x_i), y_i) + 2 rho Rad + sqrt(log(union/delta)/(2n))
        Rad <= min(b_f, 4 a + 12/sqrt n (sqrt Gamma log(b_f/a) + sqrt Lam (b_f - a))),  a = min(b_f, 3 sqrt(Gamma/n))

    Gamma, Lam: (attention.4), from |w|_1, |w|, |V|_11, |V|_op, |W|_11. The length of the sequences plays no role. Norms
    may be looked at: each is rounded up to a power of `grid` and the union over all powers is counted.

    Args:
        head: `AttentionHead(w, V, W)`, or `AttentionHead.of(model, params)`.
        x: inputs (n, t, d).
        y: labels (n,).
        Bx: no token of any input, seen or not, is longer. You vouch for it; these data are checked.
        delta: the probability that the bound fails.
        loss: "absolute", min(1, |f - y|); "squared", min(1, (f - y)^2); "margin", which bounds the classification
            error of labels -1/+1 through the margin `gamma`.
        gamma: of "margin", fixed before seeing the labels.
        radii: limits of "w_1", "w_2", "V_11", "V_op", "W_11", if they were fixed before seeing the data (say as a
            constraint of the training); then no union is needed.
        grid: the ratio of neighbouring radii, above 1.
        tried: how many settings were looked at with these labels.
        lengths: of the sequences, (n,).

    Returns:
        Bound; an estimate if the data contradict Bx or the radii.

    Raises:
        ValueError: no `AttentionHead`; shapes or options that do not fit.

    Reference: trauger2024 for the idea; constants: attention.2 to attention.5.

    Example:
        >>> import numpy as np
        >>> from ntkseq.bounds import AttentionHead
        >>> x = np.eye(3)[None].repeat(500, 0)
        >>> head = AttentionHead([0.001], [[1.0], [0.0], [0.0]], np.zeros((3, 3)))
        >>> bound = attention_norm(head, x, np.zeros(500), Bx=1.0)
        >>> bound.certified, round(bound.value, 2)
        (True, 0.2)
    """
    at = setting(
        head, x, y, ("w_1", "w_2", "V_11", "V_op", "W_11"),
        Bx=Bx, delta=delta, loss=loss, gamma=gamma, radii=radii, grid=grid, tried=tried, lengths=lengths,
    )  # fmt: skip
    cover = norm_cover(at.sizes, head.L, at.Bx, **at.radii)
    return at.bound(
        "norm bound of one attention head",
        cover.complexity,
        "min(b_f, 4a + 12/sqrt n (sqrt Gamma log(b_f/a) + sqrt Lam (b_f - a)))",
        note=f"Gamma = {cover.Gamma:.4g}, Lam = {cover.Lam:.4g}",
        constants=partial(NormHeadConstants, Gamma=cover.Gamma, Lam=cover.Lam),
        references=("trauger2024",),
    )


def attention_rank(
    head: AnyHead,
    x: ArrayLike,
    y: ArrayLike,
    *,
    Bx: float,
    ranks: tuple[int, int] | None = None,
    delta: float = 0.05,
    loss: str = "absolute",
    gamma: float = 1.0,
    radii: Mapping[str, float] | None = None,
    grid: float = GRID,
    tried: int = 1,
    lengths: Lengths = None,
) -> Bound[RankHeadConstants]:
    """Bound the expected loss of an attention head by the numerical ranks of its value and score matrices.

        E l(f) <= mean l(f(x_i), y_i) + 2 rho Rad(r) + 2 rho tau(r) + sqrt(log(union/delta)/(2n))
        Rad(r) <= min(b_f, 12 b_f sqrt((k psi(6) + r_V (d+k) psi(12) + 2 d r_W psi(12 kappa))/n))
        tau(r) = |w| L Bx s_{r_V+1}(V) + |w| L |V|_op Bx^3 s_{r_W+1}(W)

    tau is what is lost where V and W are cut to r_V and r_W singular values; both are chosen after seeing the weights,
    at the least value, and the union over all choices is counted. r_W = 0 is attention that looks everywhere alike. It
    is the rank of the weights that enters, not that of attention matrices: see `frozen_attention` for those.

    Args:
        head, x, y, Bx, delta, loss, gamma, grid, tried, lengths: see `attention_norm`.
        ranks: (r_V, r_W), if they were fixed before seeing the data; None: the best ones.
        radii: limits of "w_2", "V_op", "W_op" (of the weights as they are, not cut), if fixed before.

    Returns:
        Bound; an estimate if the data contradict Bx or the radii.

    Raises:
        ValueError: no `AttentionHead`; ranks outside 1..min(d, k) and 0..d; shapes or options that do not fit.

    Reference: derived; attention.6 and attention.7. truong2024 speaks of the same question.

    Example:
        >>> import numpy as np
        >>> from ntkseq.bounds import AttentionHead
        >>> x = np.eye(3)[None].repeat(500, 0)
        >>> head = AttentionHead([0.001], [[1.0], [0.0], [0.0]], np.zeros((3, 3)))
        >>> bound = attention_rank(head, x, np.zeros(500), Bx=1.0)
        >>> bound.certified, bound.constants.rank_V, bound.constants.rank_W
        (True, 1, 0)
    """
    at = setting(
        head, x, y, ("w_2", "V_op", "W_op"),
        Bx=Bx, delta=delta, loss=loss, gamma=gamma, radii=radii, grid=grid, tried=tried, lengths=lengths,
        more="" if ranks is None else "ranks",
    )  # fmt: skip
    d, k = at.sizes.d, at.sizes.k
    full = min(d, k)
    complexity = rank_complexity(at.sizes, at.b_f, at.kappa, np.arange(1.0, full + 1)[:, None], np.arange(0.0, d + 1))
    lost = _cut(at)
    if ranks is None:
        i, j = np.unravel_index(int(np.argmin(complexity + lost)), lost.shape)
    else:
        try:
            first, second = (operator.index(rank) for rank in ranks)
        except (TypeError, ValueError):
            raise ValueError(f"ranks must be two integers (r_V, r_W); got {_checks.shown(ranks)}.") from None
        i, j = first - 1, second
        if not (0 <= i < full and 0 <= j <= d):
            raise ValueError(f"ranks must lie in 1..{full} and 0..{d}; got {_checks.shown(ranks)}.")
    chosen, tau = (int(i) + 1, int(j)), float(lost[i, j])
    rho = at.loss.lipschitz
    cut = Term(
        "truncation",
        f"{2 * rho:g} tau, tau = |w| L Bx (s_(r_V+1)(V) + |V|_op Bx^2 s_(r_W+1)(W))",
        2 * rho * tau,
        explicit=True,
        provenance="derived",
    )
    return at.bound(
        "rank bound of one attention head",
        float(complexity[i, j]),
        "min(b_f, 12 b_f sqrt((k psi(6) + r_V (d+k) psi(12) + 2 d r_W psi(12 kappa))/n))",
        note=f"r_V = {chosen[0]}, r_W = {chosen[1]}, kappa = {at.kappa:.4g}",
        log_more=0.0 if ranks is not None else math.log(lost.size),
        extra=(cut,),
        constants=partial(RankHeadConstants, rank_V=chosen[0], rank_W=chosen[1], tau=tau, kappa=at.kappa),
        references=("truong2024",),
    )


def attention_schatten(
    head: AnyHead,
    x: ArrayLike,
    y: ArrayLike,
    *,
    Bx: float,
    powers: Sequence[float] = POWERS,
    delta: float = 0.05,
    loss: str = "absolute",
    gamma: float = 1.0,
    grid: float = GRID,
    tried: int = 1,
    lengths: Lengths = None,
) -> Bound[SchattenHeadConstants]:
    """Bound the expected loss of an attention head by Schatten norms of its value and score matrices.

        Rad <= min over a of 4 a + 12/sqrt n int_a^b_f sqrt(log N(eps)) d eps
        log N = k log(1 + 6 b_f/eps) + sum over V and W of r(eps) (rows + columns) log(1 + 8 op/eta(eps))
        r = ceil((2 |.|_Sp/eta)^p) - 1, at most the full rank; eta = eps/3 over the slope of f in that matrix

    Between the bound by ranks (p -> 0) and one by Frobenius norms (p = 2). p is chosen after seeing the weights, for V
    and W apart, and the union over all pairs is counted. The integral is a sum from above.

    Args:
        head, x, y, Bx, delta, loss, gamma, grid, tried, lengths: see `attention_norm`.
        powers: the p to choose from, in (0, 2], fixed beforehand.

    Returns:
        Bound; an estimate if the data contradict Bx.

    Raises:
        ValueError: no `AttentionHead`; powers outside (0, 2]; shapes or options that do not fit.

    Reference: derived; attention.8. sakai2026 speaks of the same question.

    Example:
        >>> import numpy as np
        >>> from ntkseq.bounds import AttentionHead
        >>> x = np.eye(3)[None].repeat(500, 0)
        >>> head = AttentionHead([0.001], [[1.0], [0.0], [0.0]], np.zeros((3, 3)))
        >>> attention_schatten(head, x, np.zeros(500), Bx=1.0).certified
        True
    """
    powers = tuple(_checks.nonnegative("powers", p, positive=True) for p in powers)
    if not powers or max(powers) > 2:
        raise ValueError(f"powers must be one or more numbers in (0, 2]; got {powers}.")
    at = setting(
        head, x, y, ("w_2", "V_op", "W_op"),
        Bx=Bx, delta=delta, loss=loss, gamma=gamma, radii=None, grid=grid, tried=tried, lengths=lengths,
        more="powers",
    )  # fmt: skip
    slopes = {"V": at.radii["w_2"] * head.L * at.Bx, "W": at.radii["w_2"] * head.L * at.radii["V_op"] * at.Bx**3}
    options: dict[str, list[tuple[float, float, float, np.ndarray]]] = {}
    for part, slope in slopes.items():
        options[part] = []
        for p in powers:
            radius, cost = rounded_up(head.norm(f"{part}_{p!r}"), grid)
            found = schatten_entropies(at.sizes, part, slope, at.radii[f"{part}_op"], radius, p, at.b_f)
            options[part].append((p, radius, cost, found))
    union = 2 * math.log(len(powers))
    best = None
    for p_V, radius_V, cost_V, entropy_V in options["V"]:
        for p_W, radius_W, cost_W, entropy_W in options["W"]:
            complexity = chained(readout_entropy(at.sizes) + entropy_V + entropy_W, at.b_f, at.sizes.n)
            log_more = union + cost_V + cost_W
            value = 2 * at.loss.lipschitz * complexity + at.confidence(log_more)
            if best is None or value < best[0]:
                best = (value, complexity, log_more, (p_V, p_W, radius_V, radius_W))
    assert best is not None
    _, complexity, log_more, (p_V, p_W, radius_V, radius_W) = best
    return at.bound(
        "Schatten bound of one attention head",
        complexity,
        "min over a of 4a + 12/sqrt n int_a^b_f sqrt(log N)",
        note=f"p = {p_V:g} for V, {p_W:g} for W",
        log_more=log_more,
        constants=partial(
            SchattenHeadConstants, p_V=p_V, p_W=p_W, radius_V_p=radius_V, radius_W_p=radius_W, kappa=at.kappa
        ),
        references=("sakai2026",),
    )


@dataclass(frozen=True)
class NormHeadConstants(HeadConstants):
    """`HeadConstants` with the numbers of the cover, log N(eps) <= Gamma/eps^2 + Lam."""

    Gamma: float
    Lam: float


@dataclass(frozen=True)
class RankHeadConstants(HeadConstants):
    """`HeadConstants` with the ranks to which V and W are cut, what that loses, and the largest score of the class."""

    rank_V: int
    rank_W: int
    tau: float
    kappa: float


@dataclass(frozen=True)
class SchattenHeadConstants(HeadConstants):
    """`HeadConstants` with p and the radius in the Schatten norm of V and of W, and the largest score of the class."""

    p_V: float
    p_W: float
    radius_V_p: float
    radius_W_p: float
    kappa: float


def _cut(at: Setting) -> np.ndarray:
    """tau for r_V = 1..min(d, k) and r_W = 0..d. (attention.7)"""
    head = at.head
    w = head.norm("w_2") * head.L * at.Bx
    V, W = (np.linalg.svd(matrix, compute_uv=False) for matrix in (head.V, head.W))
    # a singular value is off by eps |.|_op: a matrix of rank r to rounding is not taken for one of rank r
    V, W = V + 8 * len(head.V) * 2.2e-16 * V[0], W + 8 * len(head.W) * 2.2e-16 * W[0]
    behind_V, behind_W = np.append(V[1:], 0.0), np.append(W, 0.0)
    return w * (behind_V[:, None] + head.norm("V_op") * at.Bx**2 * behind_W[None, :])
