"""What can be said about the test loss? Bounds with their terms, assumptions, and what could not be checked."""

from ntkseq.bounds.base import Assumption, Bound, Term
from ntkseq.bounds.descent import du
from ntkseq.bounds.kernel import margin, rademacher
from ntkseq.bounds.known_target import sample_size, target_risk
from ntkseq.bounds.memory import MemoryProfile, memory_profile
from ntkseq.bounds.networks import arora, cao_gu
from ntkseq.bounds.recurrent import allen_zhu_li, panigrahi_goyal, wang_shen
from ntkseq.bounds.rkhs import rkhs_norm
from ntkseq.bounds.tokens import Tokens
from ntkseq.bounds.trajectory import Trajectory, along

__all__ = [
    "Assumption",
    "Bound",
    "MemoryProfile",
    "Term",
    "Tokens",
    "Trajectory",
    "allen_zhu_li",
    "along",
    "arora",
    "cao_gu",
    "du",
    "margin",
    "memory_profile",
    "panigrahi_goyal",
    "rademacher",
    "rkhs_norm",
    "sample_size",
    "target_risk",
    "wang_shen",
]
