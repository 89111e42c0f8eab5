"""What can be said about the test loss? Bounds with their terms, assumptions, and what could not be checked."""

from ntkseq.bounds.base import Assumption, Bound, Term
from ntkseq.bounds.descent import du
from ntkseq.bounds.kernel import margin, rademacher
from ntkseq.bounds.networks import arora, cao_gu
from ntkseq.bounds.trajectory import Trajectory, along

__all__ = [
    "Assumption",
    "Bound",
    "Term",
    "Trajectory",
    "along",
    "arora",
    "cao_gu",
    "du",
    "margin",
    "rademacher",
]
