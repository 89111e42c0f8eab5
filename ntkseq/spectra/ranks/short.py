"""Which definition of effective rank does a short name stand for?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ntkseq import _checks
from ntkseq._types import RankLike
from ntkseq.spectra.ranks.base import EffectiveRank
from ntkseq.spectra.ranks.counts import Energy, Numerical
from ntkseq.spectra.ranks.dimension import Dimension
from ntkseq.spectra.ranks.entropy import Entropy
from ntkseq.spectra.ranks.moments import Intrinsic, Participation, Stable
from ntkseq.spectra.ranks.tail import Tail

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

NUMBERED: dict[str, tuple[str, Callable[[Any], EffectiveRank], str]] = {
    "energy": ("quantile", Energy, "ranks.Energy(quantile)"),
    "r": ("k", Tail, "ranks.Tail(k)"),
    "R": ("k", lambda k: Tail(k, Participation()), "ranks.Tail(k, ranks.Participation())"),
    "ridge": ("reg", Dimension, "ranks.Dimension(reg)"),
    "ridge2": ("reg", lambda reg: Dimension(reg, power=2), "ranks.Dimension(reg, power=2)"),
    "numerical": ("tol", Numerical, "ranks.Numerical(tol)"),
}
"""Every short name that takes a number: what the number is called, the definition that it makes, how to write it."""


def as_rank(rank: RankLike, name: str = "rank", number: Mapping[str, Any] | None = None) -> EffectiveRank:
    """The definition that a short name stands for, or the object itself, checked.

    Args:
        rank: a definition or a short name.
        name: of the argument, for messages.
        number: by its name the number of a short name that takes one, such as {"quantile": 0.99} of "energy".

    Raises:
        ValueError: an unknown name, a name that needs a number, a number that the name does not take, a class in place
            of an object, one without a hash.
    """
    word, make, written = NUMBERED.get(rank, ("", None, "")) if isinstance(rank, str) else ("", None, "")
    if number and (make is None or set(number) != {word}):
        takers = ", ".join(f"{short!r} takes {taken}=" for short, (taken, *_) in NUMBERED.items())
        given = ", ".join(f"{key}=" for key in number)
        raise ValueError(f"{name} {_checks.shown(rank)} does not take {given}; of the short names {takers}.")
    if number and make is not None:
        return make(number[word])
    if make is not None and rank not in SHORT:
        raise ValueError(
            f"{name} {rank!r} needs a number: pass an object, {written} of ntkseq.spectra, or {word}= to a function "
            "that is asked for one rank."
        )
    held = _checks.named(name, rank, EffectiveRank, SHORT, "ranks.Energy(0.99) of ntkseq.spectra")
    if not _checks.hashes(held):
        raise ValueError(
            f"{name} must be hashable, as programs are compiled for it; got a {type(held).__name__}. Make its class a "
            "dataclass with frozen=True."
        )
    return held


def several(ranks: RankLike | Iterable[RankLike]) -> tuple[Any, ...]:
    """One definition or short name, or several, as a tuple."""
    return tuple(ranks) if isinstance(ranks, (tuple, list)) else (ranks,)


def as_ranks(ranks: RankLike | Iterable[RankLike], name: str) -> dict[str, EffectiveRank]:
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
