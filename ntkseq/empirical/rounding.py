"""How far may rounding have moved an entry of an empirical kernel? The Jacobian of every example, computed once more.

An entry is an inner product of two Jacobians. If J_i was computed with an error |dJ_i| <= eta_i |J_i|, and c_i is the
sum of the sizes of the terms whose sum is J_i, then

    |computed_ij - exact_ij| <= (eta_i + eta_j + eta_i eta_j) |J_i| |J_j| + g c_i c_j,               (numerics.17)

where g is what a contraction loses, in units of the terms that it adds up. eta_i is measured at EVERY example: its
Jacobian is made again in float64 (of float64 data, in float32), and |dJ_i|^2 = |J_i|^2 - 2 <J_i, J_i'> + |J_i'|^2 is
summed in float64. g is measured on pairs of the examples that are most unlike. float64 itself is looked at where the
two precisions disagree by much. It is an estimate, not a proof: f is a program of the user, of which float64 sees only
what its own roundings leave.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ntkseq import _checks
from ntkseq._precision import wide
from ntkseq._struct import replace
from ntkseq._types import AnyArray, PyTree
from ntkseq.empirical import choose, versions
from ntkseq.empirical.function import Function
from ntkseq.empirical.structure import Choice, Prepared, examine, total
from ntkseq.empirical.versions import Find, Version

BLOCK = 16
"""Examples that are looked at together."""
BYTES = 1 << 26
"""Of their factors, at most."""
PAIRED = 16
"""Examples whose pairs say what a contraction loses."""
SHARE = 128
"""Of the memory that is allowed, what each of these may take: it is there in two precisions, with all between two."""
SAFETY = 8.0
"""Of what is not every example's own error as measured: lost in sums, extrapolated, or an answer to moved numbers."""
AGAIN = 4.0
"""Of errors of Jacobians that are not the kernel's own: made by another program, they round elsewhere."""
FLOOR = 4.0
"""Roundings, in eps, that a contraction is taken to lose at least."""
APART = 1 / 16
"""Relative difference between two precisions from which the finer one is looked at as well."""
SMALL = 2.0**-40
"""How far everything is moved to see what float64 makes of roundings."""
OPERATIONS = 64.0
"""Roundings of its arguments, 2^-53 each, that a program's own are taken to amount to."""


