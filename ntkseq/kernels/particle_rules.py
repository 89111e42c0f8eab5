"""How do particles pass each block of a network, there and back?

Tokens are arrays (n, t, w): of w features of the sequences, scaled so that <x, x'> is their covariance, as long as no
block has mixed them; of w = P particles, of which the mean of x x' is the covariance, behind it. A gradient dy stands
for sqrt(P) times that of one of P units. Weights that mix tokens are Gaussian matrices on the way there and others,
independent of them, on the way back, as the limit has it; what acts unit by unit is itself on both ways. Attention at
scaling "dim" and LayerNorm are fixed functions of the covariances of a sequence: no gradient passes through them.

Every rule gives, beside the gradients of the tokens that its block gets, the `Stream`s and the vectors (n, P) of which
the tangent kernel is made (tokens.9).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ntkseq._types import ArrayLike, DType, Key, PyTree
from ntkseq.kernels.particles import product


class Here(NamedTuple):
    """Where a block stands."""

    inside: Bool[Array, "n t"]
    first: bool
    """Whether its tokens are the features of the sequences."""
    raw: bool
    """Whether gradients are taken without their sigma."""


class Size(NamedTuple):
    """What random numbers are drawn for."""

    w: int
    """Coordinates of the tokens."""
    p: int
    """Particles."""
    t: int
    dtype: DType
    first: bool


class Stream(NamedTuple):
    """Gradients of pre-activations, and what their weights are multiplied with, scales included.

    It adds the mean over particles p, q of F_pq F'_pq for each m of `crossed`, F_pq = sum_t da_tp m_tq, and
    sum_ts <da_t, da'_s> <e_t, e'_s> for `exact`.
    """

    da: Float[Array, "n t q"]
    crossed: tuple[Float[Array, "n t p"], ...] = ()
    exact: Float[Array, "n t k"] | None = None


class Back(NamedTuple):
    """What a block gives on the way back."""

    dx: Array | None
    """None: its tokens are the features."""
    streams: tuple[Stream, ...] = ()
    vectors: tuple[Float[Array, "n p"], ...] = ()


class Rule(NamedTuple):
    """draw(block, key, size) -> random numbers; forward(block, drawn, x, here) -> (y, saved);
    back(block, drawn, saved, dy, here) -> `Back`."""

    draw: Callable[[PyTree, Key, Size], PyTree]
    forward: Callable[[PyTree, PyTree, Array, Here], tuple[Array, PyTree]]
    back: Callable[[PyTree, PyTree, PyTree, Array, Here], Back]


class CellRule(NamedTuple):
    """Of a recurrent layer in one direction: draw(cell, key, size) -> random numbers; forward(cell, drawn, x, here) ->
    (states, saved); back(cell, drawn, saved, x, dh, here) -> `Back`, x the tokens that the layer got."""

    draw: Callable[[PyTree, Key, Size], PyTree]
    forward: Callable[[PyTree, PyTree, Array, Here], tuple[Array, PyTree]]
    back: Callable[[PyTree, PyTree, PyTree, Array, Array, Here], Back]


class Mix(NamedTuple):
    """A matrix there and another one back."""

    there: Float[Array, "w p"]
    back: Float[Array, "p w"] | None
    bias: Float[Array, " p"]


def mix(key: Key, size: Size) -> Mix:
    """The random numbers of weights that mix coordinates."""
    one, two, three = jax.random.split(key, 3)
    some = lambda key, *shape: jax.random.normal(key, shape, jnp.float32).astype(size.dtype)  # noqa: E731
    return Mix(some(one, size.w, size.p), None if size.first else some(two, size.p, size.w), some(three, size.p))


def unit(x: Array, here: Here) -> Array:
    """Tokens whose covariance is <x, x'>."""
    return x if here.first else x * x.shape[2] ** -0.5


def mixed(weights: Float[Array, "w p"], x: Array, here: Here) -> Array:
    """Tokens behind the weights."""
    return product("ntw,wp->ntp", unit(x, here), weights)


def unmixed(weights: Float[Array, "p w"] | None, dy: Array) -> Array | None:
    """Gradients before the weights; None where nothing stands before."""
    return None if weights is None else dy.shape[2] ** -0.5 * product("ntp,pw->ntw", dy, weights)


def times(scale: ArrayLike, a: Array | None) -> Array | None:
    """The product, of what there is."""
    return None if a is None else jnp.asarray(scale) * a


Weights = tuple[ArrayLike, Array]
"""A scale, and what the weights are multiplied with."""


def stream(
    da: Array, p: int, here: Here, weights: Sequence[Weights], tokens: Weights | None, bias: ArrayLike | None
) -> Stream:
    """What weights and biases in pre-activations of p particles add.

    Args:
        da: their gradients, (n, t, gates p).
        p: particles of a gate.
        here: where the block stands.
        weights: (scale, m) of each group of weights on particles m, whatever m is.
        tokens: (scale, x) of the weights on the tokens that the block gets, or None.
        bias: scale of a bias, or None.
    """
    size = lambda scale: 1 if here.raw else scale  # noqa: E731
    exact = [] if bias is None else [jnp.broadcast_to(jnp.asarray(size(bias), da.dtype), (*da.shape[:2], 1))]
    if tokens is not None and here.first:
        exact.append(size(tokens[0]) * tokens[1])
    elif tokens is not None:
        weights = [*weights, tokens]
    crossed = []
    for scale, m in weights:
        shares = m.shape[2] // p  # the particles of one direction meet those of both
        crossed += [size(scale) * shares**-0.5 * part for part in jnp.split(m, shares, axis=2)]
    return Stream(da, tuple(crossed), p**-0.5 * jnp.concatenate(exact, axis=2) if exact else None)


def held(*streams: Stream) -> tuple[Stream, ...]:
    """Those that add something."""
    return tuple(one for one in streams if one.crossed or one.exact is not None)
