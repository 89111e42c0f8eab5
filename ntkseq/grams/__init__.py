"""Gram matrices: where the values are and how far they are rounded."""

from ntkseq.grams.base import Dense, Gram, as_gram
from ntkseq.grams.gram import gram

__all__ = ["Dense", "Gram", "as_gram", "gram"]
