"""Gram matrices: where the values are and how far they are rounded."""

from ntkseq._notices import PrecisionWarning
from ntkseq.grams.arrays import as_gram
from ntkseq.grams.auditing import AuditedGram, audit
from ntkseq.grams.base import DenseGram, Gram
from ntkseq.grams.entries import gram
from ntkseq.grams.estimates import Cost, cost
from ntkseq.grams.foreign import computed
from ntkseq.grams.on_demand import lazy
from ntkseq.grams.operator import Operator
from ntkseq.grams.recomputed import LazyGram
from ntkseq.grams.stores.stored import StoredGram, open

__all__ = [
    "AuditedGram",
    "Cost",
    "DenseGram",
    "Gram",
    "LazyGram",
    "Operator",
    "PrecisionWarning",
    "StoredGram",
    "as_gram",
    "audit",
    "computed",
    "cost",
    "gram",
    "lazy",
    "open",
]
