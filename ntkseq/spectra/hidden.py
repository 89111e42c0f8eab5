"""How many dimensions does the kernel of hidden states have, by axis, and how does it align with an error signal?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks, _display, _statistics
from ntkseq._precision import wide
from ntkseq._types import ArrayLike, Key
from ntkseq.empirical.hidden_states import HiddenKernel, forward, values_and_back
from ntkseq.grams.operator import Operator
from ntkseq.spectra.ranks import EffectiveRank, Participation
from ntkseq.spectra.ranks.short import as_rank

AXES = ("all", "examples", "time", "units")
WAYS = ("forward", "reverse", "both")
LEAST = 4
"""Probes below which the spread over probes says little."""
AT_ONCE = 8
"""Derivatives in reverse mode that are made together."""


@dataclasses.dataclass(frozen=True, eq=False)
class HiddenEstimate:
    """A number of the kernel of hidden states, from random probes, with its error.

    Attributes:
        value: the estimate.
        error: root mean square error, by the jackknife over probes: spread and bias.
        probes: their number.
        way: "forward", "reverse" or "both": which derivatives were taken.
        marginal: the mean of the estimates of the kernel of that axis, summed over both others: (n, n), (t, t) or
            (h, h), for effective dimensions of an axis; None otherwise.

    Reference: efron1981jackknife (the error).
    """

    value: float
    error: float
    probes: int
    way: str
    marginal: Float[np.ndarray, "s s"] | None = None

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Student's interval of the number, probes - 1 degrees of freedom.

        Args:
            level: how sure, in (0, 1).

        Raises:
            ValueError: another level.
        """
        half = _statistics.half_width(self.error, self.probes - 1, _checks.probability("level", level))
        return self.value - half, self.value + half

    def __repr__(self) -> str:
        return _display.folded(
            f"HiddenEstimate({self.value:.4g} +- {self.error:.2g}, {self.probes} probes, {self.way})"
        )


def hidden_dimension(
    kernel: HiddenKernel,
    axis: str = "all",
    rank: str | EffectiveRank = "participation",
    *,
    key: Key,
    probes: int = 32,
    way: str = "forward",
) -> HiddenEstimate:
    """The effective dimension of the kernel of hidden states, of all of it or of one axis, with its error.

        all:    (tr K)^2 / tr K^2
        units:  the rank of the (h, h) matrix sum over a, t of K[(a, t, i), (a, t, j)]; time and examples alike

    Random signs are drawn as a change of all parameters ("forward", one derivative in forward mode per probe: no
    gradient is made), or as weights of the states ("reverse", one in reverse mode for "all", and h, t or n of them for
    an axis: no forward derivative is needed), or as both, for "all", one of each per probe, the surest per probe where
    the dimension is large. The participation ratio is one of products of different probes, which have no bias; any
    other rank is that of the mean marginal kernel, whose bias is in the error.

    Memory: the activations of one pass over all examples, and probes times the size of the marginal kernel; for "all"
    probes times n t h numbers forward, probes times p in reverse.

    Args:
        kernel: an `empirical.HiddenKernel`.
        axis: "all", "examples", "time" or "units".
        rank: a definition of effective rank, an object of `spectra.ranks` or its short name; of "all" it is the
            participation ratio: for others take `ntkseq.spectrum(spectra.hidden_operator(kernel))`.
        key: one random key.
        probes: number of probes, 4 or more. The error falls like 1/sqrt(probes) or faster.
        way: "forward", "reverse" or "both".

    Raises:
        ValueError: unknown words, fewer probes, "both" for an axis, another rank for "all", a kernel that is zero.

    Reference: gao2017 (the participation ratio); efron1981jackknife (the error). Derived from (hidden_states.6) on.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq import empirical, spectra
        >>> step = lambda W, h, x: jnp.tanh(W @ jnp.concatenate([h, x]))
        >>> W = jax.random.normal(jax.random.key(0), (8, 10)) / 3
        >>> K = empirical.HiddenKernel(step, W, jax.random.normal(jax.random.key(1), (4, 5, 2)), h0=jnp.zeros(8))
        >>> found = spectra.hidden_dimension(K, "units", key=jax.random.key(2))
        >>> 1 < found.value < 8 and found.error < 1
        True
    """
    _checks.kind("kernel", kernel, HiddenKernel)
    _checks.choice("axis", axis, AXES)
    definition = as_rank(rank)
    ratio = definition == Participation()
    if axis == "all" and not ratio:
        raise ValueError(
            'rank of axis="all" must be "participation", which two traces tell; for others take '
            "ntkseq.spectrum(spectra.hidden_operator(kernel)).effective_rank(rank)."
        )
    key, probes = _asked(key, probes, axis, way)
    if axis == "all":
        first, pairs = _moments(kernel, key, probes, way)
        value, error = _jackknife(partial(_ratio, first, pairs), probes)
        return HiddenEstimate(value, error, probes, way)
    samples = np.asarray(_marginals(kernel, jax.random.split(key, probes), axis, way), np.float64)
    flat = samples.reshape(probes, -1)
    mean = samples.mean(axis=0)

    def plugged(chosen: np.ndarray) -> float:
        s = np.linalg.eigvalsh(samples[chosen].mean(axis=0))[::-1]
        return float(definition.of(np.maximum(s, 0.0)))

    traces = np.trace(samples, axis1=1, axis2=2)
    of: Callable[[np.ndarray], float] = partial(_ratio, traces, flat @ flat.T) if ratio else plugged
    value, error = _jackknife(of, probes)
    return HiddenEstimate(value, error, probes, way, mean)


