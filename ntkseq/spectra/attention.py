"""What are the effective ranks of a model's attention matrices, by layer and head, over many examples?

Examples go through in blocks; of each only a few numbers per layer and head are kept, never the matrices of all.
"""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ntkseq import _checks, _display, _precision
from ntkseq._calls import takes_length
from ntkseq._types import AnyArray, AnyFunction, ArrayLike, Lengths, PyTree
from ntkseq.spectra.effective import effective_ranks
from ntkseq.spectra.heads import aggregate
from ntkseq.spectra.ranks.base import EffectiveRank
from ntkseq.spectra.ranks.short import as_ranks

KINDS = ("entropy", "stable", "participation")
Named = tuple[tuple[str, EffectiveRank], ...]


@dataclasses.dataclass(frozen=True, eq=False)
class LayerRanks:
    """The attention of one layer over n examples. Arrays have the shape of what stands before the matrices: (heads,).

    Attributes:
        shape: of one matrix, (queries, keys).
        mean: name of a rank -> mean effective rank over the examples.
        spread: name -> its standard deviation over the examples; NaN for one example.
        error: name -> spread / sqrt(n), the standard error of the mean if the examples are a sample.
        residual: mean of |A - 1 a'|_F / |A|_F, a the mean row: 0 where every token looks at the same.
        row_error: largest distance of a row's sum from 1, over all rows that see anything.
        hidden: mean number of rows that see nothing: all zero, or outside a sequence.
        negative: whether an entry was below 0.
    """

    shape: tuple[int, int]
    mean: dict[str, Float[np.ndarray, "..."]]
    spread: dict[str, Float[np.ndarray, "..."]]
    error: dict[str, Float[np.ndarray, "..."]]
    residual: Float[np.ndarray, "..."]
    row_error: float
    hidden: Float[np.ndarray, "..."]
    negative: bool
    tolerance: float
    """What `row_error` may be by rounding."""

    __repr__ = _display.record

    @property
    def stochastic(self) -> bool:
        """Whether rows are probabilities within rounding: nothing below 0, rows that see anything add up to 1."""
        return not self.negative and self.row_error <= self.tolerance


@dataclasses.dataclass(frozen=True, eq=False)
class AttentionRanks:
    """Effective ranks of attention: one `LayerRanks` per layer, from n examples.

    Attributes:
        layers: in order.
        kinds: names of the ranks that were measured.
        n: examples.
    """

    layers: tuple[LayerRanks, ...]
    kinds: tuple[str, ...]
    n: int

    __repr__ = _display.printed

    def aggregate(self, kind: str, how: str = "mean") -> float:
        """One number for the model, over layers and heads of the means over examples.

        Args:
            kind: one of `kinds`.
            how: "mean", "max" or "sum".

        Raises:
            ValueError: a kind that was not measured, an unknown word.
        """
        _checks.choice("kind", kind, self.kinds)
        return float(aggregate(np.concatenate([np.ravel(layer.mean[kind]) for layer in self.layers]), how))

    def __str__(self) -> str:
        lines = [f"attention of {len(self.layers)} layers over {self.n} examples: mean over heads (standard error)"]
        for k, layer in enumerate(self.layers):
            cells = [f"{kind} {_mean(layer.mean[kind]):.3f} ({_pooled(layer.error[kind]):.3f})" for kind in self.kinds]
            note = "" if layer.stochastic else ", rows do not sum to 1"
            lines.append(f"  layer {k}: {layer.shape[0]} x {layer.shape[1]}, {', '.join(cells)}{note}")
        return "\n".join(lines)


