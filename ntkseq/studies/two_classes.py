"""Which class is +1, where signs speak of two classes? The second of two, the first of more, or the one named."""

from __future__ import annotations

from collections.abc import Sequence


def positive(classes: Sequence[str], named: str | None) -> int:
    """The number of the class that is +1, the rest being -1.

    Args:
        classes: the names of all classes, two or more, in their order.
        named: the one that the user chose; None: the second of two, the first of more.

    Raises:
        ValueError: no class of that name.
    """
    if named is None:
        return 1 if len(classes) == 2 else 0
    if named not in classes:
        raise ValueError(f"positive must be one of the classes {', '.join(classes[:12])}; got {named!r}.")
    return list(classes).index(named)


def words(classes: Sequence[str], chosen: int) -> str:
    """Which class is +1 and which are -1."""
    if len(classes) == 2:
        return f"class {classes[1 - chosen]!r} is -1, class {classes[chosen]!r} is +1"
    return f"class {classes[chosen]!r} is +1, the other {len(classes) - 1} classes together are -1"
