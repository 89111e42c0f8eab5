"""Which made sequences have an answer that is known beforehand? For tests, documentation and demonstrations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ntkseq import _checks, _precision
from ntkseq._types import DType

__all__ = ["count_ones", "delay", "near_duplicates", "parity", "ragged", "teacher_sum", "unit_tokens"]


def unit_tokens(n: int, t: int, d: int, *, key: jax.Array, dtype: DType | None = None) -> Float[Array, "n t d"]:
    """Tokens drawn uniformly from the unit sphere in d dimensions.

    Args:
        n: number of examples.
        t: number of steps.
        d: number of features; with d = 1 a token is -1 or +1.
        key: random key.
        dtype: floating dtype; None is the default float.

    Raises:
        ValueError: sizes below 1, no random key, no floating dtype.

    Example:
        >>> import jax
        >>> tokens = unit_tokens(2, 3, 4, key=jax.random.key(0))
        >>> tokens.shape, bool(abs((tokens**2).sum(-1) - 1).max() < 1e-6)
        ((2, 3, 4), True)
    """
    n, t, d = _sizes(n=n, t=t, d=d)
    dtype = _checks.float_dtype("dtype", dtype)
    x = _precision.normal(_checks.prng_key("key", key), (n, t, d), dtype)
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


def teacher_sum(
    n: int,
    t: int,
    d: int,
    *,
    key: jax.Array,
    function: Callable[[Array], Array] = jnp.square,
    directions: Float[Array, "t d"] | None = None,
    dtype: DType | None = None,
) -> tuple[Float[Array, "n t d"], Float[Array, " n"]]:
    """Unit tokens with an additive target, the class that recurrent kernels provably learn.

    y = sum_l f(beta_l . x_l),  |x_l| = 1

    Args:
        n: number of examples.
        t: number of steps.
        d: number of features.
        key: random key.
        function: f, applied elementwise.
        directions: beta, one row per step, of any norm. None draws unit directions from `key`, so another key means
            another target: to draw a test set for the same target, pass the directions to both calls.
        dtype: floating dtype; None is the default float.

    Returns:
        `(x, y)`.

    Raises:
        ValueError: a size below 1, directions of another shape, or a function that does not keep the shape.

    Reference: wang2021rnn.

    Example:
        >>> import jax
        >>> x, y = teacher_sum(5, 3, 1, key=jax.random.key(0))  # d = 1: (beta x)^2 = 1 at every step
        >>> y.tolist()
        [3.0, 3.0, 3.0, 3.0, 3.0]
    """
    n, t, d = _sizes(n=n, t=t, d=d)
    dtype = _checks.float_dtype("dtype", dtype)
    for_x, for_beta = jax.random.split(_checks.prng_key("key", key))
    x = unit_tokens(n, t, d, key=for_x, dtype=dtype)
    if directions is None:
        beta = unit_tokens(1, t, d, key=for_beta, dtype=dtype)[0]
    else:
        beta = _checks.matrix("directions", directions).astype(dtype)
        if beta.shape != (t, d):
            raise ValueError(f"directions must have shape (t, d) = {(t, d)}, one row per step; got {beta.shape}.")
    parts = function(jnp.einsum("ntd,td->nt", x, beta, precision="highest"))
    if jnp.shape(parts) != (n, t):
        raise ValueError(f"function must act elementwise: {(n, t)} in and out; it returned {jnp.shape(parts)}.")
    return x, jnp.sum(parts, axis=1).astype(dtype)


def count_ones(
    n: int, t: int, *, key: jax.Array, dtype: DType | None = None
) -> tuple[Float[Array, "n t 1"], Float[Array, " n"]]:
    """Random bits 0/1 with the number of ones as target: y = sum_l x_l, linear and additive in the tokens.

    Args:
        n: number of examples.
        t: number of steps.
        key: random key.
        dtype: floating dtype; None is the default float.

    Raises:
        ValueError: a size below 1, or counts that `dtype` cannot hold exactly.

    Example:
        >>> import jax
        >>> x, y = count_ones(4, 6, key=jax.random.key(0))
        >>> bool((y == x.sum(axis=(1, 2))).all())
        True
    """
    n, t = _sizes(n=n, t=t)
    dtype = _checks.float_dtype("dtype", dtype)
    if t > 2 / float(jnp.finfo(dtype).eps):
        raise ValueError(f"t = {t} is more than {dtype} can count. Ask for a wider dtype.")
    bits = jax.random.bernoulli(_checks.prng_key("key", key), 0.5, (n, t))
    return bits[:, :, None].astype(dtype), jnp.sum(bits, axis=1).astype(dtype)


def parity(
    n: int, t: int, *, key: jax.Array, over: int | None = None, dtype: DType | None = None
) -> tuple[Float[Array, "n t 1"], Float[Array, " n"]]:
    """Random signs with their product as label: y = prod_{l <= over} x_l, the target that no sum of tokens explains.

    Args:
        n: number of examples.
        t: number of steps.
        key: random key.
        over: how many of the first tokens count; None counts all, 1 makes the label linear.
        dtype: floating dtype; None is the default float.

    Returns:
        `(x, y)`, both of -1 and +1; y = +1 when the number of -1 among the tokens that count is even.

    Raises:
        ValueError: a size below 1, or `over` above t.

    Example:
        >>> import jax
        >>> x, y = parity(4, 6, key=jax.random.key(0))
        >>> bool((y == x.prod(axis=(1, 2))).all())
        True
    """
    n, t = _sizes(n=n, t=t)
    dtype = _checks.float_dtype("dtype", dtype)
    over = t if over is None else _checks.positive_int("over", over)
    if over > t:
        raise ValueError(f"over must lie in 1..t = {t}, the number of tokens; got {over}.")
    x = jax.random.rademacher(_checks.prng_key("key", key), (n, t, 1), dtype)
    return x, jnp.prod(x[:, :over, 0], axis=1)


def delay(
    n: int, t: int, lag: int, *, key: jax.Array, d: int = 1, dtype: DType | None = None
) -> tuple[Float[Array, "n t d"], Float[Array, " n"]]:
    """Gaussian tokens whose label is the sign of a token `lag` steps before the last: y = sign(x_{t-lag}[1]).

    Args:
        n: number of examples.
        t: number of steps.
        lag: how far back the label looks, 0..t-1; 0 is the last token.
        key: random key.
        d: number of features; only the first decides.
        dtype: floating dtype; None is the default float.

    Returns:
        `(x, y)`, y of -1 and +1 (+1 at zero).

    Raises:
        ValueError: a size below 1, or a lag outside 0..t-1.

    Example:
        >>> import jax
        >>> x, y = delay(4, 6, 2, key=jax.random.key(0))
        >>> bool((y == jnp.sign(x[:, -3, 0])).all())
        True
    """
    n, t, d = _sizes(n=n, t=t, d=d)
    dtype = _checks.float_dtype("dtype", dtype)
    if isinstance(lag, bool) or not isinstance(lag, (int, np.integer)) or not 0 <= lag < t:
        raise ValueError(f"lag must be an integer in 0..{t - 1} (t = {t} steps); got {_checks.shown(lag)}.")
    x = _precision.normal(_checks.prng_key("key", key), (n, t, d), dtype)
    return x, jnp.where(x[:, t - 1 - lag, 0] >= 0, 1, -1).astype(dtype)


def near_duplicates(
    n: int, t: int, distance: float | tuple[float, float], *, key: jax.Array, d: int = 1, dtype: DType | None = None
) -> tuple[Float[Array, "n t d"], Float[Array, " n"]]:
    """Gaussian sequences with two planted pairs of near duplicates, which decide the least eigenvalue of a kernel.

    x_1 = x_0 + distance u,  x_3 = x_2 + distance u',  |u| = |u'| = 1 over the whole sequence (t, d)

    The two of a pair carry opposite labels, the hardest case for a fit; all other labels are random signs.

    Args:
        n: number of examples, at least 4.
        t: number of steps.
        distance: of the first and the second pair, or one number for both; 0 plants exact duplicates.
        key: random key.
        d: number of features.
        dtype: floating dtype; None is the default float. Adding rounds: the distance is met to about
            `finfo(dtype).eps * sqrt(t d)`.

    Returns:
        `(x, y)`, y of -1 and +1.

    Raises:
        ValueError: a size below 1, fewer than 4 examples, or a distance that is negative or not finite.

    Example:
        >>> import jax
        >>> x, y = near_duplicates(8, 5, 0.01, key=jax.random.key(0))
        >>> round(float(jnp.linalg.norm(x[1] - x[0])), 4), float(y[0] * y[1])
        (0.01, -1.0)
    """
    n, t, d = _sizes(n=n, t=t, d=d)
    dtype = _checks.float_dtype("dtype", dtype)
    if n < 4:
        raise ValueError(f"n must be at least 4, for two pairs; got {n}.")
    both = tuple(distance) if isinstance(distance, (tuple, list)) else (distance, distance)
    if len(both) != 2 or not all(isinstance(r, (int, float)) and math.isfinite(r) and r >= 0 for r in both):
        raise ValueError(
            f"distance must be a finite number >= 0, or one for each of the two pairs; got {_checks.shown(distance)}."
        )
    for_x, for_u, for_y = jax.random.split(_checks.prng_key("key", key), 3)
    x = _precision.normal(for_x, (n, t, d), dtype)
    u = _precision.normal(for_u, (2, t, d), dtype)
    u = u / jnp.sqrt(jnp.sum(u * u, axis=(1, 2), keepdims=True))
    shift = jnp.asarray(both, dtype)[:, None, None] * u  # (2, t, d)
    x = x.at[jnp.array([1, 3])].set(x[jnp.array([0, 2])] + shift)
    y = jax.random.rademacher(for_y, (n,), dtype)
    return x, y.at[jnp.array([1, 3])].set(-y[jnp.array([0, 2])])


def ragged(
    n: int, t_max: int, d: int, *, key: jax.Array, t_min: int = 1, dtype: DType | None = None
) -> tuple[Float[Array, "n t d"], Int[Array, " n"]]:
    """Gaussian sequences of unequal length, padded with zeros.

    Args:
        n: number of examples.
        t_max: the padded length; the first sequence has it in full, so no batch is padded for nothing.
        d: number of features.
        key: random key.
        t_min: least length; the others are drawn evenly from t_min..t_max.
        dtype: floating dtype; None is the default float.

    Returns:
        `(x, lengths)`, lengths int32.

    Raises:
        ValueError: a size below 1, or t_min above t_max.

    Example:
        >>> import jax
        >>> x, lengths = ragged(3, 4, 2, key=jax.random.key(0))
        >>> x.shape, int(lengths[0])
        ((3, 4, 2), 4)
    """
    n, t_max, d, t_min = _sizes(n=n, t_max=t_max, d=d, t_min=t_min)
    dtype = _checks.float_dtype("dtype", dtype)
    if t_min > t_max:
        raise ValueError(f"t_min must not exceed t_max; got {t_min} and {t_max}.")
    for_x, for_lengths = jax.random.split(_checks.prng_key("key", key))
    lengths = jax.random.randint(for_lengths, (n,), t_min, t_max + 1, jnp.int32).at[0].set(t_max)
    x = _precision.normal(for_x, (n, t_max, d), dtype)
    inside = jnp.arange(t_max, dtype=jnp.int32)[None, :] < lengths[:, None]  # (n, t)
    return jnp.where(inside[:, :, None], x, jnp.zeros((), dtype)), lengths


def _sizes(**sizes: Any) -> tuple[int, ...]:
    return tuple(_checks.positive_int(name, value) for name, value in sizes.items())
