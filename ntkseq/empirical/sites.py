"""Where does a parameter meet data linearly? Matrix products, convolutions, rows taken from a table."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

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

    @property
    def uses(self) -> int:
        """How often an example uses the leaf here: T."""
        return math.prod(n for n, stacked in self.loops if not stacked) * self.sizes[1]

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
    """A site, what it records, and the numbers that its tap is multiplied by."""

    site: Site
    record: Array
    gain: tuple[Any, ...]


def find(equation: Equation, operand: int, view: View, values: list[Any], loops: tuple[Loop, ...]) -> Found | None:
    """The site that an equation is for the view in its operand with that index; None if it is none."""
    name = equation.primitive.name
    if name == "dot_general":
        return _product(equation, operand, view, values, loops)
    if name == "conv_general_dilated" and operand == 1:
        return _convolution(equation, view, values, loops)
    if name in ("gather", "dynamic_slice") and operand == 0:
        return _rows(equation, view, values, loops)
    return None


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
    gain = view.scale
    if eqn.primitive.name == "dynamic_slice":
        index = jnp.asarray(values[1])
        labels: list[Label] = [("t", 0), *(("o", k) for k in range(1, len(shape)))]
    else:
        numbers = eqn.params["dimension_numbers"]
        offsets, collapsed = numbers.offset_dims, numbers.collapsed_slice_dims
        fills = "FILL" in str(eqn.params["mode"]).upper()
        if collapsed not in ((), (0,)) or 0 not in numbers.start_index_map or numbers.operand_batching_dims:
            return None
        if fills and numbers.start_index_map != (0,):
            return None
        index = values[1][..., numbers.start_index_map.index(0)]
        rest = iter(range(len(out.shape)))
        labels = [("t", 0) if k in offsets else ("t", next(rest)) for k in range(len(out.shape))]
        for k, axis in zip(offsets, [k for k in range(len(shape)) if k not in collapsed], strict=True):
            labels[k] = ("o", axis) if axis else ("t", next(rest))
        if fills:  # rows out of range are a constant, which no parameter moves
            inside = ((index >= 0) & (index < shape[0])).astype(out.dtype)
            kept = [k for k in range(len(out.shape)) if k not in offsets]
            gain = (*gain, lax.broadcast_in_dim(inside, out.shape, kept))
    index = jnp.clip(index, 0, shape[0] - 1).astype(jnp.int32).reshape(1, -1)
    return _found("rows", eqn, view, index, None, labels, loops, gain, table=shape[0])


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
    site = Site(
        kind, view.leaf, view.chain, batch, first, second, record_first, tuple(result.shape), result.dtype, around,
        order, (batches, uses, rest), size,
    )  # fmt: skip
    return Found(site, record, gain)


def _place(label: Label) -> tuple[int, int]:
    word, axis = label
    return "btco".index(word), -1 if axis is None else axis
