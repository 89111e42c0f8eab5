"""What is the effective rank of every matrix of a batch? Rectangular ones too, such as attention matrices."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from jaxtyping import Array, Float

from ntkseq import _checks, _precision
from ntkseq.spectra.measures import Choice, choose


def effective_ranks(
    A: Any,
    kind: str | None = None,
    *,
    tol: Any = None,
    quantile: Any = None,
    k: Any = None,
    ridge: Any = None,
    seen: Any = None,
) -> Float[Array, "..."]:
    """The effective rank of each matrix of a batch (..., rows, columns), by the definitions of `effective_rank`.

    s are singular values; those of the size of rounding, up to max(rows, columns) eps s_1, count as 0. Half precision
    (bfloat16, float16) is computed in float32, and what the rounding of its entries leaves open, up to eps/2 |A|_F in
    its eps, counts as 0. All matrices at once, and under `jax.jit` and `jax.vmap`. "energy_participation" takes no
    singular values, |A|_F^4 / |A'A|_F^2.

    Args:
        A: real matrices, any number of batch axes: heads, layers, examples.
        kind, tol, quantile, k, ridge: which definition; see `effective_rank`.
        seen: which entries count, booleans that broadcast to A, such as the mask of causal attention or of padded
            sequences; the others are zero, whatever they hold. A row that sees nothing adds no direction.

    Returns:
        An array of the shape of the batch axes, in the dtype of A; float32 of half precision.

    Raises:
        ValueError: fewer than two axes, an empty matrix, not finite (nan under a trace); a bad definition or mask.

    Example:
        >>> import jax.numpy as jnp
        >>> uniform, identity = jnp.full((4, 4), 0.25), jnp.eye(4)
        >>> effective_ranks(jnp.stack([uniform, identity])).round(3).tolist()
        [1.0, 4.0]
    """
    choice = choose(kind, tol=tol, quantile=quantile, k=k, ridge=ridge)
    A = _checks.floating("A", A)
    if A.ndim < 2 or 0 in A.shape[-2:]:
        raise ValueError(f"A must have shape (..., rows, columns), no matrix empty; got {A.shape}.")
    if seen is not None:
        A = _masked(A, seen)
    _checks.finite("A", A)
    once = _precision.eps(A.dtype) if jnp.finfo(A.dtype).bits < 32 else 0.0
    A = A.astype(_precision.wide(A.dtype))
    return _by_products(A) if choice.kind == "energy_participation" else _ranks(A, choice, once)


def _masked(A: Array, seen: Any) -> Array:
    try:
        seen = jnp.asarray(seen)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"seen must be booleans; got {_checks.shown(seen)}.") from None
    try:
        fits = np.broadcast_shapes(seen.shape, A.shape) == A.shape
    except ValueError:
        fits = False
    if seen.dtype != bool or not fits:
        raise ValueError(
            f"seen must be booleans that broadcast to the shape of A, {A.shape}; got {seen.dtype} {seen.shape}."
        )
    return jnp.where(jnp.broadcast_to(seen, A.shape), A, jnp.zeros((), A.dtype))


@jax.jit
def _by_products(A: Array) -> Array:
    """(sum s^2)^2 / sum s^4 without an SVD: a third of its time on a CPU for 128 x 128."""
    if A.shape[-2] > A.shape[-1]:
        A = jnp.swapaxes(A, -1, -2)
    size = jnp.max(jnp.abs(A), axis=(-2, -1), keepdims=True)
    A = A / jnp.where(size > 0, size, 1)  # fourth powers would leave the range
    square = jnp.sum(A * A, axis=(-2, -1))
    product = jnp.matmul(A, jnp.swapaxes(A, -1, -2), precision="highest")
    fourth = jnp.sum(product * product, axis=(-2, -1))
    return square**2 / jnp.where(fourth > 0, fourth, 1)  # not a number where an entry is infinite or none


@partial(jax.jit, static_argnums=(1, 2))
def _ranks(A: Array, choice: Choice, once: float = 0.0) -> Array:
    """once: eps of the half precision in which entries were rounded before."""
    eps = _precision.eps(A.dtype)
    s = jnp.linalg.svd(A, compute_uv=False)  # descending
    first = s[..., :1]
    known = jnp.all(jnp.isfinite(s), axis=-1)  # under a trace nothing was refused
    floor = max(A.shape[-2:]) * eps * first
    if once:
        floor = jnp.maximum(floor, 0.5 * once * jnp.sqrt(jnp.sum(s * s, axis=-1, keepdims=True)))
    s = jnp.where(s > floor, s, 0)
    kind, option = choice.kind, choice.option
    count = jnp.sum(s > 0, axis=-1)
    if kind in ("ridge", "ridge2"):
        assert option is not None
        shares = s / (s + option)
        return jnp.where(known, jnp.sum(shares if kind == "ridge" else shares**2, axis=-1), jnp.nan)
    undefined = ~known
    if kind in ("r", "R"):
        assert option is not None
        skip = int(option)
        undefined = undefined | (count <= skip)
        s = s[..., skip:] if skip < s.shape[-1] else jnp.zeros_like(s[..., :1])
        first = s[..., :1]
        kind = {"r": "intrinsic", "R": "participation"}[kind]
    s = s / jnp.where(first > 0, first, 1)
    value = _value(s, kind, option, eps)
    value = jnp.where(s[..., 0] > 0, value, 0)
    return jnp.where(undefined, jnp.nan, value)


def _value(s: Array, kind: str, option: float | None, eps: float) -> Array:
    """Of singular values relative to the largest."""
    if kind == "numerical":
        return jnp.sum(s > (s.shape[-1] * eps if option is None else option), axis=-1).astype(s.dtype)
    if kind == "energy":
        assert option is not None
        if option < 0.5:
            reached = jnp.cumsum(s**2, axis=-1)
            return (jnp.sum(reached < option * reached[..., -1:], axis=-1) + 1).astype(s.dtype)
        # what is left behind k values, summed from the least up: near a share of 1 the sum of the others hides it
        left = jnp.cumsum((s**2)[..., ::-1], axis=-1)
        return jnp.maximum(jnp.sum(left > (1.0 - option) * left[..., -1:], axis=-1), 1).astype(s.dtype)
    if kind in ("stable", "energy_entropy", "energy_participation"):
        s = s**2
    total = jnp.sum(s, axis=-1)
    if kind in ("stable", "intrinsic"):
        return total
    if kind in ("participation", "energy_participation"):
        square = jnp.sum(s**2, axis=-1)
        return total**2 / jnp.where(square > 0, square, 1)
    p = s / jnp.where(total > 0, total, 1)[..., None]
    return jnp.exp(-jnp.sum(jnp.where(p > 0, p * jnp.log(jnp.where(p > 0, p, 1)), 0), axis=-1))


def aggregate(ranks: Any, how: str = "mean", *, axis: Any = None) -> Any:
    """Effective ranks of heads, layers or examples as one number: their "mean", "max" or "sum" over some axes."""
    _checks.choice("how", how, ("mean", "max", "sum"))
    ranks = _checks.numbers("ranks", ranks)
    _checks.finite("ranks", ranks)
    return getattr(np, how)(ranks, axis=axis)


@dataclass(frozen=True)
class SampledRank:
    """An effective rank over layers and heads, from a sample of examples.

    Attributes:
        value: "mean", "max" or "sum" over heads of the means over examples.
        error: its standard error over examples; NaN for one example. For "max" that of the head with the largest mean.
        lower, upper: interval for the same number over all examples; NaN for one example.
        level: its level, as for normal data.
        n: the number of examples.
        how: the aggregation.
    """

    value: float
    error: float
    lower: float
    upper: float
    level: float
    n: int
    how: str


def sampled(ranks: Any, how: str = "mean", *, level: float = 0.95) -> SampledRank:
    """Aggregate the effective ranks of n independent examples, with the error of sampling them.

    "mean" and "sum" are over heads of one example first: heads see the same examples and are not independent. "max" is
    the largest mean of a head, and its interval is a union over heads. Intervals are those of Student's t.

    Args:
        ranks: (n, ...), one row per example; the other axes are layers and heads.
        how: "mean", "max" or "sum".
        level: of the interval.

    Returns:
        SampledRank.

    Raises:
        ValueError: no examples, ranks that are not finite, an unknown word, a level outside (0, 1).

    Example:
        >>> found = sampled([[1.0, 3.0], [2.0, 4.0], [1.5, 3.5]])
        >>> found.value, round(found.error, 4), found.n
        (2.5, 0.2887, 3)
    """
    _checks.choice("how", how, ("mean", "max", "sum"))
    level = _checks.probability("level", level)
    ranks = _checks.numbers("ranks", ranks)
    if ranks.ndim < 1 or ranks.size == 0:
        raise ValueError(f"ranks must have shape (n, ...), one row per example, not empty; got {ranks.shape}.")
    _checks.finite("ranks", ranks)
    n = len(ranks)
    rows = ranks.reshape(n, -1)
    if how != "max":
        rows = getattr(np, how)(rows, axis=1, keepdims=True)
    means = rows.mean(axis=0)
    best = int(np.argmax(means))
    if n == 1:
        return SampledRank(float(means[best]), math.nan, math.nan, math.nan, level, n, how)
    errors = rows.std(axis=0, ddof=1) / math.sqrt(n)
    width = scipy.stats.t.ppf(1 - (1 - level) / (2 * len(means)), n - 1) * errors
    lower, upper = np.max(means - width), np.max(means + width)
    return SampledRank(float(means[best]), float(errors[best]), float(lower), float(upper), level, n, how)
