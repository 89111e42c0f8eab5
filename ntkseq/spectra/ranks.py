"""What is the effective rank of every matrix of a batch? Rectangular ones too, such as attention matrices."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks, _precision
from ntkseq.spectra.measures import Choice, choose


def effective_ranks(
    A: Any, kind: str | None = None, *, tol: Any = None, quantile: Any = None, k: Any = None, ridge: Any = None
) -> Float[Array, "..."]:
    """The effective rank of each matrix of a batch (..., rows, columns), by the definitions of `effective_rank`.

    s are singular values; those of the size of rounding, up to max(rows, columns) eps s_1, count as 0. All matrices at
    once, and under `jax.jit` and `jax.vmap`.

    Args:
        A: real matrices, any number of batch axes: heads, layers, examples.
        kind, tol, quantile, k, ridge: which definition; see `effective_rank`.

    Returns:
        An array of the shape of the batch axes, in the dtype of A.

    Raises:
        ValueError: fewer than two axes, an empty matrix, not finite (nan under a trace); a bad definition.

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
    _checks.finite("A", A)
    return _ranks(A, choice)


@partial(jax.jit, static_argnums=1)
def _ranks(A: Array, choice: Choice) -> Array:
    eps = _precision.eps(A.dtype)
    s = jnp.linalg.svd(A, compute_uv=False)  # descending
    first = s[..., :1]
    known = jnp.all(jnp.isfinite(s), axis=-1)  # under a trace nothing was refused
    s = jnp.where(s > max(A.shape[-2:]) * eps * first, s, 0)
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
        reached = jnp.cumsum(s**2, axis=-1)
        return (jnp.sum(reached < option * reached[..., -1:], axis=-1) + 1).astype(s.dtype)
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
    return getattr(np, how)(np.asarray(ranks), axis=axis)
