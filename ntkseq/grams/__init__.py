"""Gram matrices: where the values are and how far they are rounded."""

from ntkseq._notices import PrecisionWarning
from ntkseq.grams.arrays import as_gram
from ntkseq.grams.auditing import Audited, audit
from ntkseq.grams.base import Dense, Gram
from ntkseq.grams.computed import computed
from ntkseq.grams.gram import gram
from ntkseq.grams.lazy import lazy
from ntkseq.grams.operator import Operator
from ntkseq.grams.recomputed import Lazy

__all__ = [
    "Audited",
    "Dense",
    "Gram",
    "Lazy",
    "Operator",
    "PrecisionWarning",
    "as_gram",
    "audit",
    "computed",
    "gram",
    "lazy",
]