def hidden_alignment(
    kernel: HiddenKernel, signal: ArrayLike, *, key: Key, probes: int = 32, way: str = "forward"
) -> HiddenEstimate:
    """The alignment of the kernel of hidden states with an error signal e, in [0, 1].

        e^T K e / (|e|^2 |K|_F)

    The energy e^T K e = |J^T e|^2 takes one derivative in reverse mode and is exact; |K|_F^2 = tr K^2 is estimated from
    probes. e is often the gradient of the loss in the hidden states as they are read out: then J^T e is the gradient in
    the parameters.

    Args:
        kernel: an `empirical.HiddenKernel`.
        signal: e, (n, t, h).
        key, probes, way: as in `hidden_dimension` of all.

    Raises:
        ValueError: a signal of another shape, or zero; fewer probes; a kernel that is zero.

    Reference: cristianini2001.
    """
    _checks.kind("kernel", kernel, HiddenKernel)
    _checks.outside("signal", signal, "")
    e = _checks.floating("signal", signal)
    _checks.finite("signal", e)
    if e.shape != kernel.shape or not np.any(np.asarray(e)):
        raise ValueError(
            f"signal must have the shape of the hidden states, {kernel.shape}, and not be zero; got shape {e.shape}."
        )
    key, probes = _asked(key, probes, "all", way)
    energy = sum(float(np.sum(np.square(np.asarray(leaf, np.float64)))) for leaf in kernel.pull(e))
    size = float(np.sum(np.square(np.asarray(e, np.float64))))
    _, pairs = _moments(kernel, key, probes, way)

    def of(chosen: np.ndarray) -> float:
        return energy / (size * np.sqrt(_second(pairs, chosen)))

    value, error = _jackknife(of, probes)
    return HiddenEstimate(value, error, probes, way)


def hidden_operator(kernel: HiddenKernel) -> Operator:
    """K, or J^T J where there are fewer parameters than states: an operator with the eigenvalues of K, zeros apart.

    `ntkseq.spectrum` of it has the leading eigenvalues and intervals of ranks, from products alone.

    Args:
        kernel: an `empirical.HiddenKernel`.

    Raises:
        ValueError: as `grams.Operator`.

    Reference: (hidden_states.1), (hidden_states.3).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq import empirical, spectra
        >>> step = lambda W, h, x: jnp.tanh(W @ h + x)
        >>> x = jax.random.normal(jax.random.key(1), (4, 5, 3))
        >>> K = empirical.HiddenKernel(step, jnp.eye(3), x, h0=jnp.ones(3))
        >>> spectra.hidden_operator(K).shape
        (9, 9)
    """
    _checks.kind("kernel", kernel, HiddenKernel)
    states = int(np.prod(kernel.shape))
    small = kernel.parameters <= states
    product = _parameter_products if small else _state_products
    dtype = np.dtype(wide(kernel.inputs[0][1].dtype))
    return Operator(partial(product, kernel), kernel.parameters if small else states, dtype=dtype)


def _asked(key: Any, probes: Any, axis: str, way: str) -> tuple[Array, int]:
    _checks.choice("way", way, WAYS)
    if way == "both" and axis != "all":
        raise ValueError('way must be "forward" or "reverse" for one axis; got \'both\'.')
    return _checks.prng_key("key", key), _checks.integer("probes", probes, LEAST)


def _moments(kernel: HiddenKernel, key: Array, probes: int, way: str) -> tuple[np.ndarray, np.ndarray]:
    """An unbiased trace of K of each probe, and a matrix whose entries off the diagonal are unbiased for tr K^2.

    For "both" the diagonal alone is: (probes,).
    """
    keys = jax.random.split(key, probes)
    if way == "both":
        first, second = (np.asarray(part, np.float64) for part in _both(kernel, keys))
        return first, second
    vectors = np.asarray(_vectors(kernel, keys, way), np.float64)  # (probes, n t h) or (probes, p)
    dots = vectors @ vectors.T
    return np.diagonal(dots), dots**2  # (hidden_states.7)


def _second(pairs: np.ndarray, chosen: np.ndarray) -> float:
    """The estimate of tr K^2 from some of the probes."""
    total = float(np.mean(pairs[chosen])) if pairs.ndim == 1 else _apart(pairs[np.ix_(chosen, chosen)])
    if not total > 0:
        raise ValueError("kernel must not be zero: no hidden state depends on the trained parameters.")
    return total


