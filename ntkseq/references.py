"""Which papers does this object rest on? Reference keys, their BibTeX, and `cite`."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import re
from collections.abc import Mapping
from typing import Any

from ntkseq import _bibliography
from ntkseq._bibliography import VENUE
from ntkseq._types import Text
from ntkseq._values import shown

__all__ = ["KEYS", "bibtex", "cite", "keys_of"]

ENTRIES = _bibliography.ENTRIES

KEYS = tuple(ENTRIES)
"""Every known reference key."""


def bibtex(key: Text) -> str:
    """The BibTeX entry of one reference key.

    Args:
        key: one of `KEYS`.

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
    if not isinstance(key, str) or key not in ENTRIES:
        near = difflib.get_close_matches(key, KEYS, n=5, cutoff=0.4) if isinstance(key, str) else []
        hint = f"; near it: {', '.join(near)}" if near else ""
        where = f"All {len(KEYS)}, {KEYS[0]} to {KEYS[-1]}, are in ntkseq.references.KEYS."
        raise ValueError(f"unknown reference key {shown(key)}{hint}. {where}")
    entry = ENTRIES[key]
    fields = {"author": entry.authors, "title": entry.title, "year": str(entry.year)}
    if entry.venue:
        fields[VENUE[entry.kind]] = entry.venue
    if entry.arxiv:
        fields |= {"eprint": entry.arxiv, "archiveprefix": "arXiv"}
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"@{entry.kind}{{{key},", *lines, "}"])


def keys_of(obj: object) -> tuple[str, ...]:
    """The reference keys of `obj` and the objects in its fields, each once, in order.

    They are those in `references`, and those that the docstring of a class of this library, or of a class or function
    given itself, names.

    Example:
        >>> from ntkseq import kernels
        >>> keys_of(kernels.Dense() + kernels.Recurrent())[-1]
        'alemohammad2021rntk'
    """
    found: dict[str, None] = {}
    seen: set[int] = set()

    def visit(part: object) -> None:
        if id(part) in seen:
            return
        seen.add(id(part))
        keys = getattr(part, "references", ())
        if isinstance(keys, (tuple, list)):
            found.update(dict.fromkeys(key for key in keys if isinstance(key, str)))
        if inspect.isclass(part) or inspect.isroutine(part):
            found.update(dict.fromkeys(documented(part)))
        elif type(part).__module__.partition(".")[0] == __name__.partition(".")[0]:
            found.update(dict.fromkeys(documented(type(part))))
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


def documented(thing: object) -> tuple[str, ...]:
    """The reference keys in the docstring of a class or function, each once, in order."""
    return tuple(dict.fromkeys(key for key in re.findall(r"\w+", thing.__doc__ or "") if key in ENTRIES))


def cite(*objects: Any) -> str:
    """The BibTeX of everything that the given kernels, bounds or reference keys rest on.

    A `Sum` of kernels cites what its parts cite. What the docstring of an object's class names is cited; for a result,
    give the function that made it, too. An object without references adds nothing.

    Args:
        *objects: kernels, bounds, other results, classes, functions, lists of them, or reference keys.

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
