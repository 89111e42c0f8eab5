"""Which papers does this object rest on? Reference keys, their BibTeX, and `cite`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ntkseq._bibliography import ENTRIES, VENUE

KEYS = tuple(ENTRIES)
"""Every known reference key."""


def bibtex(key: str) -> str:
    """The BibTeX entry of one reference key.

    Raises:
        ValueError: an unknown key.

    Example:
        >>> print(bibtex("cho2009kernel"))
        @inproceedings{cho2009kernel,
          author = {Cho, Youngmin and Saul, Lawrence K.},
          title = {Kernel Methods for Deep Learning},
          year = {2009},
          booktitle = {Advances in Neural Information Processing Systems},
        }
    """
    if key not in ENTRIES:
        raise ValueError(f"unknown reference key {key!r}; the known ones are {', '.join(KEYS)}.")
    entry = ENTRIES[key]
    fields = {"author": entry.authors, "title": entry.title, "year": str(entry.year)}
    if entry.venue:
        fields[VENUE[entry.kind]] = entry.venue
    if entry.arxiv:
        fields |= {"eprint": entry.arxiv, "archiveprefix": "arXiv"}
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"@{entry.kind}{{{key},", *lines, "}"])


def keys_of(obj: Any) -> tuple[str, ...]:
    """The reference keys that `obj` and the objects in its fields carry in `references`, each once, in order."""
    found: dict[str, None] = {}
    seen: set[int] = set()

    def visit(part: Any) -> None:
        if id(part) in seen:
            return
        seen.add(id(part))
        keys = getattr(part, "references", ())
        if isinstance(keys, (tuple, list)):
            found.update(dict.fromkeys(key for key in keys if isinstance(key, str)))
        if isinstance(part, Mapping):
            for child in part.values():
                visit(child)
        elif isinstance(part, (tuple, list)):
            for child in part:
                visit(child)
        elif dataclasses.is_dataclass(part) and not isinstance(part, type):
            for field in dataclasses.fields(part):
                visit(getattr(part, field.name, None))

    visit(obj)
    return tuple(found)


def cite(*objects: Any) -> str:
    """The BibTeX of everything that the given kernels, bounds or reference keys rest on.

    A `Sum` of kernels cites what its parts cite. An object without references adds nothing.

    Args:
        *objects: kernels, bounds, lists of them, or reference keys.

    Returns:
        BibTeX entries, each once, separated by empty lines; "" if there are none.

    Raises:
        ValueError: an unknown reference key.

    Example:
        >>> print(cite("williams1997").splitlines()[0])
        @inproceedings{williams1997,
    """
    keys: dict[str, None] = {}
    for obj in objects:
        keys.update(dict.fromkeys((obj,) if isinstance(obj, str) else keys_of(obj)))
    return "\n\n".join(bibtex(key) for key in keys)