def attention_ranks(
    attention: AnyFunction,
    params: PyTree,
    x: ArrayLike,
    *,
    lengths: Lengths = None,
    kinds: tuple[str | EffectiveRank, ...] = KINDS,
    batch: int = 16,
) -> AttentionRanks:
    """Effective ranks of the attention matrices of a model over n examples, by layer and head.

    Args:
        attention: attention(params, x) -> matrices (..., queries, keys) of one example: one array or a tuple, one per
            layer. `empirical.attention_weights(f)` makes it from any f(params, x); `models.Serial` has one.
        params: of the model.
        x: n examples along the first axis, a pytree of arrays.
        lengths: of the sequences, (n,). Then attention is called with (params, x, length) if it, or the model behind,
            takes a length, and with (params, x) otherwise; rows and columns behind the length do not count.
        kinds: definitions of effective rank, objects of `spectra.ranks`, your own, or the short names of
            `effective_rank`; each number stands under the short name, or under `rank.name`.
        batch: examples at a time. Memory grows with it, and not with n.

    Returns:
        AttentionRanks.

    Raises:
        ValueError: no examples, an unknown kind, two of one name, what is no matrix, lengths that do not fit; attention
            that is not finite, with the layer and the first such example. A softmax over a row that sees nothing is NaN
            when the mask is -inf, and uniform over all keys when it is a large negative number, as in flax: the latter
            cannot be seen in the numbers, so pass `lengths`.

    Reference: dhingra2025 for the question; definitions as in `effective_rank`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq import empirical, spectra
        >>> def f(params, x):
        ...     return (jax.nn.softmax(x @ params @ x.T) @ x).mean(0)
        >>> x = jax.random.normal(jax.random.key(0), (20, 6, 3))
        >>> ranks = spectra.attention_ranks(empirical.attention_weights(f), jnp.zeros((3, 3)), x)
        >>> ranks.layers[0].mean["entropy"].round(3).tolist(), ranks.layers[0].stochastic
        (1.0, True)
    """
    ranks = as_ranks(kinds, "kinds")
    if not callable(attention):
        raise ValueError(f"attention must be a function (params, x) -> matrices; got {type(attention).__name__}.")
    for name, given in (("params", params), ("x", x), ("lengths", lengths)):
        _checks.outside(name, given, "")
    params, x = _checks.leaves("params", params), _checks.leaves("x", x)
    counts = {leaf.shape[0] if leaf.ndim else 0 for leaf in jax.tree.leaves(x)}
    if len(counts) != 1 or 0 in counts:
        raise ValueError(
            f"x must hold one or more examples along the first axis of every array; got {sorted(counts)} examples."
        )
    (n,) = counts
    if lengths is not None:
        lengths = _checks.host("lengths", lengths)
        if lengths.shape != (n,) or lengths.dtype.kind not in "iu" or int(lengths.min()) < 1:
            raise ValueError(f"lengths must be {n} integers of 1 or more; got shape {lengths.shape}, {lengths.dtype}.")
        lengths = jnp.asarray(lengths)
    for leaf in jax.tree.leaves(x):
        if jnp.issubdtype(leaf.dtype, jnp.inexact) and (lengths is None or leaf.ndim > 1):
            held = np.asarray(leaf)
            if lengths is not None:  # padding may hold NaN
                inside = np.arange(leaf.shape[1]) < np.asarray(lengths)[:, None]
                held = np.where(inside.reshape(inside.shape + (1,) * (leaf.ndim - 2)), held, 0)
            _checks.finite("x", held)
    batch = min(n, _checks.positive_int("batch", batch))
    single = jax.tree.map(lambda leaf: leaf[0], (x,) if lengths is None else (x, lengths))
    shapes = jax.eval_shape(partial(_attention, attention), params, *single)
    found = _streamed(attention, tuple(ranks.items()), batch, params, x, lengths)
    names = tuple(ranks)
    layers = [_layer(k, numbers, shape, n, names) for k, (numbers, shape) in enumerate(zip(found, shapes, strict=True))]
    return AttentionRanks(tuple(layers), names, n)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _streamed(attention: AnyFunction, ranks: Named, batch: int, params: PyTree, x: AnyArray, lengths: Lengths) -> Any:
    """Per layer what `_numbers` keeps, (n, ...)."""

    def one(example: tuple[Any, ...]) -> Any:
        return [_numbers(A, ranks, *example[1:]) for A in _attention(attention, params, *example)]

    inputs = (x,) if lengths is None else (x, lengths)
    return jax.lax.map(one, inputs, batch_size=batch)


