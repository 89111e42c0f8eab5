"""Where does a parameter meet data linearly? Matrix products, convolutions, rows taken from a table."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ntkseq._precision import is_complex, real_dtype, wide
from ntkseq._types import AnyArray
from ntkseq.empirical.trace import Equation
from ntkseq.empirical.views import Leaf, View

Loop = tuple[int, tuple[Any, ...]]
"""Length and place of a scan that an equation stands in."""

Label = tuple[str, int | None]
"""What an axis is: ("b", axis of the leaf) batch, ("t", k) another use, ("c", axis) summed, ("o", axis) kept."""


@dataclasses.dataclass(frozen=True)
class Site:
    """One equation in which a view of a leaf meets data, so that d f_o / d leaf = sum over uses t of a_t (x) delta_ot.

    The record a is the other operand, the delta the cotangent of the result. Of the leaf's axes behind `chain` the site
    takes `batch` as they are, and the others in two groups `first` and `second`; the record has the axes `first` if
    `record_first`, else `second`, and the delta the other ones.

    The leaf is real. Where a and delta are complex, of a_t (x) delta_ot the real part counts, which is two real
    products: JAX's cotangent is that of df = Re(delta dz), without a conjugate.
    """

    kind: str  # "product", "convolution" or "rows"
    leaf: Leaf
    chain: tuple[Any, ...]
    batch: tuple[int, ...]
    first: tuple[int, ...]
    second: tuple[int, ...]
    record_first: bool
    shape: tuple[int, ...]  # of the result, that of the tap
    dtype: Any
    loops: tuple[tuple[int, bool], ...]  # length of each scan around it, and whether the leaf has its axis
    order: tuple[int, ...]  # of the result's axes: batch, uses, kept
    sizes: tuple[int, int, int]  # of the result in that order: batch, uses, kept
    summed: int  # size of the record's own group of axes
    parts: int = 1  # real products that one use is: 2 where record and delta are complex

    @property
    def uses(self) -> int:
        """How often an example uses the leaf here: T."""
        return math.prod(n for n, stacked in self.loops if not stacked) * self.sizes[1] * self.parts

    @property
    def stack(self) -> int:
        """The number of matrices that the leaf is here: B."""
        return math.prod(n for n, stacked in self.loops if stacked) * self.sizes[0]

    @property
    def extents(self) -> tuple[int, int]:
        """The sizes of the first and the second group of axes: c and d."""
        return (self.summed, self.sizes[2]) if self.record_first else (self.sizes[2], self.summed)


@dataclasses.dataclass(frozen=True)
class Found:
    """A site, what it records, the numbers that its tap is multiplied by, and where the leaf is in the result at all.

    inside: booleans of the result's shape; None: everywhere.
    """

    site: Site
    record: Array
    gain: tuple[Any, ...]
    inside: Array | None = None


def find(equation: Equation, operand: int, view: View, values: list[Any], loops: tuple[Loop, ...]) -> Found | None:
    """The site that an equation is for the view in its operand with that index; None if it is none."""
    name = equation.primitive.name
    if not jnp.issubdtype(equation.outvars[0].aval.dtype, jnp.inexact):
        return None  # whole numbers have no derivative
    if name == "dot_general":
        return _product(equation, operand, view, values, loops)
    if name == "conv_general_dilated" and operand == 1:
        return _convolution(equation, view, values, loops)
    if name in ("gather", "dynamic_slice") and operand == 0:
        return _rows(equation, view, values, loops)
    return None


def scaled(record: Array, factor: complex | AnyArray) -> Array:
    """A record times a number, in float32 at least, and complex where either is."""
    dtype = np.dtype(wide(record.dtype))
    if is_complex(jnp.result_type(factor)):
        dtype = np.promote_types(dtype, np.complex64)
    return record.astype(dtype) * jnp.asarray(factor, dtype)


def _product(eqn: Equation, operand: int, view: View, values: list[Any], loops: tuple[Loop, ...]) -> Found:
    x = values[1 - operand]
    (left_c, right_c), (left_b, right_b) = eqn.params["dimension_numbers"]
    (own_c, x_c), (own_b, x_b) = ((left_c, right_c), (left_b, right_b))
    if operand == 1:
        (own_c, x_c), (own_b, x_b) = ((right_c, left_c), (right_b, left_b))
    axes = view.axes
    own_free = [k for k in range(len(axes)) if k not in own_c and k not in own_b]
    x_free = [k for k in range(x.ndim) if k not in x_c and k not in x_b]
    labels: list[Label] = [("t", 0)] * x.ndim
    for mine, theirs in zip(own_c, x_c, strict=True):
        labels[theirs] = ("c", axes[mine])
    for mine, theirs in zip(own_b, x_b, strict=True):
        labels[theirs] = ("b", axes[mine])
    for k, theirs in enumerate(x_free):
        labels[theirs] = ("t", k)
    batch: list[Label] = [("b", axes[k]) for k in own_b]
    uses: list[Label] = [("t", k) for k in range(len(x_free))]
    kept: list[Label] = [("o", axes[k]) for k in own_free]
    out = batch + (kept + uses if operand == 0 else uses + kept)
    return _found("product", eqn, view, x, labels, out, loops, view.scale)


def _convolution(eqn: Equation, view: View, values: list[Any], loops: tuple[Loop, ...]) -> Found | None:
    given, (x, w) = eqn.params, values
    if given["feature_group_count"] != 1 or given["batch_group_count"] != 1:
        return None
    numbers, axes = given["dimension_numbers"], view.axes
    out_axis, in_axis, *window = numbers.rhs_spec
    feature = numbers.out_spec[1]
    patches = lax.conv_general_dilated_patches(
        x, [w.shape[k] for k in window], given["window_strides"], given["padding"], given["lhs_dilation"],
        given["rhs_dilation"], dimension_numbers=numbers, precision=lax.Precision.HIGHEST,
    )  # fmt: skip
    record = jnp.moveaxis(patches, feature, -1)
    record = record.reshape(*record.shape[:-1], w.shape[in_axis], *(w.shape[k] for k in window))
    uses = patches.ndim - 1
    labels: list[Label] = [*(("t", k) for k in range(uses)), *(("c", axes[k]) for k in (in_axis, *window))]
    rest = iter(range(uses))
    out: list[Label] = [("o", axes[out_axis]) if k == feature else ("t", next(rest)) for k in range(patches.ndim)]
    return _found("convolution", eqn, view, record, labels, out, loops, view.scale)


def _rows(eqn: Equation, view: View, values: list[Any], loops: tuple[Loop, ...]) -> Found | None:
    """Whole rows of a table along its first axis, as an embedding takes them."""
    shape, out = np.shape(values[0]), eqn.outvars[0].aval
    if view.axes != tuple(range(len(shape))) or len(shape) < 2 or eqn.params["slice_sizes"] != (1, *shape[1:]):
        return None
    inside = None
    if eqn.primitive.name == "dynamic_slice":
        index = jnp.asarray(values[1])
        labels: list[Label] = [("t", 0), *(("o", k) for k in range(1, len(shape)))]
    else:
        numbers = eqn.params["dimension_numbers"]
        offsets, collapsed = numbers.offset_dims, numbers.collapsed_slice_dims
        clips = "CLIP" in str(eqn.params["mode"]).upper()
        if collapsed not in ((), (0,)) or 0 not in numbers.start_index_map or numbers.operand_batching_dims:
            return None
        if not clips and numbers.start_index_map != (0,):
            return None
        index = values[1][..., numbers.start_index_map.index(0)]
        rest = iter(range(len(out.shape)))
        labels = [("t", 0) if k in offsets else ("t", next(rest)) for k in range(len(out.shape))]
        for k, axis in zip(offsets, [k for k in range(len(shape)) if k not in collapsed], strict=True):
            labels[k] = ("o", axis) if axis else ("t", next(rest))
        if not clips:  # a row out of range is a constant, or with bounds promised has no derivative in reverse
            kept = [k for k in range(len(out.shape)) if k not in offsets]
            inside = lax.broadcast_in_dim(_within(index, shape[0]), out.shape, kept)
    index = _row_numbers(index, shape[0]).reshape(1, -1)
    found = _found("rows", eqn, view, index, None, labels, loops, view.scale, table=shape[0])
    return dataclasses.replace(found, inside=inside)


def _row_numbers(index: Array, size: int) -> Array:
    """The numbers of the rows that are read: 0..size - 1. Compared in the index' own dtype, which may hold less."""
    most = jnp.asarray(min(size - 1, jnp.iinfo(index.dtype).max), index.dtype)
    return jnp.clip(index, jnp.zeros((), index.dtype), most).astype(jnp.int32)


