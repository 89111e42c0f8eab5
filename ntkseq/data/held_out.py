"""Which classes does meta-training never see? Labelled examples split by class, not by example."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Int, Real

from ntkseq import _checks, _display
from ntkseq._types import ArrayLike, Lengths
from ntkseq.data.splits import repeats

__all__ = ["Classes", "Part", "by_class"]


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """The examples of some classes, in the order they came in.

    Attributes:
        x: (n, ...) examples.
        y: (n,) labels, as given.
        lengths: (n,) lengths, or None.
        classes: the labels that occur, ascending.
    """

    x: Real[Array, "n ..."]
    y: Float[np.ndarray, " n"]
    lengths: Int[np.ndarray, " n"] | None
    classes: tuple[float, ...]

    __repr__ = _display.record


@dataclasses.dataclass(frozen=True, eq=False)
class Classes:
    """Examples of seen and of held-out classes; no class is in both.

    Attributes:
        train: what tasks to meta-train on are cut out of.
        test: what tasks of classes never seen before are cut out of.
        repeated: how many examples of `test` stand in `train` as well, number for number, under another label.
    """

    train: Part
    test: Part
    repeated: int = 0

    __repr__ = _display.record


def by_class(
    x: ArrayLike, y: ArrayLike, *, held_out: Any, key: jax.Array | None = None, lengths: Lengths = None
) -> Classes:
    """Split labelled examples by class, so that tasks of `data.tasks.few_shot_tasks` at test time are of new classes.

    Args:
        x: (n, ...) examples.
        y: (n,) class labels, any numbers.
        held_out: how many classes to hold out, drawn with `key`; or their labels.
        key: random key, with a number.
        lengths: (n,) lengths of sequences padded on the right, or None.

    Returns:
        Classes, with two classes or more on either side: a task needs two.

    Raises:
        ValueError: fewer than two classes on a side, a label that does not occur, a key missing or too much.

    Example:
        >>> import jax
        >>> from ntkseq.data import bundled, tasks
        >>> x, y = bundled.digits()
        >>> parts = by_class(x, y, held_out=(7, 8, 9))
        >>> parts.train.classes
        (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
        >>> new = tasks.few_shot_tasks(parts.test.x, parts.test.y, ways=3, shots=1, key=jax.random.key(0))
    """
    x, lengths = _checks.examples("x", x, lengths)
    y = _checks.labels("y", y, x.shape[0])
    found = np.unique(y)
    if isinstance(held_out, (int, np.integer)) and not isinstance(held_out, bool):
        if key is None:
            raise ValueError("key must be given where held_out is a number of classes to draw. Or name the classes.")
        if not 2 <= held_out <= len(found) - 2:
            raise ValueError(
                f"held_out must leave two of the {len(found)} classes on either side, in 2..{len(found) - 2}; "
                f"got {held_out}."
            )
        rng = np.random.default_rng(np.asarray(jax.random.bits(_checks.prng_key("key", key), (4,), np.uint32)))
        chosen = rng.choice(found, int(held_out), replace=False)
    else:
        chosen = _named(held_out, found)
        if key is not None:
            raise ValueError("key draws classes where held_out is their number; got held_out by name. Leave key out.")
    out = np.isin(y, chosen)

    def part(kept: np.ndarray) -> Part:
        which = np.flatnonzero(kept)
        cut = None if lengths is None else lengths[which]
        return Part(x[which], y[which], cut, tuple(map(float, np.unique(y[which]))))

    train, test = part(~out), part(out)
    same = repeats(np.asarray(train.x), np.asarray(test.x), train.lengths, test.lengths)
    return Classes(train, test, int(same.sum()))


def _named(held_out: Any, found: np.ndarray) -> np.ndarray:
    try:
        chosen = np.unique(np.asarray(held_out, np.float64).reshape(-1))
    except (TypeError, ValueError):
        raise ValueError(
            f"held_out must be a number of classes or labels that occur in y; got {_checks.shown(held_out)}. "
            "Names of classes have codes: dataset.classes.index(name)."
        ) from None
    alien = chosen[~np.isin(chosen, found)]
    if alien.size:
        raise ValueError(
            f"held_out must be labels that occur in y, which has {_listed(found)}; got {alien[0]:g}. Leave it out."
        )
    if not 2 <= chosen.size <= found.size - 2:
        raise ValueError(
            f"held_out must leave two of the {found.size} classes on either side; got {chosen.size}, {_listed(chosen)}."
        )
    return chosen


def _listed(values: np.ndarray) -> str:
    shown = ", ".join(f"{value:g}" for value in values[:12])
    return f"{shown}, ..." if len(values) > 12 else shown or "none"
