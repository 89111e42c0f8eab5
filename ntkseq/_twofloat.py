"""How is a number kept to twice its precision? As an unevaluated sum of two floats of the same dtype.

Error-free sums and products after Knuth and Dekker. Used for what is computed once per input and then enters a
product over many steps: there a relative error of one rounding comes back t times.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array


class Two(NamedTuple):
    """hi + lo, with |lo| at most half a unit in the last place of hi."""

    hi: Array
    lo: Array


def two(x: Array) -> Two:
    """A plain float."""
    return Two(x, jnp.zeros_like(x))


def split(value: np.ndarray, dtype: object) -> Two:
    """A host float64 array as two floats of `dtype`."""
    value = np.asarray(value, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # inf, which whoever checks the values refuses
        hi = value.astype(dtype)  # pyright: ignore[reportArgumentType,reportCallIssue]
        low = (value - hi.astype(np.float64)).astype(dtype)  # pyright: ignore[reportArgumentType,reportCallIssue]
    return Two(jnp.asarray(hi), jnp.asarray(low))


def _sum(a: Array, b: Array) -> Two:
    s = a + b
    t = s - a
    return Two(s, (a - (s - t)) + (b - t))


def _halves(a: Array) -> tuple[Array, Array]:
    bits = jnp.finfo(a.dtype).nmant // 2 + 1
    t = a * (2.0**bits + 1)
    high = t - (t - a)
    return high, a - high


def _product(a: Array, b: Array) -> Two:
    p = a * b
    (ah, al), (bh, bl) = _halves(a), _halves(b)
    return Two(p, ((ah * bh - p) + ah * bl + al * bh) + al * bl)


def _tidy(hi: Array, lo: Array) -> Two:
    s = hi + lo
    return Two(s, lo - (s - hi))


def add(a: Two, b: Two) -> Two:
    """a + b."""
    s, e = _sum(a.hi, b.hi)
    return _tidy(s, e + (a.lo + b.lo))


def multiply(a: Two, b: Two) -> Two:
    """a * b."""
    p, e = _product(a.hi, b.hi)
    return _tidy(p, e + (a.hi * b.lo + a.lo * b.hi))


def divide(a: Two, b: Two) -> Two:
    """a / b, b not zero."""
    q = a.hi / b.hi
    p = multiply(two(q), b)
    rest = ((a.hi - p.hi) - p.lo) + a.lo
    return _tidy(q, rest / b.hi)


def root(a: Two) -> Array:
    """sqrt(a), rounded once; 0 where a is not positive."""
    positive = a.hi > 0
    hi = jnp.where(positive, a.hi, 1)
    s = jnp.sqrt(hi)
    p, e = _product(s, s)
    s = s + (((hi - p) - e) + jnp.where(positive, a.lo, 0)) / (2 * s)
    return jnp.where(positive, s, 0)