def measured(
    function: Function, x: PyTree, choice: Choice, find: Find, made: Any = None, memory: int | None = None
) -> float:
    """Estimate of |computed - exact| / sqrt(K_ii K_jj) over the entries; infinite where nothing can be learnt.

    It costs a Jacobian of every example in float64 and n contractions of one example with itself: linear in n, where a
    Gram matrix is quadratic.

    A function that holds arrays or casts of one fixed dtype does not run in another: then its parameters and inputs
    are moved by one rounding each, twice, and 8 times the change of each Jacobian is taken.

    Args:
        function: the function at its parameters.
        x: its checked inputs.
        choice: what is done with each leaf.
        find: what there is in a function for inputs; asked once per precision, for a program in another dtype has
            other equations.
        made: what the kernel has made of x already. What is not `Prepared` is made again, block by block, and 4 times
            its errors are taken, for another program rounds elsewhere.
        memory: bytes that may be used; None: some hundred MiB. With little, fewer examples are looked at together, and
            fewer pairs.
    """
    made = made if isinstance(made, Prepared) else None
    room = BYTES if memory is None else min(BYTES, memory // 16)
    own, gross, errors = _errors(function, x, choice, find, made, room)
    each = choose.bytes_per_example(function, choice)
    paired = PAIRED if memory is None else int(np.clip(memory // (SHARE * each + 1), 4, PAIRED))
    lost = _contraction(function, x, choice, made, own, gross, errors, paired)
    eta, spread = float(np.max(errors)), float(np.max(_over(gross, own)))
    e = (2.0 * eta + eta**2 + lost * spread**2) * (1.0 + 2.0**-20)
    return e if np.isfinite(e) else float("inf")


def compared(function: Function, x: Any, side: Any, tile: Callable[[Function, Any, Any], Any]) -> float:
    """The same of a method that states nothing, from up to 16 evenly spaced examples and their exact kernel.

    8 times the largest difference, and what is measured of the exact kernel. Infinite under a trace.

    Args:
        function: the function at its parameters.
        x: its checked inputs.
        side: what the method has made of them.
        tile: of the method.
    """
    if not all(map(_checks.is_concrete, jax.tree.leaves((function, x, side)))):
        return float("inf")
    which = np.linspace(0, _count(x) - 1, PAIRED).astype(int)
    few, some = _cut(x, which), _cut(side, which)
    choice = choose.choose(function, few)
    made = Version(function, choice).prepared(few)
    exact = np.asarray(_total(made), np.float64)
    values = np.asarray(tile(function, some, some), np.float64)
    if values.shape != exact.shape:
        raise ValueError(
            f"a tile of outputs={function.outputs!r} must have shape {exact.shape} for {PAIRED} examples with "
            f"themselves; got {values.shape} of the method."
        )
    own = np.minimum(*(_own(K) for K in (exact, values)))
    worst = float(np.max(_over(np.abs(values - exact), _outer(own, exact.ndim))))
    e = SAFETY * worst + measured(function, few, choice, examine)
    return e if np.isfinite(e) else float("inf")


def _errors(
    function: Function, x: PyTree, choice: Choice, find: Find, made: Prepared | None, room: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """|J_i|, c_i and eta_i of every example, (n,) or (n, o)."""
    coarse = versions.coarsest(function, x)
    eps = float(jnp.finfo(coarse).eps)
    fine = eps < versions.FINE
    pair = versions.other(function, x, choice, find, jnp.float32 if fine else jnp.float64)
    if pair is None:
        mine, size = Version(function, choice), _together(function, choice, room)
        eps = max([eps, *(float(jnp.finfo(kind).eps) for kind in versions.computes_in(function, x))])
        own, gross, first = _apart(mine, mine.nudged(eps, 1), x, made, size)
        return own, gross, SAFETY * np.maximum(first, _apart(mine, mine.nudged(eps, 2), x, made, size)[2])
    mine, there = pair
    size = _together(function, mine.choice, room)
    made = made if mine.choice is choice else None
    own, gross, eta = _apart(mine, there, x, made, size)
    eta = eta if made is not None else AGAIN * eta
    doubtful = eta > APART
    if fine:
        eta = np.where(doubtful, 0.0, SAFETY * eta * eps / float(jnp.finfo(jnp.float32).eps) + 2 * eps)
    if doubtful.any():
        which = np.flatnonzero(doubtful.reshape(len(doubtful), -1).any(axis=1))
        which = np.resize(which, -(-len(which) // size) * size)  # one shape of blocks, whose programs are there
        eta[which] += np.where(doubtful[which], _unstable(mine if fine else there, _cut(x, which), size), 0.0)
    return own, gross, eta


def _together(function: Function, choice: Choice, room: int) -> int:
    """Examples that are looked at together, with Jacobians in two precisions."""
    coarse = choose.bytes_per_example(function, choice)
    return int(np.clip(room // (3 * coarse + 1), 1, BLOCK))


def _apart(
    one: Version, two: Version, x: PyTree, made: Prepared | None, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """|J_i| by the first, the sum of the sizes of its terms, |J_i - J_i'| relative to the lesser; `size` at a time."""
    n, parts = _count(x), []
    cut = _taken if n > 4 * size else _cut  # a program of its own pays where it is called often
    for start in range(0, n, size):
        index = np.minimum(np.arange(start, start + size), n - 1)  # one shape of blocks for all n
        some = cut(x, index)
        mine = one.prepared(some) if made is None else cut(replace(made, inputs=()), index)
        theirs = two.prepared(some)
        with jax.enable_x64(True):
            found = _compared(mine, replace(theirs, choice=mine.choice))
        parts.append([np.asarray(part)[: n - start] for part in found])
    own, other, apart, gross = (np.sqrt(np.maximum(np.concatenate(part), 0.0)) for part in zip(*parts, strict=True))
    eta = _over(apart, np.minimum(own, other))
    return own, gross, np.where(np.isnan(eta), np.inf, eta)


def _unstable(double: Version, x: PyTree, size: int) -> np.ndarray:
    """The relative error of Jacobians in float64, from their answer to a small change of everything."""
    answer = _apart(double, double.nudged(SMALL), x, None, size)[2]
    return np.where(answer <= APART, OPERATIONS * 2.0**-53 * (1.0 + answer / SMALL), np.inf)


def _contraction(
    function: Function,
    x: PyTree,
    choice: Choice,
    made: Prepared | None,
    own: np.ndarray,
    gross: np.ndarray,
    errors: AnyArray,
    paired: int,
) -> float:
    """g: what the contraction of two of `paired` examples loses, relative to the sizes of the terms of both."""
    size, spread, error = (a.reshape(len(a), -1).max(axis=1) for a in (own, _over(gross, own), errors))
    most = max(1, paired // 4 - 1)  # 3 of each of 16
    ends = [np.argsort(a, kind="stable")[-most:] for a in (size, -size, spread, error)]
    n = len(size)
    which = np.unique(np.concatenate([*ends, np.linspace(0, n - 1, paired - 4 * most).astype(int)]))
    which = np.resize(which, paired)  # one shape for all n; pairs that are looked at twice say nothing new
    some = (
        _cut(replace(made, inputs=()), which)
        if made is not None
        else Version(function, choice).prepared(_cut(x, which))
    )
    eps = float(jnp.finfo(wide(*(weight.dtype for weight in function.weights))).eps)
    unit = eps
    if eps < versions.FINE:
        some, unit = versions.cast(some, jnp.float32), float(jnp.finfo(jnp.float32).eps)
    here = np.asarray(_total(some), np.float64)
    with jax.enable_x64(True):
        there = np.asarray(_total(versions.cast(some, jnp.float64)))
    worst = float(np.max(_over(np.abs(here - there), _outer(gross[which], here.ndim))))
    return eps * (FLOOR + SAFETY * worst / unit) if np.isfinite(worst) else float("inf")


@jax.jit
def _total(side: Prepared) -> Array:
    return total(side, None)


@jax.jit
def _compared(mine: Prepared, theirs: Prepared) -> tuple[Array, Array, Array, Array]:
    """|J_i|^2, |J_i'|^2, |J_i - J_i'|^2 and the square of the sizes of the terms, in float64: (n,) or (n, o)."""
    mine, theirs = (versions.cast(side, jnp.float64) for side in (mine, theirs))
    theirs = jax.tree.map(lambda a, b: b.astype(a.dtype), mine, theirs)  # numbers of rows

    def one(pair: tuple[Prepared, Prepared]) -> tuple[Array, Array, Array]:
        a, b = jax.tree.map(lambda leaf: leaf[None], pair)
        values = [total(*sides)[0, 0] for sides in ((a, None), (b, None), (a, b))]
        own, other, cross = (jnp.diagonal(v) if v.ndim == 2 else v for v in values)
        return own, other, own - 2.0 * cross + other

    return *lax.map(one, (mine, theirs)), _terms(mine)


def _terms(side: Prepared) -> Array:
    """c_i^2: sum over uses of |first factor| |second factor|, squared and summed over leaves."""
    outputs = side.choice.outputs
    whole = outputs.kept == "mean"

    def norm(factor: Array) -> Array:
        """(n, [o,] B, T) of a factor (n, [o,] B, T, c); 1 for numbers of rows. Outputs that are summed are one."""
        if not jnp.issubdtype(factor.dtype, jnp.floating):
            return jnp.ones(factor.shape)
        squares = jnp.sum(factor * factor, axis=-1)
        return jnp.sqrt(jnp.sum(squares, axis=1) if whole and squares.ndim == 4 else squares)

    squares = []
    for group in side.factors:
        parts = []
        for factors in group:
            one, two = (norm(factor) for factor in factors)
            one, two = (a[:, None] if a.ndim < max(one.ndim, two.ndim) else a for a in (one, two))
            parts.append(jnp.sum(one * two, axis=(-2, -1)))
        squares.append(sum(parts[1:], parts[0]) ** 2)
    squares += [jnp.sum(row * row, axis=(1, 2) if whole else 2) for row in side.rows]
    value = sum(squares[1:], squares[0])
    if whole:
        return value / outputs.count
    return value if value.ndim == 2 else value[:, None]  # computed without the axis of one output


def _own(K: np.ndarray) -> np.ndarray:
    """sqrt(K_ii), (n,) or (n, o), of K (n, n), (n, n, o) or (n, n, o, o)."""
    own = np.einsum("iiaa->ia", K) if K.ndim == 4 else np.einsum("ii...->i...", K)
    return np.sqrt(np.maximum(own, 0.0))


def _outer(c: np.ndarray, axes: int) -> np.ndarray:
    """c_i c_j: (n, n) or (n, n, o), and for 4 axes (n, n, o, o)."""
    return c[:, None] * c[None, :] if axes < 4 else c[:, None, :, None] * c[None, :, None, :]


def _over(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b, where 0 / 0 is 0."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(np.asarray(a) == 0, 0.0, np.asarray(a) / np.asarray(b))


def _cut(tree: PyTree, index: AnyArray) -> Any:
    return jax.tree.map(lambda leaf: leaf[index], tree)


_taken = jax.jit(_cut)


def _count(x: PyTree) -> int:
    return jax.tree.leaves(x)[0].shape[0]
