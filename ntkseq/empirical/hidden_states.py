"""What is the tangent kernel of all hidden states of a recurrent network, as an operator that is never formed?"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _checks, _display
from ntkseq._precision import wide
from ntkseq._struct import fill, static, struct
from ntkseq._types import AnyArray, AnyFunction, ArrayLike, PyTree, Trainable
from ntkseq.empirical import products
from ntkseq.empirical.function import Function, function


@struct
class HiddenKernel:
    """The tangent kernel of the hidden states of a recurrent network, over (example, time, unit).

        h_t = step(params, h_{t-1}, x_t),   K[(a, t, i), (b, s, j)] = sum_p d h_ati / d theta_p  d h_bsj / d theta_p

    With J = d h / d theta, (n t h, p), K = J J^T. It is known by its products: `push` is J, one derivative in forward
    mode, `pull` is J^T, one in reverse mode, and `mv` is both. What is drawn from it at random, with an error, is in
    `spectra.hidden_dimension` and `spectra.hidden_alignment`; its eigenvalues are those of `spectra.hidden_operator`.

    Args:
        step: step(params, h, x) -> the next hidden state (h,), of one example at one time.
        params: any pytree of arrays.
        x: inputs, (n, t, ...), or a pytree of them.
        h0: the hidden state before the first step, (h,), or one per example, (n, h). Where a cell has more states,
            as an LSTM, join them to one vector within step.
        trainable: which leaves of params count, as in `empirical.NTK`; None: all floating leaves.

    Raises:
        ValueError: shapes that do not fit, a step that does not return a state like the one it takes, NaN, params that
            hold nothing to train.

    Reference: derived, (hidden_states.1) to (hidden_states.3).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq import empirical
        >>> step = lambda W, h, x: jnp.tanh(W @ jnp.concatenate([h, x]))
        >>> W = jax.random.normal(jax.random.key(0), (8, 10)) / 3
        >>> x = jax.random.normal(jax.random.key(1), (4, 5, 2))
        >>> K = empirical.HiddenKernel(step, W, x, h0=jnp.zeros(8))
        >>> K.shape, K.parameters, K.mv(jnp.ones((4, 5, 8))).shape
        ((4, 5, 8), 80, (4, 5, 8))
    """

    function: Function
    inputs: Any
    shape: tuple[int, int, int] = static()

    def __init__(
        self, step: AnyFunction, params: PyTree, x: PyTree, *, h0: ArrayLike, trainable: Trainable = None
    ) -> None:
        step = _checks.function("step", step, "(params, h, x)")
        leaves = [_checks.tokens_or_floats("x", leaf) for leaf in jax.tree.leaves(x)]
        if not leaves or any(leaf.ndim < 2 or leaf.shape[:2] != leaves[0].shape[:2] for leaf in leaves):
            shapes = [leaf.shape for leaf in leaves]
            raise ValueError(f"x must have shape (n, t, ...), in every leaf the same n and t; got {shapes}.")
        n, t = leaves[0].shape[:2]
        if not n * t:
            raise ValueError(f"x must have at least one example and one step; got shape {leaves[0].shape}.")
        start = _checks.floating("h0", h0)
        _checks.finite("h0", start)
        if start.ndim not in (1, 2) or not start.size or (start.ndim == 2 and len(start) != n):
            raise ValueError(f"h0 must have shape (h,) or ({n}, h); got {start.shape}.")
        start = jnp.broadcast_to(start, (n, start.shape[-1]))
        x = jax.tree.unflatten(jax.tree.structure(x), leaves)
        made = function(Unrolled(step), params, trainable, None, "full")
        own = jax.tree.unflatten(made.tree, made.leaves)
        _check_step(step, own, jax.tree.map(lambda leaf: leaf[0, 0], x), start[0])
        fill(self, function=made, inputs=made.inputs((x, start)), shape=(n, t, start.shape[1]))

    @property
    def parameters(self) -> int:
        """p, the number of parameters that count."""
        return sum(int(weight.size) for weight in self.function.weights)

    @property
    def params(self) -> PyTree:
        """The parameters at which the kernel is taken."""
        return jax.tree.unflatten(self.function.tree, self.function.leaves)

    def states(self) -> Float[Array, "n t h"]:
        """The hidden states h_1 ... h_t."""
        return self.function.values(self.inputs).reshape(self.shape)

    def push(self, tangent: list[AnyArray]) -> Float[Array, "n t h"]:
        """J times a change of the trained leaves, a list as of `pull`: how the states move.

        Raises:
            ValueError: leaves of other shapes or numbers.
        """
        weights = self.function.weights
        given = _checks.listed("tangent", tangent, "arrays, one per trained leaf")
        if len(given) != len(weights):
            raise ValueError(f"tangent must hold {len(weights)} arrays, one per trained leaf; got {len(given)}.")
        leaves = [_checks.floating("tangent", leaf) for leaf in given]
        for leaf, weight, name in zip(leaves, weights, self.function.names, strict=True):
            _checks.finite("tangent", leaf)
            if leaf.shape != weight.shape:
                raise ValueError(f"tangent must have shape {weight.shape} at {name}; got {leaf.shape}.")
        return _push(self, leaves)

    def pull(self, v: AnyArray) -> list[Array]:
        """J^T v: the gradient of the states weighted by v, (n, t, h), in each trained leaf."""
        return _pull(self, self._like(v))

    def mv(self, v: AnyArray) -> Float[Array, "n t h"]:
        """K v for v (n, t, h), by one derivative in reverse mode and one in forward mode."""
        return _mv(self, self._like(v))

    def dense(self) -> Float[np.ndarray, "n t h n t h"]:
        """K, formed from the smaller explicit matrix, J itself; for small cases and checks."""
        rows = jax.jit(jax.vmap(lambda k: _pull(self, _unit(self.shape, k, self._dtype))))
        leaves = rows(jnp.arange(int(np.prod(self.shape)), dtype=jnp.int32))
        J = np.concatenate([np.asarray(leaf, np.float64).reshape(len(leaf), -1) for leaf in leaves], axis=1)
        return (J @ J.T).reshape(*self.shape, *self.shape)

    @property
    def _dtype(self) -> Any:
        return self.inputs[0][1].dtype

    def _like(self, v: Any) -> Array:
        v = _checks.floating("v", v)
        _checks.finite("v", v)
        if v.shape != self.shape:
            raise ValueError(f"v must have the shape of the hidden states, {self.shape}; got {v.shape}.")
        return v.astype(self._dtype)

    def __repr__(self) -> str:
        n, t, h = self.shape
        return _display.folded(f"HiddenKernel({n} examples, {t} steps, {h} units, {self.parameters:,} parameters)")


@dataclasses.dataclass(frozen=True)
class Unrolled:
    """All hidden states of one example, end to end: a function of parameters and (x, h0)."""

    step: AnyFunction

    def __call__(self, params: PyTree, example: PyTree) -> Array:
        x, start = example

        def one(h: Array, u: PyTree) -> tuple[Array, Array]:
            h = self.step(params, h, u)
            return h, h

        return jax.lax.scan(one, start, x)[1].reshape(-1)


def values_and_back(kernel: HiddenKernel) -> Any:
    """J^T as a map from (n, t, h) to a list of leaves, with the states computed once."""
    with jax.default_matmul_precision("highest"):
        _, back = jax.vjp(lambda weights: _states(kernel, weights), kernel.function.weights)
    return lambda v: products.cotangents(kernel.function, back(v)[0])


def forward(kernel: HiddenKernel) -> Any:
    """J as a map from a list of leaves to (n, t, h), with the states computed once."""
    push = products.forward(kernel.function, kernel.inputs)
    return lambda tangent: push(products.tangents(kernel.function, tangent)).reshape(kernel.shape)


def _states(kernel: HiddenKernel, weights: list[Any]) -> Array:
    each = jax.vmap(lambda one: kernel.function.outputs_at(weights, one))(kernel.inputs)
    return each.reshape(kernel.shape)


@jax.jit
def _push(kernel: HiddenKernel, tangent: list[Any]) -> Array:
    return forward(kernel)(tangent)


@jax.jit
def _pull(kernel: HiddenKernel, v: Array) -> list[Array]:
    return values_and_back(kernel)(v)


@jax.jit
def _mv(kernel: HiddenKernel, v: Array) -> Array:
    return forward(kernel)(values_and_back(kernel)(v)).astype(wide(v.dtype))


def _unit(shape: tuple[int, ...], k: Array, dtype: Any) -> Array:
    return (jnp.arange(int(np.prod(shape)), dtype=jnp.int32) == k).astype(dtype).reshape(shape)


def _check_step(step: AnyFunction, params: PyTree, x: PyTree, h: Array) -> None:
    """That a step takes one example at one time and gives a state like the one that it takes."""
    try:
        out = jax.eval_shape(partial(step), params, h, x)
    except (TypeError, ValueError, IndexError) as error:
        came = [leaf.shape for leaf in jax.tree.leaves(x)]
        raise ValueError(
            f"step(params, h, x) failed for one state of shape {h.shape} and one x of shape {came}: "
            f"{_checks.why(error)}. It takes one example at one time."
        ) from error
    got = (getattr(out, "shape", None), getattr(out, "dtype", None))
    if got != (h.shape, h.dtype):
        raise ValueError(
            f"step must return a state like h0, of shape {h.shape} and dtype {h.dtype}; got {got[0]} and {got[1]} for "
            f"x of shape {[leaf.shape for leaf in jax.tree.leaves(x)]} at one time."
        )
