"""How does a name from a file reach a terminal? Without the codes that a terminal would obey."""

from __future__ import annotations

import unicodedata

KEPT = "\t"


def plain(text: str) -> str:
    """`text` with escape codes, line breaks and marks that turn the direction of writing spelt out.

    Example:
        >>> plain("red \x1b[31m")
        'red \\\\x1b[31m'
    """
    return "".join(_spelt(letter) for letter in text) if not text.isprintable() else text


def _spelt(letter: str) -> str:
    # C: control codes, marks of format and direction, halves of pairs, private letters; Z without the blank: lines
    unseen = letter not in KEPT and (unicodedata.category(letter)[0] == "C" or letter in "\u2028\u2029")
    return letter.encode("unicode_escape").decode("ascii") if unseen else letter
