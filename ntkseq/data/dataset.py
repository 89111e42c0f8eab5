"""What does a loaded data set look like?"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from ntkseq import _checks, _display
from ntkseq._struct import replace, static, struct
from ntkseq._types import AnyArray, Lengths
from ntkseq.data.labels import number


@struct
class Dataset:
    """Sequences with their labels, and the test split where the file has one.

    Attributes:
        x: sequences, padded with zeros behind their lengths.
        y: class codes 0..k-1 (int32), or numbers (floating) for regression and after `binary`; None without labels.
        lengths: true length of each sequence, 1..t; None when all sequences of both splits have length t.
        x_test, y_test, lengths_test: the same for the test split; None where there is none.
        name: name of the data set.
        classes: name of each class; `y == i` means `classes[i]`. Empty for regression and without labels.
        origin: what of the file was taken for what, in words; empty where there was no file.
        notes: what to know of the reading: what was left out, or may be meant otherwise.
    """

    x: Float[Array, "n t d"]
    y: Shaped[Array, " n"] | None
    lengths: Int[Array, " n"] | None = None
    x_test: Float[Array, "m t d"] | None = None
    y_test: Shaped[Array, " m"] | None = None
    lengths_test: Int[Array, " m"] | None = None
    name: str = static(default="")
    classes: tuple[str, ...] = static(default=())
    origin: str = static(default="")
    notes: tuple[str, ...] = static(default=())

    def __post_init__(self) -> None:
        _check("", self.x, self.y, self.lengths)
        if self.x_test is not None:
            _check("_test", self.x_test, self.y_test, self.lengths_test)

    def binary(self, a: object, b: object) -> Dataset:
        """The examples of two classes only, with y = -1 for `a` and +1 for `b`, in the dtype of `x`.

        Args:
            a: class name (`3` finds the class "3").
            b: class name, not `a`.

        Raises:
            ValueError: an unknown class, twice the same, no class labels, or a class without training examples.
        """
        if self.y is None or not self.classes:
            raise ValueError(f"{self.name}: binary() needs class labels; this data set has none.")
        if not jnp.issubdtype(self.y.dtype, jnp.integer):
            raise ValueError(f"{self.name}: the labels are -1/+1 already, for classes {_names(self.classes)}.")
        first, second = self._code(a), self._code(b)
        if first == second:
            raise ValueError(f"{self.name}: binary() needs two different classes; got {str(a)!r} twice.")
        x, y, lengths = _keep(first, second, self.x, self.y, self.lengths)
        for sign, asked in ((-1, a), (1, b)):
            if not (np.asarray(y) == sign).any():
                raise ValueError(f"{self.name}: class {str(asked)!r} has no training example. Choose another class.")
        pair = (self.classes[first], self.classes[second])
        changed = replace(self, x=x, y=y, lengths=lengths, classes=pair)
        if self.x_test is None:
            return changed
        x, y, lengths = _keep(first, second, self.x_test, self.y_test, self.lengths_test)
        return replace(changed, x_test=x, y_test=y, lengths_test=lengths)

    def signs(self) -> Dataset:
        """The same data set with y = -1 for the first of its two classes and +1 for the second.

        Raises:
            ValueError: the number of classes is not two.
        """
        if len(self.classes) != 2:
            raise ValueError(
                f"{self.name}: signs() needs exactly 2 classes; got {len(self.classes)}: {_names(self.classes)}. "
                "Pick two with binary(a, b)."
            )
        return self.binary(*self.classes)

    def _code(self, asked: object) -> int:
        if str(asked) not in self.classes and (value := number(str(asked))) in self.classes:
            return self.classes.index(str(value))
        if str(asked) not in self.classes:
            raise ValueError(f"{self.name}: no class {str(asked)!r}; the classes are {_names(self.classes)}.")
        return self.classes.index(str(asked))

    def __repr__(self) -> str:
        return "\n".join(_display.cut([part for line in str(self).splitlines() for part in _display.wrapped(line)]))

    def __str__(self) -> str:
        n, t, d = self.x.shape
        test = "" if self.x_test is None else f" + {self.x_test.shape[0]} test"
        ragged = "" if self.lengths is None else " (ragged)"
        labels = "no labels" if self.y is None else f"{len(self.classes)} classes" if self.classes else "real labels"
        name = f"{self.name}: " if self.name else ""
        line = f"Dataset({name}{n} examples{test}, t={t}{ragged}, d={d}, {self.x.dtype}, {labels})"
        told = ([f"read as: {self.origin}"] if self.origin else []) + [f"note: {note}" for note in self.notes]
        return "\n  ".join([line, *told])


def _check(end: str, x: AnyArray, y: AnyArray | None, lengths: Lengths) -> None:
    """Check one split; `end` is that of the names of its fields."""
    _checks.outside(f"lengths{end}", lengths, "")
    array = _checks.host(f"x{end}", x)
    if array.ndim != 3 or 0 in array.shape or array.dtype.kind not in "fiub":
        raise ValueError(f"x{end} must be numbers of shape (n, t, d); got shape {array.shape}, dtype {array.dtype}.")
    n, t = array.shape[:2]
    if lengths is not None:
        inside = np.arange(t) < np.asarray(_checks.check_lengths(f"x{end}", lengths, n, t))[:, None]
        array = np.where(inside[:, :, None], array, 0)
    _checks.finite(f"x{end}", array)
    if y is not None:
        _checks.labels(f"y{end}", y, n)


def _keep(first: int, second: int, x: AnyArray, y: AnyArray | None, lengths: Lengths) -> tuple[Any, Any, Any]:
    """The examples whose code is `first` or `second`, with signs for labels."""
    y = np.asarray(y)  # on the host: nothing to compile for each new size
    which = np.flatnonzero((y == first) | (y == second))
    signs = jnp.asarray(np.where(y[which] == first, -1, 1), x.dtype)
    kept = jnp.asarray(np.asarray(x)[which])
    return kept, signs, None if lengths is None else jnp.asarray(np.asarray(lengths)[which])


def _names(classes: tuple[str, ...]) -> str:
    shown = ", ".join(map(repr, classes[:12]))
    return f"{shown}, ... ({len(classes)} in all)" if len(classes) > 12 else shown or "none"