def _within(index: Array, size: int) -> Array:
    """Whether a row number is one of the table's."""
    most = jnp.asarray(min(size - 1, jnp.iinfo(index.dtype).max), index.dtype)
    return (index >= jnp.zeros((), index.dtype)) & (index <= most)


def _found(
    kind: str,
    eqn: Equation,
    view: View,
    record: Array,
    labels: list[Label] | None,
    out: list[Label],
    loops: tuple[Loop, ...],
    gain: tuple[Any, ...],
    table: int = 0,
) -> Found:
    """Bring the record to (batch, uses, summed) and say how the delta gets to (batch, uses, kept)."""
    result = eqn.outvars[0].aval
    if not jnp.issubdtype(record.dtype, jnp.inexact) and labels is not None:  # counts and flags that meet a weight
        record = record.astype(wide(real_dtype(result.dtype)))
    if labels is None:  # row numbers are (1, uses) already
        batch, summed, size = [], [0], table
    else:
        order = sorted(range(len(labels)), key=lambda k: _place(labels[k]))
        shape = [math.prod(record.shape[k] for k in order if labels[k][0] == word) for word in "btc"]
        record = record.transpose(order).reshape(shape)
        batch, summed = ([axis for word, axis in labels if word == letter] for letter in "bc")
        size = shape[-1]
    kept = [axis for word, axis in out if word == "o"]
    order = tuple(sorted(range(len(out)), key=lambda k: _place(out[k])))
    batches, uses, rest = (math.prod(result.shape[k] for k in order if out[k][0] == word) for word in "bto")
    batch, summed, kept = (tuple(sorted(k for k in axes if k is not None)) for axes in (batch, summed, kept))
    record_first = summed <= kept
    first, second = (summed, kept) if record_first else (kept, summed)
    stacked = {step[1] for step in view.chain if step[0] == "loop"}
    around = tuple((length, place in stacked) for length, place in loops)
    kinds = [record.dtype, *(jnp.result_type(factor) for factor in gain)]
    parts = 2 if kind != "rows" and is_complex(result.dtype) and any(map(is_complex, kinds)) else 1
    site = Site(
        kind, view.leaf, view.chain, batch, first, second, record_first, tuple(result.shape), result.dtype, around,
        order, (batches, uses, rest), size, parts,
    )  # fmt: skip
    return Found(site, record, gain)


def _place(label: Label) -> tuple[int, int]:
    word, axis = label
    return "btco".index(word), -1 if axis is None else axis
