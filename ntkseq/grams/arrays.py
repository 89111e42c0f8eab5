"""The doors: an array becomes a Gram with what is known of its rounding, and a symmetric one comes to the host."""

from __future__ import annotations

import dataclasses
import math
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from ntkseq import _checks, _struct
from ntkseq._types import AnyArray, GramLike
from ntkseq.grams import facts
from ntkseq.grams.base import DenseGram, Gram


def as_gram(K: GramLike, name: str = "K") -> Gram:
    """`K` itself if it is a Gram; an array with what is known of its rounding.

    An array that this library computed, `kernel(x)` or `kernels.every_step(kernel, x)` itself and not what an operation
    made of it, has the rounding of `gram(kernel, x)`. Of any other array it is only known that its entries cannot be
    better than rounded once in their dtype. For one below float64, or one in float64 whose numbers are those of
    float32, this is said in a warning, and `Dense.stated` is False.

    Args:
        K: a Gram, or a matrix (n, m); (n, m, t, s), over steps or outputs, becomes one of all rows and columns.
        name: of K in messages.

    Raises:
        ValueError: not a matrix of floats.

    Warns:
        PrecisionWarning: the rounding of the array is not known.

    Example:
        >>> import numpy as np
        >>> K = as_gram(np.array([[2.0, 1.0 / 3.0], [1.0 / 3.0, 2.0]]))
        >>> K.shape, as_gram(K) is K
        ((2, 2), True)
    """
    return K if isinstance(K, Gram) else _stated(facts.array(K, name), name)


def _stated(array: AnyArray, name: str) -> DenseGram:
    return _struct.unchecked(DenseGram, **facts.stated(array, name))


@dataclasses.dataclass(frozen=True, eq=False)
class Symmetric:
    """The Gram matrix of one set of inputs, checked, exactly symmetric, in host float64. Made by `symmetric`.

    Attributes:
        matrix: K, or (K + K') / 2 where K was symmetric up to rounding only.
        asymmetry: |K - K'|_F.
        given: K as it came: a Gram with its entries held, or an array.
        name: of K in messages.
    """

    matrix: Float[np.ndarray, "n n"]
    asymmetry: float
    given: Any
    name: str

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.matrix.shape  # pyright: ignore[reportReturnType]

    @cached_property
    def gram(self) -> DenseGram:
        """What is known of the entries as they came; of an array it is found here, with its warning."""
        return self.given if isinstance(self.given, DenseGram) else _stated(self.given, self.name)

    @cached_property
    def rounding(self) -> float:
        """Upper estimate of |matrix - exact| in spectral norm: that of `gram`, and what was averaged away."""
        rounding = float(np.asarray(self.gram.rounding))
        if not rounding >= 0:
            raise ValueError(
                f"rounding of {self.name} must be a number >= 0; got {rounding}. It bounds |K - exact| in spectral "
                "norm."
            )
        if self.asymmetry == 0.0:
            return rounding
        # halving is exact; the sum rounds once. Half the asymmetry lies in the part that is dropped, and the part that
        # stays is taken to be as wrong.
        once = 0.5 * float(np.finfo(np.float64).eps) * _checks.norm(self.matrix)
        return max(rounding, 0.5 * self.asymmetry) + once

    @property
    def frobenius(self) -> float:
        """Upper estimate of |matrix - exact| in Frobenius norm."""
        return self.rounding if self.gram.frobenius else math.sqrt(len(self.matrix)) * self.rounding

    def products(self) -> DenseGram:
        """`matrix` as a Gram, for its products with vectors."""
        known = {name: getattr(self.gram, name) for name in ("frobenius", "estimated", "sampling", "stated")}
        return _struct.unchecked(DenseGram, array=self.matrix, rounding=self.rounding, **known)


def symmetric(K: GramLike | Symmetric, name: str = "K", *, whole: bool = False) -> Symmetric:
    """The Gram matrix of one set of inputs on the host, to be solved or factored; `K` itself if it is that already.

    Args:
        K: a Gram, or an array (n, n) of real numbers; (n, n, o, o), over outputs or steps, becomes (n o, n o).
        name: of K in messages.
        whole: hold a Gram that is not held even if it takes more than 1 GiB.

    Raises:
        ValueError: not a matrix of real numbers, empty, not square, not finite, not symmetric up to its rounding.
    """
    if isinstance(K, Symmetric):
        return K
    if isinstance(K, Gram):
        _checks.square(name, K.shape)
        if not whole:
            K.room("asarray")
        given = K.hold()
        entries = _checks.host(name, given.array)
        _checks.finite(name, entries)
    else:
        given = facts.array(K, name, whole_numbers=True)
        entries = _checks.host(name, given) if given.ndim == 2 else facts.flat(given)
    matrix, asymmetry = _checks.symmetrised(name, entries, lambda: float(as_gram(given, name).rounding))
    return Symmetric(matrix, asymmetry, given, name)


def at_hand(K: GramLike | Symmetric) -> bool:
    """Whether the entries lie in memory: those of an array, and of a Gram unless it is lazy."""
    return not isinstance(K, Gram) or K.held


def products(K: GramLike | Symmetric, name: str = "K") -> Gram:
    """A symmetric Gram or array for its products with vectors: as it is where its entries are not held.

    Raises:
        ValueError: as `symmetric`.
    """
    if not isinstance(K, Gram) or at_hand(K):
        return symmetric(K, name).products()
    _checks.square(name, K.shape, K.symmetric)
    return K
