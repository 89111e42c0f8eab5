"""How does an array of kernel values that was computed elsewhere, under jit or in NumPy, get its rounding?"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from ntkseq import _checks
from ntkseq._types import AnyArray, GramLike, Inputs, Lengths, PyTree
from ntkseq.grams import sides
from ntkseq.grams.base import DenseGram
from ntkseq.grams.digits import in_norm, single
from ntkseq.grams.facts import flat
from ntkseq.grams.sampling import Sampling
from ntkseq.kernels.all_steps import each_rounding
from ntkseq.kernels.recurrent import Recurrent


def computed(
    K: GramLike,
    kernel: Any,
    x: PyTree,
    x2: Inputs | None = None,
    *,
    lengths: Lengths = None,
    lengths2: Lengths = None,
) -> DenseGram:
    """The Gram matrix of values that `kernel` gave for these inputs, with what the kernel knows of their rounding.

    For what comes out of `jax.jit`, was moved through NumPy or read from a file: `gram(kernel, x)` without computing
    its entries again. Time and memory O(n) beyond those of K.

    Args:
        K: `kernel(x)` or `kernel(x, x2)`, (n, m), or between all outputs (n, m, o, o); or
            `kernels.every_step(kernel, x)`, (n, n, t, t) or as a matrix
            (n t, n t), the steps of a sequence next to each other.
        kernel, x, x2, lengths, lengths2: what it was computed from.

    Returns:
        A `grams.DenseGram` with the entries of K.

    Raises:
        ValueError: K has another shape or dtype than these inputs give, or other values on its diagonal.

    Example:
        >>> import jax, ntkseq
        >>> from ntkseq import grams, kernels
        >>> x = jax.random.normal(jax.random.key(0), (20, 6, 3))
        >>> kernel = kernels.Recurrent(sigma_w=1.4)
        >>> K = grams.computed(jax.jit(kernel)(x), kernel, x)
        >>> K.entrywise == ntkseq.gram(kernel, x).entrywise
        True
    """
    _checks.outside("x", x, "")
    array = K if isinstance(K, (jax.Array, np.ndarray)) else _checks.host("K", K)
    if not _checks.is_concrete(array):
        raise ValueError("the rounding of K is found on the host; got a tracer. Call grams.computed outside jit.")
    each = isinstance(kernel, Recurrent) and _over_steps(array, x)
    pair = sides.prepare(kernel.with_(read="sum") if each else kernel, x, x2, lengths, lengths2, full=True)
    if each and not pair.symmetric:
        raise ValueError("values at every step are taken for one set of inputs with itself; got x2. Leave it out.")
    e = each_rounding(kernel, pair.left) if each else pair.entry_rounding()
    matrix = flat(array) if array.ndim == 4 else array
    n, m = pair.shape  # of a kernel between all outputs, of examples and outputs
    steps = np.shape(x)[1] if each else 1
    if matrix.shape != (n * steps, m * steps):
        raise ValueError(f"K must have shape {pair.shape}, as kernel(x) has for these inputs; got {array.shape}.")
    own = pair.diagonal.dtype
    if matrix.dtype != own and not (own == np.float32 and single(np.asarray(matrix))):
        raise ValueError(
            f"K must have the dtype in which the kernel computes these inputs, {own}; got {matrix.dtype}. Pass x in "
            "the dtype that K was computed from."
        )
    why = "an array holds no batches; pass gram(kernel, x)"
    known = {"frobenius": True, "entrywise": e, "estimated": kernel.estimated}
    known |= {"sampling": Sampling(why=why) if kernel.sampled else None}
    if pair.symmetric:
        own = np.asarray(matrix).diagonal().astype(np.float64)
        wanted = np.asarray(pair.diagonal, np.float64)
        sums = np.asarray(kernel.with_(read="steps").diag_side(pair.left), np.float64) if each else wanted
        _check(own.reshape(n, steps).sum(axis=1), sums, 2.0 * e)
        return DenseGram(matrix, in_norm(e, float(np.sum(own))), True, **known)
    one = kernel.tile(*(jax.tree.map(lambda leaf: leaf[:1], side) for side in (pair.left, pair.right)))
    one = flat(one) if one.ndim == 4 else one
    size = np.sqrt(float(pair.diagonal[0]) * float(sides.own(kernel, pair.right)[0]))
    _check(np.asarray(matrix)[:1, 0].astype(np.float64), np.asarray(one, np.float64)[0, :1], 2.0 * e, size)
    return DenseGram(matrix, pair.rounding(e), False, **known)


def _over_steps(array: AnyArray, x: Any) -> bool:
    """Whether these are the values at every step."""
    shape = np.shape(x)
    return array.ndim == 4 or (len(shape) == 3 and shape[1] > 1 and array.shape == (shape[0] * shape[1],) * 2)


def _check(came: np.ndarray, wanted: np.ndarray, e: float, size: float | np.floating | None = None) -> None:
    gap, room = np.abs(came - wanted), e * (np.abs(wanted) if size is None else size)
    if not (gap <= room).all():
        i = int(np.argmax(np.where(np.isnan(gap), np.inf, gap - room)))
        raise ValueError(
            f"K is not what this kernel gives for x and lengths: K[{i}, {i}] is {came[i]:.6g} where it gives "
            f"{wanted[i]:.6g}. Pass what K was computed from."
        )
