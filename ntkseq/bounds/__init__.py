"""What can be said about the test loss? Bounds with their terms, assumptions, and what could not be checked."""

from ntkseq.bounds.base import Assumption
from ntkseq.bounds.base import Bound
from ntkseq.bounds.base import Term
from ntkseq.bounds.descent import du
from ntkseq.bounds.kernel import margin
from ntkseq.bounds.kernel import rademacher
from ntkseq.bounds.networks import arora
from ntkseq.bounds.networks import cao_gu

__all__ = [
    "Assumption",
    "Bound",
    "Term",
    "arora",
    "cao_gu",
    "du",
    "margin",
    "rademacher",
]
