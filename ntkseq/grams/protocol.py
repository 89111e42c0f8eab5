"""What can be done with a Gram matrix as with any array? Loops, parts, methods and operators."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq import _checks, _memory, _precision
from ntkseq._types import AnyArray, DType
from ntkseq.grams import arithmetic

IMPLICIT = 1 << 30
"""Bytes beyond which a Gram that holds no array does not turn into one unless `dense()` says so."""
_BLOCK = 1 << 25  # bytes of the rows that a loop over a Gram without an array holds at a time
# fmt: off
_METHODS = frozenset((
    "all", "any", "argmax", "argmin", "argpartition", "argsort", "choose", "clip", "compress", "conj", "conjugate",
    "copy", "cumprod", "cumsum", "flatten", "item", "max", "min", "nonzero", "partition", "prod", "ptp", "ravel",
    "repeat", "reshape", "round", "searchsorted", "sort", "squeeze", "std", "swapaxes", "tobytes", "tolist", "var",
))
# fmt: on
_PROPERTIES = frozenset(("at", "flat", "imag", "real"))


class ArrayProtocol:
    """What a Gram has of an array; base class of `grams.Gram` only, where it is told."""

    __array_priority__ = 1000.0  # arrays of NumPy leave operators to this class
    held = True
    """Whether the entries lie in memory."""
    where = "lazy"
    """Where the entries are that do not lie there, for messages."""

    # ---- parts

    def __len__(self: Any) -> int:
        return self.shape[0]

    def __iter__(self: Any) -> Iterator[Any]:
        """The rows, one after the other."""
        n, m = self.shape
        if self.held:
            yield from (self[i] for i in range(n))
            return
        size = max(1, min(n, _BLOCK // (m * np.dtype(self.dtype).itemsize)))
        for start in range(0, n, size):
            first = min(start, n - size)  # blocks of one size compile once
            yield from self.rows(slice(first, first + size))[start - first :]

    def __getitem__(self, index: AnyArray) -> AnyArray:
        """Entries, rows or blocks, as of an array.

        Raises:
            IndexError: an index beyond the matrix, where JAX would take the last row.
        """
        return self._part(self._index(index))

    def __setitem__(self, index: AnyArray, value: object) -> None:
        raise TypeError("the entries of a Gram cannot be set, its rounding would be another. Take np.array(K).")

    def __contains__(self, value: object) -> bool:
        return bool((self == value).any())

    def _index(self: Any, index: AnyArray) -> tuple[Any, ...]:
        """An index as a tuple that JAX and NumPy take, looked at by NumPy, which refuses what is beyond the shape."""
        parts = index if isinstance(index, tuple) else (index,)
        parts = tuple(np.asarray(part) if isinstance(part, list) else part for part in parts)
        if any(isinstance(part, jax.Array) and not _checks.is_concrete(part) for part in parts):
            return parts
        parts = tuple(np.asarray(part) if isinstance(part, jax.Array) else part for part in parts)
        parts = tuple(part.astype(int) if isinstance(part, np.ndarray) and not part.size else part for part in parts)
        np.broadcast_to(np.True_, self.shape)[parts]
        return parts

    def _part(self: Any, index: tuple[Any, ...]) -> Any:
        """The part with a checked index; where entries are not held, no more rows are computed than asked for."""
        plain = all(isinstance(part, (int, np.integer, slice, np.ndarray)) for part in index) and len(index) in (1, 2)
        if self.held or not plain or any(np.asarray(part).dtype == bool and np.ndim(part) != 1 for part in index):
            return self.whole("an index of this kind")[index]
        everything = [isinstance(part, slice) and part == slice(None) for part in index]
        if everything[0] and self.symmetric and not everything[-1]:
            return np.moveaxis(self._part((index[1],)), -1, 0)
        which = np.arange(self.shape[0])[index[0]]
        rows, back = np.unique(which, return_inverse=True)
        self.room("an index", len(rows))
        found = self.rows(rows) if len(rows) else np.zeros((0, self.shape[1]), self.dtype)
        back = back.reshape(which.shape)
        if len(index) == 2 and not isinstance(index[0], slice):
            return found[back, index[1]]  # two arrays go together, entry by entry
        return found[back][(slice(None), *index[1:])] if len(index) == 2 else found[back]

    # ---- as one array

    @property
    def ndim(self) -> int:
        return 2

    @property
    def size(self: Any) -> int:
        """The number of entries."""
        return self.shape[0] * self.shape[1]

    @property
    def nbytes(self: Any) -> int:
        """Bytes of the entries, if they are held."""
        return self.size * np.dtype(self.dtype).itemsize

    def whole(self: Any, doing: str) -> AnyArray:
        """All entries, as an array of JAX, or of NumPy where JAX would round them.

        Raises:
            ValueError: they are not held and take more than 1 GiB; the message says that `doing` needs them.
        """
        self.room(doing)
        return _precision.handed(self.dense())

    def room(self: Any, doing: str, rows: int | None = None) -> None:
        """Raise where all entries, or those of some rows, are not held and take more than 1 GiB; `doing` needs them."""
        needed = (self.shape[0] if rows is None else rows) * self.shape[1] * np.dtype(self.dtype).itemsize
        if not self.held and needed > IMPLICIT:
            raise ValueError(
                f"this Gram is {self.where}, and as an array it takes {_memory.text(needed)}, which `{doing}` needs. "
                "Use its products (times, mv, @; spectrum, predictors.flow and ridge_cg do), take lazy(c * kernel, x) "
                "or lazy(kernel1 + kernel2, x), loop over its rows, or call .dense() if that is what you want."
            )

    def __jax_array__(self) -> jax.Array:
        self.room("asarray")
        return jnp.asarray(self.dense())  # pyright: ignore[reportAttributeAccessIssue]

    def __array__(self, dtype: DType | None = None, copy: bool | None = None) -> np.ndarray:
        self.room("asarray")
        made = np.asarray(self.dense(), dtype=dtype)  # pyright: ignore[reportAttributeAccessIssue]
        return made.copy() if copy else made

    def __getattr__(self, name: str) -> Any:
        """The methods of arrays of which nothing is to be said here, such as `max`, `argsort` or `reshape`."""
        if name in _PROPERTIES:
            return getattr(self.whole(name), name)
        if name in _METHODS:
            return lambda *args, **kwargs: getattr(self.whole(name), name)(*args, **kwargs)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *_METHODS, *_PROPERTIES})

    def astype(self, dtype: DType, **kwargs: Any) -> AnyArray:
        """The entries in another dtype: a NumPy array if that is float64 and JAX is in its 32-bit mode."""
        array = self.whole("astype")
        wide = np.dtype(dtype) == np.float64 and not _precision.x64()
        return (np.asarray(array) if wide else array).astype(dtype, **kwargs)

    def sum(self: Any, axis: int | None = None, **kwargs: Any) -> AnyArray | np.generic:
        """The sum of the entries, as of an array; where they are not held, of products in float64."""
        if self.held or axis not in (None, 0, 1, -1, -2) or any(value is not None for value in kwargs.values()):
            return self.whole("sum").sum(axis=axis, **kwargs)
        turned = self.T if axis in (0, -2) else self
        rows = turned.times(np.ones(turned.shape[1]))
        return rows.sum() if axis is None else rows

    def mean(self: Any, axis: int | None = None, **kwargs: Any) -> AnyArray | np.generic:
        """The mean of the entries, as of an array; where they are not held, of products in float64."""
        if self.held or axis not in (None, 0, 1, -1, -2) or any(value is not None for value in kwargs.values()):
            return self.whole("mean").mean(axis=axis, **kwargs)
        return self.sum(axis) / (self.size if axis is None else self.shape[axis])

    def trace(self: Any, *args: Any, **kwargs: Any) -> AnyArray | np.generic:
        """The trace, as of an array."""
        if args or kwargs or not self.symmetric:
            return self.whole("trace").trace(*args, **kwargs)
        return self.diag().sum()

    def diagonal(self: Any, *args: Any, **kwargs: Any) -> AnyArray:
        """The diagonal, as of an array."""
        if args or kwargs or not self.symmetric:
            return self.whole("diagonal").diagonal(*args, **kwargs)
        return self.diag()

    def transpose(self: Any, *axes: Any) -> Any:
        """`T`, or the matrix itself where the axes stay."""
        order = axes[0] if len(axes) == 1 else axes
        order = (1, 0) if order is None or len(order) == 0 else tuple(operator.index(a) % 2 for a in order)
        if sorted(order) != [0, 1]:
            raise ValueError(f"axes must be (0, 1) or (1, 0) for a matrix; got {axes}.")
        return self if order == (0, 1) else self.T

    @property
    def mT(self: Any) -> Any:
        """`T`."""
        return self.T

    def dot(self, other: object) -> AnyArray:
        """`K @ other`."""
        return self @ other

    # ---- operators

    def __neg__(self) -> Any:
        return self * -1

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> AnyArray:
        return abs(self.whole("abs"))

    def __matmul__(self: Any, other: Any) -> Any:
        """The product with a vector, a matrix or a Gram: at full precision; where the entries are not held, `times`."""
        if not self.held and not _is_gram(other) and np.ndim(other) in (1, 2):
            return self.times(other)
        return _operate("@", _matmul, self, other)

    def __rmatmul__(self: Any, other: Any) -> Any:
        if not self.held and np.ndim(other) in (1, 2):
            return self.T.times(np.asarray(other).T).T
        return _operate("@", lambda mine, theirs: _matmul(theirs, mine), self, other)

    def __add__(self, other: object) -> Any:
        return self._carried("plus", operator.add, "+", other)

    __radd__ = __add__

    def __sub__(self, other: object) -> Any:
        return self._carried("minus", operator.sub, "-", other)

    def __rsub__(self, other: object) -> Any:
        if _is_number(other):
            return -self + other
        return _operate("-", lambda mine, theirs: theirs - mine, self, other)

    def __mul__(self, other: object) -> Any:
        return self._carried("times", operator.mul, "*", other)

    __rmul__ = __mul__

    def __truediv__(self, other: object) -> Any:
        return self._carried("over", operator.truediv, "/", other)

    def _carried(self: Any, name: str, op: Callable[[Any, Any], Any], sign: str, other: Any) -> Any:
        """A Gram where the rounding of the result is known, a plain array elsewhere."""
        made = None
        if _is_number(other):
            made = getattr(arithmetic, name)(self, float(other))
        elif name in ("plus", "minus") and _is_gram(other) and other.shape == self.shape:
            made = getattr(arithmetic, f"{name}_gram")(self, other)
        if made is None:
            return _operate(sign, op, self, other)
        return self._holding(**made) if isinstance(made, dict) else made

    def __rtruediv__(self, other: object) -> Any:
        return _operate("/", lambda mine, theirs: theirs / mine, self, other)

    def __pow__(self, other: object) -> Any:
        return _operate("**", operator.pow, self, other)

    def __rpow__(self, other: object) -> Any:
        return _operate("**", lambda mine, theirs: theirs**mine, self, other)

    def __floordiv__(self, other: object) -> Any:
        return _operate("//", operator.floordiv, self, other)

    def __mod__(self, other: object) -> Any:
        return _operate("%", operator.mod, self, other)

    def __lt__(self, other: object) -> Any:
        return _operate("<", operator.lt, self, other)

    def __le__(self, other: object) -> Any:
        return _operate("<=", operator.le, self, other)

    def __gt__(self, other: object) -> Any:
        return _operate(">", operator.gt, self, other)

    def __ge__(self, other: object) -> Any:
        return _operate(">=", operator.ge, self, other)

    def __eq__(self, other: object) -> Any:
        """Entry by entry, as of an array."""
        return _operate("==", operator.eq, self, other)

    def __ne__(self, other: object) -> Any:
        return _operate("!=", operator.ne, self, other)

    __hash__ = object.__hash__  # by identity, so that a Gram may be a key

    def __bool__(self) -> bool:
        return bool(self.whole("bool"))  # which is an error of JAX or NumPy but for a 1 x 1 matrix


def _is_gram(x: object) -> bool:
    return isinstance(x, ArrayProtocol)


def _is_number(x: Any) -> bool:
    """Whether this is one finite real number that can be looked at."""
    if _is_gram(x) or not _checks.is_concrete(x) or np.ndim(x) != 0:
        return False
    number = np.asarray(x)
    return number.dtype.kind in "fiub" and bool(np.isfinite(number))


def _operate(sign: str, op: Callable[[Any, Any], Any], gram: ArrayProtocol, other: Any) -> Any:
    """A plain array; of NumPy where an operand is in float64 that JAX, in its 32-bit mode, would round."""
    if _is_gram(other):
        theirs = other.whole(sign)
    elif isinstance(other, (jax.Array, np.ndarray, np.generic, bool, int, float, complex, list, tuple)):
        theirs = np.asarray(other) if isinstance(other, (list, tuple)) else other
    else:
        return NotImplemented
    mine = gram.whole(sign)
    wide = [isinstance(x, np.ndarray) and x.dtype == np.float64 and not _precision.x64() for x in (mine, theirs)]
    if any(wide):
        mine, theirs = (
            np.asarray(x) if isinstance(x, jax.Array) and _checks.is_concrete(x) else x for x in (mine, theirs)
        )
    return op(mine, theirs)


def _matmul(left: AnyArray, right: AnyArray) -> Any:
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        return np.matmul(left, right)
    return jnp.matmul(left, right, precision="highest")
