"""Does a function take the length of a sequence behind what else it is called with?"""

from __future__ import annotations

import inspect
from typing import Any


def takes_length(f: Any, before: int) -> bool:
    """Whether f is to be called with a length behind `before` arguments, as f(params, x, length) behind 2.

    A function that takes so many says so by an argument without a default, or by one whose name has "len" in it: what
    stands there for something else, as `mask=None`, is no length. A function of `interop` answers for its model, and
    `empirical.attention_weights(f)` for f.
    """
    if hasattr(f, "takes_length"):
        return f.takes_length(before)
    if not hasattr(f, "func") and callable(inner := getattr(f, "f", None)):  # a function around it
        return takes_length(inner, before)
    try:
        signature = inspect.signature(f)
    except (TypeError, ValueError):
        return False
    return _has_length(signature, before)


def _has_length(signature: inspect.Signature, before: int) -> bool:
    given = list(signature.parameters.values())
    places = [p for p in given if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(places) > before:
        place = places[before]
        return place.default is place.empty or "len" in place.name
    return len(places) <= before and any(p.kind is p.VAR_POSITIONAL for p in given)


def check_length(f: Any, before: int, name: str = "f") -> None:
    """Raise where lengths were passed and f takes none: it would run over the padding.

    Raises:
        ValueError: such an f.
    """
    if not takes_length(f, before):
        known = ", ".join(("params", "state", "x") if before == 3 else ("params", "x"))
        raise ValueError(
            f"lengths= needs {name}({known}, length), which leaves out what is behind it; got one of ({known}). "
            "Give it, or the model or `call` behind it, an argument `length`, or leave lengths out."
        )


def name(f: Any) -> str:
    """A function in a word or two."""
    while hasattr(f, "func"):  # functools.partial
        f = f.func
    word = getattr(f, "__qualname__", None)
    return word.replace("<locals>.", "") if isinstance(word, str) else type(f).__name__
