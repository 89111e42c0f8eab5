"""Which real data comes with an installed package, so that nothing needs a download?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from ntkseq import _checks
from ntkseq._types import DType

__all__ = ["digits"]

#: Seed of the one shuffle of `digits`. The stream of numpy's legacy generator is frozen, so the order never changes.
SHUFFLE_SEED = 0


def digits(
    classes: Iterable[int] | None = None, *, dtype: DType = jnp.float32, scale: bool = True
) -> tuple[Float[Array, "n 8 8"], Shaped[Array, " n"]]:
    """Handwritten digits, 8 x 8 pixels, each read as a sequence of its 8 rows from top to bottom.

    The 1797 images stand in one fixed shuffled order, `numpy.random.RandomState(0).permutation(1797)`; choosing
    classes keeps that order. So `x[:100], y[:100]` is a test set that is the same for everybody, today and later.

    Args:
        classes: which digits to keep. None keeps all ten.
        dtype: floating dtype of `x`, and of `y` for two classes.
        scale: divide the pixels, whole numbers 0..16, by 16.

    Returns:
        `(x, y)`. With two classes `y` is floating, -1 for the first and +1 for the second. With more, or None, `y` is
        int32 and counts the given classes from 0: `y == i` means `classes[i]` (with None, the digit itself).

    Raises:
        ImportError: scikit-learn, which carries the images, is not installed.
        ValueError: `classes` is not two or more different digits 0..9, or `dtype` is not a floating dtype at hand.

    Example:
        >>> x, y = digits(classes=(3, 8))
        >>> x.shape, sorted(set(y.tolist()))
        ((357, 8, 8), [-1.0, 1.0])
    """
    dtype, scale = _checks.float_dtype("dtype", dtype), _checks.flag("scale", scale)
    chosen = _digits_wanted(classes)
    pixels, digit = _scikit_learn_digits()
    order = np.random.RandomState(SHUFFLE_SEED).permutation(len(digit))
    pixels, digit = pixels[order], digit[order]
    code = np.full(10, -1)
    code[list(chosen)] = np.arange(len(chosen))
    keep = code[digit] >= 0
    x = pixels[keep] / 16 if scale else pixels[keep]  # (n, 8, 8)
    y = code[digit[keep]]  # (n,)
    if len(chosen) == 2:
        return jnp.asarray(x, dtype), jnp.asarray(2 * y - 1, dtype)
    return jnp.asarray(x, dtype), jnp.asarray(y, jnp.int32)


def _digits_wanted(classes: Iterable[int] | None) -> tuple[int, ...]:
    if classes is None:
        return tuple(range(10))
    wanted = "classes must be two or more different digits 0..9, or None for all"
    try:
        chosen = tuple(classes)
    except TypeError:
        raise ValueError(f"{wanted}; got {_checks.shown(classes)}. Pass e.g. classes=(3, 8).") from None
    whole = all(isinstance(c, (int, np.integer)) and not isinstance(c, bool) and 0 <= c <= 9 for c in chosen)
    if not whole or len(chosen) < 2 or len(set(chosen)) != len(chosen):
        raise ValueError(f"{wanted}; got {_checks.shown(classes)}. Pass e.g. classes=(3, 8).")
    return tuple(int(c) for c in chosen)


def _scikit_learn_digits() -> tuple[np.ndarray, np.ndarray]:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "data.bundled.digits needs scikit-learn, which carries the images and is not installed. "
            'Run: pip install "ntkseq[study]"'
        ) from error
    bunch: Any = load_digits()
    return np.asarray(bunch.images), np.asarray(bunch.target)  # (1797, 8, 8), (1797,)
