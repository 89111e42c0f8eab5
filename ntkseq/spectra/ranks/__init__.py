"""Definitions of effective rank, a frozen object each; a definition of one's own is a subclass of `EffectiveRank`."""

from ntkseq.spectra.ranks.base import EffectiveRank
from ntkseq.spectra.ranks.counts import Energy, Numerical
from ntkseq.spectra.ranks.dimension import Dimension
from ntkseq.spectra.ranks.entropy import Entropy
from ntkseq.spectra.ranks.moments import Intrinsic, Participation, Stable
from ntkseq.spectra.ranks.tail import Tail

__all__ = [
    "Dimension",
    "EffectiveRank",
    "Energy",
    "Entropy",
    "Intrinsic",
    "Numerical",
    "Participation",
    "Stable",
    "Tail",
]
