"""What is a model? One interface for every network of finite width: shapes, initial parameters, the function."""

from __future__ import annotations

import abc
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ntkseq import _checks, _precision
from ntkseq._types import ArrayLike, DType, Key, Number, PyTree

Params = Any
"""A pytree of arrays, all of them N(0, 1) at the start."""


class Model(abc.ABC):
    """A network f(params, x) -> (o,) for one example x, as a frozen pytree; the parameters live outside it.

    NTK parametrisation: raw parameters are drawn from N(0, 1) and the scales (sigma over the root of the fan-in) are
    applied in the forward pass. Sigmas are leaves, choices are static. Parameter groups that `train` leaves out are
    held by `jax.lax.stop_gradient` inside `apply`: every gradient with respect to them is zero, so the tangent kernel
    of `apply` tends to the infinite-width kernel with the same `train`.

    A batch is `jax.vmap(model.apply, in_axes=(None, 0))(params, x)`.
    """

    axes: str
    """The axes of one example: "t d" or "d"."""

    outputs: int
    """The number o of outputs."""

    @abc.abstractmethod
    def shapes(self, x_shape: tuple[int, ...]) -> Params:
        """The parameters for one example of shape `x_shape`, as a pytree of `Shape`."""

    @abc.abstractmethod
    def apply(self, params: Params, x: ArrayLike, length: Number | None = None) -> Float[Array, " o"]:
        """The outputs for one example.

        Args:
            params: what `init` returned, or what training made of it.
            x: one example. Its dtype is that of the parameters.
            length: number of steps that count, 1..t; None means all. What stands behind it is never looked at.

        Raises:
            ValueError: an example of another rank, NaN or infinity, a length out of range, params of
                another model.
        """

    def init(self, key: Key, x: ArrayLike) -> Params:
        """Raw parameters from N(0, 1), in the dtype of x.

        Args:
            key: one random key.
            x: one example, or a `jax.ShapeDtypeStruct`: only shape and dtype count.

        Raises:
            ValueError: wrong rank, an empty axis, not a key.
        """
        key = _checks.prng_key("key", key)
        if isinstance(x, jax.ShapeDtypeStruct):
            x = jnp.zeros(x.shape, x.dtype)
        x = _checks.example("x", x, self.axes)
        leaves, tree = jax.tree.flatten(self.shapes(x.shape))
        keys = jax.random.split(key, len(leaves))
        raw = tree.unflatten([_precision.normal(k, s.shape, x.dtype) for k, s in zip(keys, leaves, strict=True)])
        return self.started(raw)

    def started(self, raw: Params) -> Params:
        """The parameters at the start of training, from standard normal numbers; for most networks these themselves."""
        return raw

    def _check_params(self, params: Params, x: Array) -> None:
        """Raise if the parameters are not those of this model for an example like x."""
        remedy = "Make them with init(key, x), for an x of the shape and dtype that apply gets."
        wanted = self.shapes(x.shape)
        if jax.tree.structure(params) != jax.tree.structure(wanted):
            raise ValueError(
                f"params do not fit {type(self).__name__}: got the tree {jax.tree.structure(params)}, "
                f"wanted {jax.tree.structure(wanted)}. {remedy}"
            )
        for (path, leaf), shape in zip(jax.tree.leaves_with_path(params), jax.tree.leaves(wanted), strict=True):
            if np.shape(leaf) != shape.shape:
                raise ValueError(
                    f"params{jax.tree_util.keystr(path)} must have shape {shape.shape} for x of shape {x.shape}; "
                    f"got {np.shape(leaf)}. {remedy}"
                )
            if jnp.result_type(leaf) != x.dtype:
                raise ValueError(
                    f"x and params must have one dtype; got x {x.dtype} and params{jax.tree_util.keystr(path)} "
                    f"{jnp.result_type(leaf)}. Cast one of them."
                )


class Shape:
    """The shape of one parameter array: a leaf, where a tuple would be a tree."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def __repr__(self) -> str:
        return f"Shape{self.shape}"


def held(params: dict[str, Array], train: str) -> dict[str, Array]:
    """The parameters of one layer by their letters, those not in `train` cut off from every gradient."""
    return {name: leaf if name in train else jax.lax.stop_gradient(leaf) for name, leaf in params.items()}


def in_dtype(tree: PyTree, dtype: DType) -> PyTree:
    """Scales and activation parameters in the dtype of the data."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), tree)


def pool(h: Float[Array, "t n"], read: str, inside: Bool[Array, " t"] | None) -> Float[Array, " n"]:
    """The "mean" or the "sum" of the states over the steps inside the sequence; None: over all."""
    if inside is not None:
        h = jnp.where(inside[:, None], h, 0)
    total = jnp.sum(h, axis=0)
    if read == "sum":
        return total
    return total / (h.shape[0] if inside is None else jnp.sum(inside).astype(h.dtype))


def product(left: Array, right: Array) -> Array:
    """Matrix product at full precision: on accelerators the float32 default is TF32 or bf16."""
    return jnp.matmul(left, right, precision="highest")
