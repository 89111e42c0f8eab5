"""What would a bound give whose capacity is the effective rank of attention? A template without a theorem behind it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ntkseq import _checks
from ntkseq._bound import Assumption, Bound, Constants, Term, total
from ntkseq.bounds.assumptions import independent
from ntkseq.spectra import AttentionRanks, aggregate
from ntkseq.spectra.ranks import EffectiveRank
from ntkseq.spectra.ranks.short import as_rank


def effective_rank_capacity(
    r_eff: Any,
    n: int,
    delta: float = 0.05,
    constant: float = 1.0,
    log_arg: float | None = None,
    *,
    kind: str | EffectiveRank = "entropy",
    how: str = "mean",
) -> Bound[CapacityConstants]:
    """Evaluate a capacity of the form "effective rank of attention over n". Assumed by this library, never certified.

        constant sqrt((r_eff log(log_arg) + log(1/delta))/n)

    dhingra2025 asks whether the effective rank of attention matrices measures capacity; of that paper the abstract was
    at hand, which names no definition, constant or assumption. So this is not its theorem. What is proved here instead:
    `frozen_attention`, where ranks of attention matrices enter, and `attention_rank` for those of the weights.

    Args:
        r_eff: `spectra.AttentionRanks`; or effective ranks as numbers, one or one per layer and head.
        n: the number of examples.
        delta: enters as log(1/delta); nothing is claimed to hold with probability 1 - delta.
        constant: stands for what a theorem would say.
        log_arg: what stands in the logarithm, at least 1; None: n.
        kind: the definition of effective rank, an object of `spectra.ranks` or a short name: which one to take from
            `AttentionRanks`, or which one the numbers are.
        how: "mean", "max" or "sum" over layers and heads of their means over examples.

    Returns:
        Bound, an estimate of provenance "template". `constants` hold the definition, the aggregation, the effective
        rank and, from `AttentionRanks`, its standard error over the examples.

    Raises:
        ValueError: ranks below 0 or not finite; an unknown kind, or one that was not measured; options that do not fit.

    Reference: dhingra2025 for the question only.

    Example:
        >>> bound = effective_rank_capacity([3.0, 5.0], 10_000, kind="stable")
        >>> print(bound.verdict.split(" (")[0])
        test loss - training loss: estimate 0.06312
    """
    n = _checks.positive_int("n", n)
    delta = _checks.probability("delta", delta)
    constant = _checks.nonnegative("constant", constant, positive=True)
    inside = float(n) if log_arg is None else _checks.nonnegative("log_arg", log_arg)
    if inside < 1:
        raise ValueError(
            f"log_arg must be at least 1, so that its logarithm is not negative; got {_checks.shown(log_arg)}."
        )
    _checks.choice("how", how, ("mean", "max", "sum"))
    if not (isinstance(r_eff, AttentionRanks) and isinstance(kind, str)):
        definition = as_rank(kind, "kind")
        kind = kind if isinstance(kind, str) else definition.name
    rank, error, source = _rank(r_eff, kind, how)
    value = constant * math.sqrt((rank * math.log(inside) + math.log(1 / delta)) / n)
    argument = "n" if log_arg is None else f"{inside:g}"
    term = Term(
        "capacity",
        f"{constant:g} sqrt((r_eff log({argument}) + log(1/delta))/n)",
        value,
        explicit=False,
        provenance="template",
        note=f"r_eff = {rank:.4g}, {kind}, {how} over {source}",
    )
    return Bound(
        name="effective rank of attention as capacity, a template",
        quantity="test loss - training loss",
        value=total((term,)),
        terms=(term,),
        assumptions=(
            independent(),
            Assumption("theorem", "a bound of this form holds", "unchecked", "none is known here"),
        ),
        applies_to="no predictor in particular",
        references=("dhingra2025",),
        constants=CapacityConstants(n, rank, error, kind, how, source, delta, constant, inside),
    )


@dataclass(frozen=True)
class CapacityConstants(Constants):
    """The effective rank with its standard error, the definition and what it was taken over, and the options."""

    n: int
    r_eff: float
    r_eff_error: float | None
    kind: str
    how: str
    source: str
    delta: float
    constant: float
    log_arg: float


def _rank(r_eff: Any, kind: str, how: str) -> tuple[float, float | None, str]:
    """The number, its standard error where it is known, and what it was taken over."""
    if isinstance(r_eff, AttentionRanks):
        heads = [np.ravel(layer.error[kind]) for layer in r_eff.layers] if kind in r_eff.kinds else []
        rank = r_eff.aggregate(kind, how)
        # heads see the same examples: their errors may all lean one way. That of a maximum is that of some head
        error = float(aggregate(np.concatenate(heads), how))
        count = sum(len(head) for head in heads)
        return rank, error, f"{len(r_eff.layers)} layers, {count} heads, means of {r_eff.n} examples"
    ranks = _checks.host("r_eff", r_eff)
    if ranks.size == 0 or ranks.dtype.kind not in "fiu" or not np.isfinite(ranks).all() or (ranks < 0).any():
        raise ValueError(
            f"r_eff must be effective ranks, finite numbers >= 0, or AttentionRanks; got {_checks.shown(r_eff)}."
        )
    return float(aggregate(ranks.astype(np.float64), how)), None, f"{ranks.size} numbers given"
