"""What is asked of the arguments of `bounds.network`, at the door."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from ntkseq import _checks, _keys
from ntkseq._types import AnyFunction, ArrayLike, PyTree
from ntkseq.bounds.network_posterior import EPS, flattened
from ntkseq.empirical.function import Function, function


def variances(name: str, values: object) -> Float[np.ndarray, " k"]:
    """One number > 0, or several."""
    held = np.atleast_1d(_checks.real(name, values))
    if held.ndim != 1 or not held.size or not (held > 0).all():
        raise ValueError(f"{name} must be one number > 0 or several, (k,); got {_checks.shown(values)}.")
    return held


def weights(f: AnyFunction, w0: PyTree, w: PyTree) -> tuple[Function, list[Function]]:
    """f at w0, and at w or at each of a list of them: trees of one structure, shapes and dtypes."""
    for name, tree in (("w0", w0), ("w", w)):
        for leaf in jax.tree.leaves(tree):
            _checks.outside(name, leaf, "")
    start = _named("w0", lambda: function(f, w0), f)
    dtypes = {jnp.dtype(leaf.dtype) for leaf in start.weights}
    if len(dtypes) > 1 or dtypes.pop() not in (np.float32, np.float64):
        found = sorted({str(leaf.dtype) for leaf in start.weights})
        raise ValueError(
            f"w0 must have floating leaves of one dtype, float32 or float64; got {', '.join(found)}. Noise in fewer "
            "digits is not Gaussian: pass w0 and w in float32."
        )
    tree = jax.tree.structure(_keys.laid_open(w0))
    several = isinstance(w, (list, tuple)) and jax.tree.structure(_keys.laid_open(w)) != tree
    if several and not w:
        raise ValueError("w must be params like w0, or a list of at least one of them; got an empty one.")
    paths = [_named("w", lambda one=one: start.at(one), f) for one in (w if several else [w])]
    for one in paths:
        for i, (old, new) in enumerate(zip(start.leaves, one.leaves, strict=True)):
            if i not in start.trained and not np.array_equal(np.asarray(old), np.asarray(new)):
                raise ValueError("w must agree with w0 in the leaves that are not floating; they have no noise.")
    return start, paths


def _named(name: str, made: Callable[[], Function], f: AnyFunction) -> Function:
    try:
        return made()
    except ValueError as error:
        if not callable(f):
            raise
        raise ValueError(f"{name} must be params of f, w0 and w of one structure: {error}") from None


def roots(start: Function, scales: object) -> list[Float[Array, " p"]]:
    """The roots of the scales of all weights, one vector for each of the `scales`."""
    if not isinstance(scales, (list, tuple)) or not scales:
        raise ValueError(f"scales must be a tuple of pytrees like w0, or of None; got {_checks.shown(scales)}.")
    found = []
    for one in scales:
        values = [1.0] * len(start.leaves)
        if one is not None:
            leaves, tree = jax.tree.flatten(one)
            if tree != start.tree:
                raise ValueError(f"scales must have the structure of w0, {start.tree}, or be None; got {tree}.")
            values = [float(_checks.real("scales", leaf)) if np.ndim(leaf) == 0 else math.nan for leaf in leaves]
        if not all(0 < value < math.inf for value in values):
            raise ValueError(f"scales must be one finite number > 0 per leaf; got {_checks.shown(one)}.")
        weighed = zip(start.trained, start.weights, strict=True)
        found.append(jnp.concatenate([jnp.full(leaf.size, math.sqrt(values[i]), leaf.dtype) for i, leaf in weighed]))
    return found


def labels(y: ArrayLike, n: int, outputs: int) -> Int[np.ndarray, " n"]:
    """-1/+1 for one output, 0..o-1 for several."""
    held = _checks.labels("y", y, n)
    wanted = np.array([-1.0, 1.0]) if outputs == 1 else np.arange(outputs, dtype=np.float64)
    if not np.isin(held, wanted).all():
        said = "-1 or +1 for an f of one output" if outputs == 1 else f"classes 0..{outputs - 1} for {outputs} outputs"
        raise ValueError(f"y must hold {said}; got {_checks.shown(np.unique(held)[:6])}.")
    return held.astype(np.int32)


def unseen(seen: object, n: int) -> Int[np.ndarray, " k"]:
    """The examples that pay: all but those that the prior has looked at."""
    if isinstance(seen, (list, tuple, range)):  # NumPy knows no size of a list of lists of unequal length
        empty = not len(seen)
    else:
        empty = seen is None or (isinstance(seen, (np.ndarray, jax.Array)) and not seen.size)
    if empty:
        return np.arange(n)
    if getattr(seen, "dtype", None) == np.dtype(bool):
        raise ValueError(
            f"seen must be indices of examples; got a mask, {_checks.shown(seen)}. Pass numpy.flatnonzero(mask)."
        )
    held = np.atleast_1d(_checks.integers("seen", seen, 0, "indices of examples,"))
    if held.ndim != 1 or held.max() >= n or len(np.unique(held)) < len(held):
        raise ValueError(f"seen must be different indices in 0..{n - 1}, (k,); got {_checks.shown(seen)}.")
    return np.setdiff1d(np.arange(n), held)


def copies(x: PyTree, y: Shaped[np.ndarray, "n ..."], which: Int[np.ndarray, " k"]) -> int:
    """How many of the examples that pay repeat another example, input and label: one that pays or one that was seen."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(x)] + [y]
    names = [b"".join(leaf[i].tobytes() for leaf in leaves) for i in range(len(y))]
    taken = {names[i] for i in np.setdiff1d(np.arange(len(y)), which)}
    repeated = 0
    for i in which:
        repeated += names[i] in taken
        taken.add(names[i])
    return repeated


def spread(n: int, outputs: int, rows: int) -> tuple[Int[np.ndarray, " r"], Int[np.ndarray, " r"]]:
    """Which examples and outputs have a row of the Jacobian: all, or as many as wanted, spread evenly."""
    total = n * outputs
    picked = np.arange(total) if total <= rows else np.unique(np.linspace(0, total - 1, rows).round().astype(np.int64))
    return (picked // outputs).astype(np.int32), (picked % outputs).astype(np.int32)


def movement(start: Function, end: Function, scale: Float[Array, " p"]) -> float:
    """|D^-1 (w - w0)|^2/(2 c) of the floats as they are, rounded upwards."""
    new, old, by = (np.asarray(one, np.float64) for one in (flattened(end.weights), flattened(start.weights), scale))
    total = 0.5 * float(np.sum(((new - old) / by) ** 2))
    return total * (1 + 2 * (len(by) + 8) * EPS)