def _attention(attention: AnyFunction, params: PyTree, x: AnyArray, length: Array | None = None) -> tuple[Array, ...]:
    """The matrices of one example as a tuple of arrays."""
    inputs = (x, length) if length is not None and takes_length(attention, 2) else (x,)
    try:
        found = attention(params, *inputs)
    except (TypeError, IndexError, KeyError) as error:
        raise ValueError(
            f"attention(params, x) failed for one example of shape {_checks.shown(jax.tree.map(jnp.shape, x))}: "
            f"{_checks.why(error)}. It takes the params of its model, and x without the axis of examples."
        ) from error
    layers = tuple(found) if isinstance(found, (tuple, list)) else (found,)
    for A in layers:
        if getattr(A, "ndim", 0) < 2 or 0 in A.shape[-2:]:
            raise ValueError(
                "attention must return matrices, shape (..., queries, keys), for one example; got "
                f"{getattr(A, 'shape', type(A).__name__)}."
            )
        if jnp.issubdtype(A.dtype, jnp.complexfloating):
            raise ValueError(f"attention(params, x) must return real matrices; got dtype {A.dtype}.")
    if not layers:
        raise ValueError("attention must return one or more layers; got none.")
    return layers


def _numbers(A: Array, ranks: Named, length: Array | None = None) -> dict[str, Array]:
    """What is kept of the matrices (..., queries, keys) of one example."""
    rows = jnp.ones((A.shape[-2],), bool)
    if length is not None:
        both = inside(A, length)
        A, rows = jnp.where(jnp.broadcast_to(both, A.shape), A, 0), jnp.diagonal(both)
    half, A = A, A.astype(_precision.wide(A.dtype))
    sums = jnp.sum(A, axis=-1)
    seen = jnp.broadcast_to(rows, sums.shape) & jnp.any(A != 0, axis=-1)
    count = jnp.maximum(jnp.sum(seen, axis=-1), 1).astype(A.dtype)
    mean_row = jnp.sum(A, axis=-2, keepdims=True) / count[..., None, None]
    apart = jnp.where(seen[..., None], A - mean_row, 0)
    size = jnp.sqrt(jnp.sum(A * A, axis=(-2, -1)))
    numbers = {name: effective_ranks(half, rank) for name, rank in ranks}  # these know its precision
    numbers["row_error"] = jnp.max(jnp.where(seen, jnp.abs(sums - 1), 0), axis=-1)
    numbers["hidden"] = jnp.sum(~seen, axis=-1).astype(A.dtype)
    numbers["residual"] = jnp.sqrt(jnp.sum(apart * apart, axis=(-2, -1))) / jnp.where(size > 0, size, 1)
    numbers["lowest"] = jnp.min(A, axis=(-2, -1))
    return numbers


def inside(A: Array, length: Array) -> Bool[Array, "t t"]:
    """Which entries of matrices (..., t, t) have both their query and their key within the length."""
    queries, keys = A.shape[-2:]
    if queries != keys:
        raise ValueError(f"lengths need attention of a sequence to itself; got a matrix {queries} x {keys}.")
    within = jnp.arange(queries, dtype=length.dtype) < length
    return within[:, None] & within[None, :]


def _layer(index: int, numbers: dict[str, Array], like: PyTree, n: int, kinds: tuple[str, ...]) -> LayerRanks:
    host = {name: np.asarray(value, np.float64) for name, value in numbers.items()}
    broken = ~np.isfinite(host["row_error"]).reshape(n, -1).all(axis=1)
    if broken.any():
        raise ValueError(
            f"the attention of layer {index} is not finite for {int(broken.sum())} of {n} examples, the first is "
            f"example {int(broken.argmax())}. A row whose keys are all masked with -inf is NaN: mask with a large "
            "negative number instead and pass lengths=, or leave such examples out."
        )
    mean = {name: np.asarray(host[name].mean(axis=0)) for name in (*kinds, "residual", "hidden")}
    unbiased = math.sqrt(n / (n - 1)) if n > 1 else math.nan
    spread = {kind: np.asarray(host[kind].std(axis=0) * unbiased) for kind in kinds}
    queries, keys = like.shape[-2:]
    return LayerRanks(
        shape=(queries, keys),
        mean={kind: mean[kind] for kind in kinds},
        spread=spread,
        error={kind: np.asarray(spread[kind] / math.sqrt(n)) for kind in kinds},
        residual=mean["residual"],
        row_error=float(host["row_error"].max()),
        hidden=mean["hidden"],
        negative=bool(host["lowest"].min() < 0),
        tolerance=4 * keys * _precision.eps(like.dtype),
    )


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values))


def _pooled(errors: np.ndarray) -> float:
    """Of a mean over heads of the same examples: not independent, so the errors are averaged, not their squares."""
    return float(np.mean(errors))
