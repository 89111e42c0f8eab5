"""How does an array become a Gram? With what is known of its rounding."""

from __future__ import annotations

from typing import Any

from ntkseq.grams import facts
from ntkseq.grams.base import Dense, Gram


def as_gram(K: Any, name: str = "K") -> Gram:
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
    """
    return K if isinstance(K, Gram) else Dense(**facts.of_array(K, name))
