"""Gram matrices: where the values are and how far they are rounded."""

from ntkseq.grams.auditing import Audited, audit
from ntkseq.grams.base import Dense, Gram, as_gram
from ntkseq.grams.gram import gram
from ntkseq.grams.lazy import Lazy, lazy
from ntkseq.grams.operator import Operator

__all__ = ["Audited", "Dense", "Gram", "Lazy", "Operator", "as_gram", "audit", "gram", "lazy"]
