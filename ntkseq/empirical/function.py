"""What is the function whose kernel is taken? f, its parameters, which of them count and how much, which outputs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntkseq import _calls, _checks, _devices, _guests, _keys
from ntkseq._precision import is_complex, wide
from ntkseq._struct import replace, static, struct
from ntkseq._types import AnyArray, AnyFunction, Lengths, PyTree, Trainable
from ntkseq.empirical import randomness
from ntkseq.empirical.trace import opened

OUTPUTS = ("mean", "full", "diagonal", "pseudo")


@struct
class Function:
    """A per-example function f(params, x) -> (o,) at its parameters, with the parameters that count.

    `roots` are the square roots of the learning rates, one per trained leaf, or None: the kernel with rates is that of
    the same function in the parameters theta / roots. `shares` are those of leaves whose numbers have a rate each,
    None for other leaves: f itself is then taken in theta / share, see `_in_shares`.
    """

    leaves: tuple[Any, ...]
    roots: tuple[Any, ...] | None
    shares: tuple[Any, ...] | None
    f: Callable[..., Any] = static()
    tree: Any = static()
    trained: tuple[int, ...] = static()
    outputs: str | int = static(default="mean")

    def __repr__(self) -> str:
        held = sum(int(leaf.size) for leaf in self.leaves)
        return f"Function({_calls.name(self.f)}, {held:,} parameters, outputs={self.outputs!r})"

    @property
    def weights(self) -> list[Any]:
        """The trained leaves."""
        return [self.leaves[i] for i in self.trained]

    @property
    def names(self) -> list[str]:
        """The paths of the trained leaves, as jax.tree_util.keystr writes them."""
        paths = jax.tree.leaves_with_path(jax.tree.unflatten(self.tree, range(len(self.leaves))))
        return [jax.tree_util.keystr(paths[i][0]) or "params" for i in self.trained]

    @property
    def kept(self) -> str:
        """What is left of two axes of outputs: both, their diagonal, or the mean of that."""
        return str(self.outputs) if self.outputs in ("full", "diagonal") else "mean"

    def root(self, index: int) -> AnyArray | None:
        """The square root of the learning rate of the trained leaf with that index; None is 1."""
        return None if self.roots is None else self.roots[index]

    def outputs_at(self, weights: PyTree, x: PyTree) -> Float[Array, " o"]:
        """The outputs that the kernel is of, for one example and other values of the trained leaves.

        x: what `inputs` made, one example of it. One output if `outputs` is an int or "pseudo".
        """
        leaves = list(self.leaves)
        shares = self.shares or (None,) * len(self.trained)
        for i, weight, share in zip(self.trained, weights, shares, strict=True):
            leaves[i] = weight if share is None else _in_shares(weight, share)
        out = self.f(*_keys.made_again((jax.tree.unflatten(self.tree, leaves), *x)))
        if isinstance(self.outputs, int):
            return out[self.outputs : self.outputs + 1]
        return jnp.sum(out, keepdims=True) * out.shape[0] ** -0.5 if self.outputs == "pseudo" else out

    def at(self, params: PyTree, called: str = "params") -> Function:
        """The same function at other parameters, of the same tree, shapes and dtypes.

        called: what they are called in messages.

        Raises:
            ValueError: they differ, or hold NaN.
        """
        paths, tree = jax.tree.flatten_with_path(_keys.laid_open(params))
        if tree != self.tree:
            raise ValueError(f"{called} must have the structure {self.tree}; got {tree}.")
        leaves = []
        for (path, leaf), own in zip(paths, self.leaves, strict=True):
            name = jax.tree_util.keystr(path) or "params"
            array = _parameter(name, leaf, called)
            if (array.shape, array.dtype) != (own.shape, own.dtype):
                raise ValueError(
                    f"{called} at {name} must have shape {own.shape} and dtype {own.dtype}; got {array.shape} and "
                    f"{array.dtype}."
                )
            leaves.append(array)
        return replace(self, leaves=tuple(leaves))

    def values(self, x: PyTree) -> Float[Array, "n o"]:
        """`outputs_at` for a batch."""
        return jax.vmap(lambda one: self.outputs_at(self.weights, one))(x)

    def inputs(self, x: PyTree, lengths: Lengths = None, name: str = "x") -> tuple[Any, ...]:
        """The arguments of f behind params, checked, every leaf with leading axis n: (x,) or (x, lengths).

        name: of x in messages.

        Raises:
            ValueError: no example, leaves of several n, NaN, or an f that cannot take one example or returns no (o,).
        """
        leaves, tree = jax.tree.flatten(_keys.laid_open(x))
        if not leaves:
            raise ValueError(
                f"{name} must hold at least one array; got an empty tree. Pass the examples along the first axis."
            )
        arrays = [_array(name, leaf) for leaf in leaves]
        sizes = {array.shape[:1] for array in arrays}
        if () in sizes or len(sizes) > 1:
            raise ValueError(
                f"every leaf of {name} must have the examples along its first axis, n of them; got shapes "
                f"{[array.shape for array in arrays]}. What all examples share belongs into params or into f."
            )
        (n,) = sizes.pop()
        if n == 0:
            raise ValueError(f"{name} must hold at least one example; got n = 0.")
        for array in arrays:
            if jnp.issubdtype(array.dtype, jnp.inexact):
                _checks.finite(name, array)
        arguments = (jax.tree.unflatten(tree, arrays),)
        if lengths is not None:
            t = arrays[0].shape[1] if arrays[0].ndim > 1 else 1
            _calls.check_length(self.f, 2)
            arguments = (*arguments, _checks.check_lengths(name, lengths, n, t))
        leaves, tree = jax.tree.flatten(arguments)
        own, structure = jax.tree.flatten(self)
        _check_returned(structure, shapes(own, 0), tree, shapes(leaves, 1))
        return arguments

    def width(self, x: PyTree) -> int:
        """The number of outputs that the kernel is of, for checked inputs."""
        one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), x)
        return jax.eval_shape(self.outputs_at, self.weights, one).shape[0]


def check_outputs(outputs: str | int) -> str | int:
    """One of the words, or the index of an output.

    Raises:
        ValueError: anything else.
    """
    if isinstance(outputs, (int, np.integer)) and not isinstance(outputs, bool) and outputs >= 0:
        return int(outputs)
    if not isinstance(outputs, str) or outputs not in OUTPUTS:
        words = ", ".join(map(repr, OUTPUTS))
        raise ValueError(
            f"outputs must be one of {words} or an index >= 0; got {_checks.shown(outputs)}. 'mean' is that of K[o, o] "
            "over the outputs o."
        )
    return outputs


def function(
    f: AnyFunction, params: PyTree, trainable: Trainable = None, rates: PyTree = None, outputs: str | int = "mean"
) -> Function:
    """A `Function` from what a user has.

    Args:
        f: f(params, x) -> (o,) for one example; a pure function of JAX.
        params: any pytree of arrays. Integer leaves are constants; complex ones have to be held by `trainable`.
        trainable: which leaves count: a regular expression searched in the leaf's path, as `jax.tree_util.keystr`
            writes it ("['layers'][0]['W']"), or a function of that path; None: all floating leaves.
        rates: learning rates, K = sum over leaves of rate * J J^T: {regular expression: rate}, the first that is found
            in the path counts and a path without one has rate 1; or a pytree like params, of numbers or of arrays like
            the leaves, a rate for each number: see `empirical.preconditioner`. 0 leaves a leaf out.
        outputs: "mean" (mean over o), "full", "diagonal", "pseudo" (gradient of the sum of outputs over sqrt(o)), or
            the index of one output.

    Raises:
        ValueError: f is no function, params hold nothing to train, NaN or complex leaves to train, rates are negative,
            a pattern fits no leaf.
    """
    if not callable(f):
        raise ValueError(f"f must be a function f(params, x) -> (o,); got {type(f).__name__}.")
    outputs = check_outputs(outputs)
    paths, tree = jax.tree.flatten_with_path(_keys.laid_open(params))
    names = [jax.tree_util.keystr(path) or "params" for path, _ in paths]
    leaves = [_parameter(name, leaf) for name, (_, leaf) in zip(names, paths, strict=True)]
    floats = [i for i, leaf in enumerate(leaves) if jnp.issubdtype(leaf.dtype, jnp.inexact) and leaf.size]
    chosen = [i for i in floats if selected(trainable, names[i])]
    scales = _rates(rates, names, tree, chosen, leaves)
    kept = [i for i in chosen if scales is None or not _zero(scales[i])]
    for i in kept:
        if is_complex(leaves[i].dtype):
            raise ValueError(
                f"params must be real where they are trained; got dtype {leaves[i].dtype} at {names[i]}. Make its "
                "parts two leaves, joined by lax.complex inside f, or hold it with trainable=."
            )
    if not kept:
        raise ValueError(_nothing(trainable, len(leaves), [names[i] for i in floats], bool(chosen)))
    roots = shares = None
    if scales is not None:
        found = [jnp.sqrt(jnp.asarray(scales[i], wide(leaves[i].dtype))) for i in kept]
        roots = tuple(jnp.ones_like(root, shape=()) if root.ndim else root for root in found)
        shares = tuple(root if root.ndim else None for root in found) if any(root.ndim for root in found) else None
    return Function(tuple(leaves), roots, shares, f, tree, tuple(kept), outputs)


def _in_shares(weight: Array, share: Array) -> Array:
    """The same numbers, with `share` times their derivative: (finetuning.7) without a division, and exactly."""
    held = jax.lax.stop_gradient(weight)
    moved = share * (weight.astype(share.dtype) - held.astype(share.dtype))
    return held + moved.astype(weight.dtype)


@lru_cache(maxsize=256)
def _check_returned(structure: Any, own: tuple, tree: PyTree, inputs: tuple) -> None:
    """That f takes one example of these shapes, returns (o,) real numbers and has a derivative; once for all."""
    made: Function = jax.tree.unflatten(structure, [jax.ShapeDtypeStruct(*leaf) for leaf in own])
    x = jax.tree.unflatten(tree, [jax.ShapeDtypeStruct(*leaf) for leaf in inputs])
    came = ", ".join(str(shape) for shape, _ in inputs)
    remedy = "f takes one example; wrap a model of batches as lambda p, x: model(p, x[None])[0]."
    try:
        traced, out = jax.make_jaxpr(
            lambda leaves, *x: made.f(*_keys.made_again((jax.tree.unflatten(made.tree, leaves), *x))), return_shape=True
        )(made.leaves, *x)
    except _guests.Refused:
        raise
    except (TypeError, ValueError, IndexError) as error:
        raise ValueError(
            f"f(params, x) failed for one example of shape {came}: {_checks.why(error)}. {remedy}"
        ) from error
    except Exception as error:
        raise randomness.worded(error) from error
    single = isinstance(out, jax.ShapeDtypeStruct)
    if not single or len(out.shape) != 1 or out.shape[0] == 0:
        got = out.shape if single else f"the tree {jax.tree.structure(out)}"
        hint = "Return out[None]." if single and out.shape == () else f"Return out.ravel() for several axes; {remedy}"
        raise ValueError(f"f must return an array of shape (o,) for one example of shape {came}; got {got}. {hint}")
    if is_complex(out.dtype):
        raise ValueError(
            f"f(params, x) must return real numbers; got dtype {out.dtype}. Return the parts as real outputs, "
            "jnp.concatenate([out.real, out.imag])."
        )
    if not jnp.issubdtype(out.dtype, jnp.floating):
        raise ValueError(
            f"f(params, x) must return floating numbers; got dtype {out.dtype}: there is nothing to derive."
        )
    if isinstance(made.outputs, int) and not 0 <= made.outputs < out.shape[0]:
        raise ValueError(f"outputs must be an index in 0..{out.shape[0] - 1}; got {made.outputs}.")

    randomness.refuse(made.f, opened(traced), range(len(made.leaves), len(opened(traced).jaxpr.invars)))

    def gradient(function: Function, *x: Any) -> Any:
        value, back = jax.vjp(lambda weights: function.outputs_at(weights, x), function.weights)
        return back(value)

    try:
        jax.eval_shape(gradient, made, *x)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ValueError(
            f"f has no reverse derivative in params: {_checks.why(error)}. Write loops as lax.scan, or "
            "lax.fori_loop with bounds that are plain numbers, and leave out what has no derivative."
        ) from error


def shapes(leaves: list[Any], skip: int) -> tuple:
    """Shapes without their first `skip` axes, and dtypes: what a compiled program and what is known of f depend on."""
    return tuple((tuple(leaf.shape[skip:]), jnp.dtype(leaf.dtype)) for leaf in leaves)


def _array(name: str, leaf: AnyArray) -> Array:
    if isinstance(leaf, jax.Array):
        return _strong(_devices.together(name, leaf))
    try:
        return jnp.asarray(_devices.together(name, leaf))
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"{name} must be a pytree of arrays; got a leaf of type {type(leaf).__name__} ({_checks.why(error)})."
        ) from None


def _strong(array: Array) -> Array:
    """With a dtype that is its own: a weak one, as of jnp.full(2, 0.5), makes other equations than its shape tells."""
    return array.astype(array.dtype) if getattr(array, "weak_type", False) else array


def _parameter(name: str, leaf: AnyArray, called: str = "params") -> Array:
    try:
        held = _devices.together(f"{called} at {name}", leaf)
        array = _strong(held) if isinstance(held, jax.Array) else jnp.asarray(held)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            f"{called} must be a pytree of arrays; got {type(leaf).__name__} at {name}. Bind what is no array into f, "
            "see ntkseq.interop.flax and ntkseq.interop.equinox."
        ) from None
    if jnp.issubdtype(array.dtype, jnp.inexact):
        _checks.finite(f"{called} at {name}", array)
    return array


_SHOWN = 6  # paths in a message


def _nothing(trainable: Trainable, leaves: int, floats: list[str], chosen: bool) -> str:
    """Why nothing is left to train."""
    what = f"{leaves} {'leaf' if leaves == 1 else 'leaves'}, {len(floats)} of them floating"
    if not floats:
        return f"params must hold a floating leaf to train; got {what}. Pass the weights of the model."
    paths = ", ".join(floats[:_SHOWN]) + (f", ... ({len(floats)} in all)" if len(floats) > _SHOWN else "")
    if chosen:
        return f"params must hold a leaf to train; got {what}, all with rates of 0. The paths are {paths}."
    found = f"{trainable!r}, which is found in none of their paths" if isinstance(trainable, str) else "none of them"
    return f"trainable= must choose a floating leaf of params; got {what}, and {found}. The paths are {paths}."


def selected(trainable: Trainable, name: str) -> bool:
    """Whether the leaf of that path counts, by what a user gave as `trainable`."""
    if trainable is None:
        return True
    if isinstance(trainable, str):
        return re.search(trainable, name) is not None
    if callable(trainable):
        return bool(trainable(name))
    raise ValueError(
        f"trainable must be a regular expression, a function of a path or None; got {_checks.shown(trainable)}."
    )


def _rates(
    rates: PyTree, names: list[str], tree: PyTree, chosen: list[int], leaves: list[Array]
) -> dict[int, Any] | None:
    if rates is None:
        return None
    if isinstance(rates, Mapping) and all(isinstance(key, str) for key in rates) and jax.tree.structure(rates) != tree:
        for pattern in rates:
            if not any(re.search(pattern, name) for name in names):
                raise ValueError(f"rates: {pattern!r} is found in no path of params; the paths are {', '.join(names)}.")
        found = [next((rate for pattern, rate in rates.items() if re.search(pattern, name)), 1.0) for name in names]
    elif jax.tree.structure(rates) == tree:
        found = jax.tree.leaves(rates)
    else:
        raise ValueError(
            "rates must be {regular expression of a path: rate} or a pytree like params; got "
            f"{jax.tree.structure(rates)} for params {tree}."
        )
    for name, rate, leaf in zip(names, found, leaves, strict=True):
        if np.shape(rate) not in ((), leaf.shape):
            raise ValueError(
                f"rates must be one number per leaf, or one for each of its numbers; got shape {np.shape(rate)} for "
                f"{name} of shape {leaf.shape}."
            )
        if _checks.is_concrete(rate) and not np.all(np.isfinite(rate) & (np.asarray(rate) >= 0)):
            raise ValueError(f"rates must be finite and >= 0; got {_checks.shown(rate)} for {name}.")
    return {i: found[i] for i in chosen}


def _zero(rate: Any) -> bool:
    return _checks.is_concrete(rate) and not np.any(np.asarray(rate))
