"""What is known of one paper."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    kind: str
    authors: str
    title: str
    year: int
    venue: str  # journal, book title, or publisher of a book; "" for a preprint
    arxiv: str = ""
