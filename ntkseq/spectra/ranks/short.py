"""Which definition of effective rank does a short name stand for?"""

from __future__ import annotations

from typing import Any

from ntkseq import _checks
from ntkseq.spectra.ranks.base import EffectiveRank
from ntkseq.spectra.ranks.counts import Numerical
from ntkseq.spectra.ranks.entropy import Entropy
from ntkseq.spectra.ranks.moments import Intrinsic, Participation, Stable

SHORT: dict[str, EffectiveRank] = {
    "entropy": Entropy(),
    "energy_entropy": Entropy(power=2),
    "stable": Stable(),
    "intrinsic": Intrinsic(),
    "nuclear": Intrinsic(),
    "participation": Participation(),
    "energy_participation": Participation(power=2),
    "numerical": Numerical(),
}
"""Every definition that needs no number; "nuclear" is another name of "intrinsic"."""

NUMBERED = {
    "energy": "ranks.Energy(0.99)",
    "r": "ranks.Tail(1)",
    "R": "ranks.Tail(1, ranks.Participation())",
    "ridge": "ranks.Dimension(reg)",
    "ridge2": "ranks.Dimension(reg, power=2)",
}
"""What to write for a definition that needs a number."""


def as_rank(rank: Any, name: str = "rank") -> EffectiveRank:
    """The definition that a short name stands for, or the object itself, checked.

    Raises:
        ValueError: an unknown name, a name that needs a number, a class in place of an object, one without a hash.
    """
    if isinstance(rank, str) and rank in NUMBERED:
        raise ValueError(f"{name} {rank!r} needs a number: pass an object, {NUMBERED[rank]} of ntkseq.spectra.")
    rank = _checks.named(name, rank, EffectiveRank, SHORT, "ranks.Energy(0.99) of ntkseq.spectra")
    try:
        hash(rank)
    except TypeError:
        raise ValueError(
            f"{name} must be hashable, as programs are compiled for it; got a {type(rank).__name__}. Make its class a "
            "dataclass with frozen=True."
        ) from None
    return rank


def several(ranks: Any) -> tuple[Any, ...]:
    """One definition or short name, or several, as a tuple."""
    return tuple(ranks) if isinstance(ranks, (tuple, list)) else (ranks,)


def as_ranks(ranks: Any, name: str) -> dict[str, EffectiveRank]:
    """Several definitions by their names, in the order given; a short name keeps its name.

    Raises:
        ValueError: none, an unknown one, two of one name.
    """
    found: dict[str, EffectiveRank] = {}
    for rank in several(ranks):
        definition = as_rank(rank, name)
        word = rank if isinstance(rank, str) else definition.name
        if word in found:
            raise ValueError(f"{name} must have different names; got {word!r} twice.")
        found[word] = definition
    if not found:
        raise ValueError(f"{name} must name one or more effective ranks; got none.")
    return found