def _ratio(first: np.ndarray, pairs: np.ndarray, chosen: np.ndarray) -> float:
    """(tr K)^2 / tr K^2, both from products of different probes."""
    return _apart(np.outer(first[chosen], first[chosen])) / _second(pairs, chosen)


def _apart(products: np.ndarray) -> float:
    """The mean of the entries off the diagonal."""
    count = len(products)
    return float((products.sum() - np.trace(products)) / (count * (count - 1)))


def _jackknife(of: Callable[[np.ndarray], float], count: int) -> tuple[float, float]:
    """A number of all probes, and its root mean square error from those without one of them (hidden_states.9)."""
    every = np.arange(count)
    value = of(every)
    variance, bias = _statistics.jackknife(value, [of(np.delete(every, i)) for i in range(count)])
    few = count / (count - 2)  # products of pairs are no sums: measured, the plain one is up to 8 % too small
    return float(value), float(np.sqrt(few * (variance + bias**2)))


def _signs(kernel: HiddenKernel, key: Array) -> list[Array]:
    """A random change of every trained leaf: signs."""
    weights = kernel.function.weights
    keys = jax.random.split(key, len(weights))
    return [jax.random.rademacher(k, w.shape, wide(w.dtype)) for k, w in zip(keys, weights, strict=True)]


def _flat(leaves: list[Array]) -> Array:
    kind = wide(*(leaf.dtype for leaf in leaves))
    return jnp.concatenate([leaf.astype(kind).ravel() for leaf in leaves])


@partial(jax.jit, static_argnames="way")
def _vectors(kernel: HiddenKernel, keys: Array, way: str) -> Array:
    """J xi, (probes, n t h), or J^T u, (probes, p)."""
    if way == "forward":
        push = forward(kernel)
        return jax.lax.map(lambda key: push(_signs(kernel, key)).ravel(), keys)
    back = values_and_back(kernel)
    dtype = kernel.inputs[0][1].dtype
    return jax.lax.map(lambda key: _flat(back(jax.random.rademacher(key, kernel.shape, dtype))), keys)


@jax.jit
def _both(kernel: HiddenKernel, keys: Array) -> tuple[Array, Array]:
    """|J xi|^2 and |J^T J xi|^2, each (probes,)."""
    push, back = forward(kernel), values_and_back(kernel)

    def one(key: Array) -> tuple[Array, Array]:
        h = push(_signs(kernel, key))
        g = _flat(back(h))
        return jnp.sum(h * h), jnp.sum(g * g)

    return jax.lax.map(one, keys)


@partial(jax.jit, static_argnames=("axis", "way"))
def _marginals(kernel: HiddenKernel, keys: Array, axis: str, way: str) -> Array:
    """An unbiased estimate of the marginal kernel of each probe, (probes, s, s) (hidden_states.8)."""
    which = AXES.index(axis) - 1
    if way == "forward":
        push = forward(kernel)

        def pushed(key: Array) -> Array:
            h = jnp.moveaxis(push(_signs(kernel, key)), which, 0).reshape(kernel.shape[which], -1)
            return jnp.matmul(h, h.T, precision="highest")

        return jax.lax.map(pushed, keys)
    back = values_and_back(kernel)
    size, dtype = kernel.shape[which], kernel.inputs[0][1].dtype
    rest = tuple(length for i, length in enumerate(kernel.shape) if i != which)

    def pulled(key: Array) -> Array:
        signs = jnp.expand_dims(jax.random.rademacher(key, rest, dtype), which)

        def one(i: Array) -> Array:
            here = (jnp.arange(size, dtype=jnp.int32) == i).astype(dtype)
            return _flat(back(signs * jnp.expand_dims(here, [k for k in range(3) if k != which])))

        g = jax.lax.map(one, jnp.arange(size, dtype=jnp.int32), batch_size=AT_ONCE)  # (s, p)
        return jnp.matmul(g, g.T, precision="highest")

    return jax.lax.map(pulled, keys)


@jax.jit
def _parameter_products(kernel: HiddenKernel, V: Any) -> Array:
    """J^T J V, (p, k)."""
    push, back = forward(kernel), values_and_back(kernel)
    weights = kernel.function.weights
    ends = np.cumsum([weight.size for weight in weights])[:-1]

    def one(v: Array) -> Array:
        parts = jnp.split(v, ends)
        return _flat(back(push([part.reshape(w.shape) for part, w in zip(parts, weights, strict=True)])))

    return jax.lax.map(one, jnp.asarray(V).T).T


@jax.jit
def _state_products(kernel: HiddenKernel, V: Any) -> Array:
    """K V, (n t h, k)."""
    push, back = forward(kernel), values_and_back(kernel)
    dtype = kernel.inputs[0][1].dtype
    each = jax.lax.map(lambda v: push(back(v.reshape(kernel.shape).astype(dtype))).ravel(), jnp.asarray(V).T)
    return each.astype(wide(dtype)).T
