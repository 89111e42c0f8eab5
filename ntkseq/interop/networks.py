"""What is a stack of layers of another library as blocks? One rule per class; recurrent cells have theirs elsewhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq import _display, blocks, cells
from ntkseq._types import PyTree
from ntkseq.interop.initialisers import Draw, check, of_haiku, of_jax
from ntkseq.interop.layers import IDENTITY, Layer
from ntkseq.interop.recurrences import Recurrence, Rule
from ntkseq.interop.stacks import LINEAR, activation
from ntkseq.kernels import particle_batches, passes


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """A stack of layers in the terms of `kernels.Serial`.

    Attributes:
        blocks: of which each layer, but the read-out, is one.
        widths: n behind every layer that maps to one.
        features: d.
        sigma_r: of the read-out; 1 where there is none.
        read_out: whether the last layer is linear.
        read: which token the output reads, in the order of the sequence.
        factors: of each block, by the letter of a trained group, what its kernel is multiplied by where the arrays of
            the module are trained: the fan-in of weights, how many vectors stand for one of biases.
        last: n in front of the read-out.
        mixed: why the factors of a layer are not known, with the layer; empty otherwise.
        assumed: what was read from where, with the layer, one sentence each.
        degenerate: why the scales hold at these widths only; empty otherwise.
    """

    blocks: tuple[blocks.Block, ...]
    widths: tuple[int, ...]
    features: int
    sigma_r: float
    read_out: bool
    read: str
    factors: tuple[dict[str, int], ...]
    last: int
    mixed: str
    assumed: tuple[str, ...]
    degenerate: str

    @property
    def width(self) -> int:
        return min(self.widths)


class Part(NamedTuple):
    """A layer as a block, None if it does nothing, and the coordinates behind it."""

    block: blocks.Block | None
    width: int
    said: tuple[str, ...] = ()
    degenerate: str = ""
    factors: dict[str, int] = {}  # noqa: RUF012  # never changed
    mixed: str = ""


def network(stack: list[Layer], d: int, read: str, rule: Callable[[Layer], Rule | None]) -> Network:
    """The stack as blocks.

    Args:
        stack: its layers.
        d: features.
        read: which states the output reads, in the order of the last layer.
        rule: of a recurrent cell.

    Raises:
        ValueError: a layer without a rule, or out of place, with its number; layers that do not fit each other.
    """
    width, turned, parts, places = d, False, [], []
    widths: list[int] = []
    said, degenerate, sigma_r, read_out = [], [], 1.0, False
    factors, mixed = [], []
    end = max((at for at, layer in enumerate(stack, 1) if layer.name not in IDENTITY), default=0)
    for at, layer in enumerate(stack, 1):
        place = f"layer {at}, {layer.label}"
        try:
            _fits(layer, width, last=at == len(stack))
            if widths and layer.name in LINEAR and at == end:
                square = LINEAR[layer.name](layer.module, width)[0].variance * width
                sigma_r, read_out = square**0.5, True
                said.append(f"{place}: read-out, variance times the fan-in {square:.4g}; its bias is left out")
                continue
            part = _part(layer, width, not widths, turned, rule(layer))
            if part.width < 1:
                raise ValueError(f"must give one coordinate at least; got {part.width}.")
        except ValueError as error:
            raise ValueError(f"module, {place}: {error}") from None
        said += [f"{place}: {line}" for line in part.said]
        if part.degenerate:
            degenerate.append(f"{place}: {part.degenerate}")
        if part.block is not None:
            parts.append(part.block)
            places.append(place)
            factors.append(part.factors)
            mixed += [f"{place}: {part.mixed}"] if part.mixed else []
        if isinstance(part.block, (blocks.Linear, blocks.Recurrent, blocks.Attention)):
            widths.append(part.width)
            width = part.width
        turned = turned != (layer.reverse and not layer.keep_order)
    _ordered(parts, places)
    if not read_out:
        said.append("no read-out: the mean over the coordinates behind the last layer, E<h, h'>/n")
    if any(layer.reverse or layer.other is not None for layer in stack[1:]):
        said.append(
            "every layer is taken to know the lengths of the sequences; linen's Sequential, and nnx's in flax 0.12.8, "
            "give seq_lengths to their first layer alone"
        )
    read = {"last": "first"}.get(read, read) if turned else read
    given = (tuple(parts), tuple(widths), d, sigma_r, read_out, read, tuple(factors), width, "; ".join(mixed))
    return Network(*given, assumed=tuple(said), degenerate="; ".join(degenerate))


def _fits(layer: Layer, width: int, last: bool) -> None:
    for field in ("in_features", "input_size", "num_features", "query_size"):
        given = getattr(layer.module, field, None)
        if given not in (None, width):
            raise ValueError(f"must read the {width} coordinates that stand before it; got {field}={given}.")
    if layer.time_major:
        raise ValueError(
            "must have time_major=False in a stack: other layers would take the sequences for time. Pass "
            "sequences (n, t, d)."
        )
    if layer.return_carry and not last:
        raise ValueError("must have return_carry=False in a stack, which hands the carry on as the next layer's input.")


def _part(layer: Layer, width: int, first: bool, turned: bool, rule: Rule | None) -> Part:
    if layer.name in IDENTITY:
        return Part(None, width, ("left out, as in inference",))
    if layer.name in LINEAR:
        return _linear(layer, width, first)
    if layer.name in NORMS:
        eps, own = NORMS[layer.name](layer.module, width)
        return Part(blocks.LayerNorm(eps), width, ("its scale and its bias are held at 1 and 0",) if own else ())
    if layer.name in ATTENTIONS:
        part = ATTENTIONS[layer.name](layer.module, width)
        if first and part.width == width:
            raise ValueError(
                f"gives {width} coordinates, as many as x has features, which do not grow with the width. Put a linear "
                "layer before it."
            )
        return part
    if rule is not None:
        return _recurrent(layer, width, first, turned, rule)
    if not callable(layer.module) or not hasattr(layer.module, "__name__"):
        known = ", ".join(sorted([*LINEAR, *NORMS, *ATTENTIONS, *IDENTITY]))
        raise ValueError(
            f"has no rule; beside recurrent cells and activations {known} have one. Describe the network with "
            "kernels.Serial, or take its own kernel at its parameters: empirical.NTK."
        )
    if layer.label == "<lambda>":
        raise ValueError(
            "is a function of your own, whose rule is not known. Which step is read out is said by read=; for others "
            "describe the network with kernels.Serial, or take its own kernel: empirical.NTK."
        )
    label = activation("a stack", layer.module)
    near = (
        ("taken as the exact one: jax.nn.gelu is by default an approximation within 5e-4",) if label == "gelu" else ()
    )
    return Part(None if label == "identity" else blocks.Nonlinearity(label), width, near)


def _ordered(parts: list[blocks.Block], places: list[str]) -> None:
    """Raise, with the name of the layer, where no kernel knows the blocks in this order."""
    sampled = particle_batches.needed(tuple(parts))
    for count in range(1, len(parts) + 1):
        try:
            passes.check(tuple(parts[:count]), raw=False, sampled=sampled)
        except ValueError as error:
            if count < len(parts) and "no block maps" in str(error):
                continue
            raise ValueError(f"module, {places[count - 1]}: {error}") from None


def _linear(layer: Layer, fan: int, first: bool) -> Part:
    weights, bias, out = LINEAR[layer.name](layer.module, fan)
    said = [f"squared sigma_w {weights.variance * fan:.4g}, sigma_b {bias.variance:.4g}"]
    if first and weights.law in ("truncated", "uniform"):
        said.append("weights taken as Gaussian: their own law shows for few features")
    factors = {"W": fan} | ({} if bias.law == "none" else {"b": 1})
    return Part(blocks.Linear((weights.variance * fan) ** 0.5, bias.variance**0.5), out, tuple(said), factors=factors)


def _recurrent(layer: Layer, width: int, first: bool, turned: bool, rule: Rule) -> Part:
    found: Recurrence = rule(layer.module, width)
    said, degenerate, given = found.assumed, found.degenerate, factors_of(found)
    if not first:  # of many coordinates only variances count, and they grow in number with the width
        said, degenerate = tuple(line for line in said if "taken as Gaussian" not in line), ""
    if layer.other is None:
        way = "reversed" if layer.reverse != turned else "forward"
        return Part(blocks.Recurrent(found.cell, way), found.width, said, degenerate, *given)
    other: Recurrence | None = rule(layer.other, width) if type(layer.other) is type(layer.module) else None
    if other is None or found.width != other.width or _display.line(found.cell) != _display.line(other.cell):
        raise ValueError(
            "must have cells of one kind, size and initialiser in both directions. Describe others with "
            "kernels.Serial, or take the kernel at its parameters: empirical.NTK."
        )
    said = (*said, "both directions, half of the coordinates each")
    return Part(blocks.Recurrent(found.cell, "both"), 2 * found.width, said, degenerate, *given)


def factors_of(layer: Recurrence) -> tuple[dict[str, int], str]:
    """The factors of a recurrent layer as of `Network`, and why they are not known; empty where they are."""
    if not isinstance(layer.cell, (cells.Elman, cells.GRU, cells.LSTM)):
        return {}, f"no factors are known for a {type(layer.cell).__name__}"
    if layer.biases is None:
        return {}, "z and r have two trained biases and g one, so that no factor is that of all"
    return {"W": layer.width, "U": layer.features} | ({"b": layer.biases} if layer.biases else {}), ""


# -------------------------------------------------------------------------------------------------- layer norms


def _axis_and_values(axis: Any, scale: Any, bias: Any) -> bool:
    """Raise unless it is over the last axis and starts at 1 and 0; whether it has a scale or a bias."""
    if axis not in (-1, (-1,), [-1]):
        raise ValueError(f"must be over the last axis; got {axis}. Its own kernel: empirical.NTK.")
    for label, values, wanted in (("scale", scale, 1), ("bias", bias, 0)):
        if values is not None and not np.all(np.asarray(values) == wanted):
            raise ValueError(f"must start with {label} {wanted}; got others. Its own kernel: empirical.NTK.")
    return scale is not None or bias is not None


def _nnx_norm(norm: PyTree, width: int) -> tuple[float, bool]:
    scale, bias = (None if one is None else one[...] for one in (norm.scale, norm.bias))
    return norm.epsilon, _axis_and_values(norm.reduction_axes, scale, bias)


def _linen_norm(norm: PyTree, width: int) -> tuple[float, bool]:
    drawn = lambda init: init(jax.random.key(0), (width,), jnp.float32)  # noqa: E731
    scale = drawn(norm.scale_init) if norm.use_scale else None
    return norm.epsilon, _axis_and_values(norm.reduction_axes, scale, drawn(norm.bias_init) if norm.use_bias else None)


def _equinox_norm(norm: PyTree, width: int) -> tuple[float, bool]:
    if norm.shape != (width,):
        raise ValueError(f"must be over the {width} coordinates of a token; got shape {norm.shape}.")
    return norm.eps, _axis_and_values(-1, norm.weight, norm.bias)


def _haiku_norm(norm: PyTree, width: int) -> tuple[float, bool]:
    drawn = lambda init: init((width,), jnp.float32)  # noqa: E731
    scale = drawn(norm.scale_init) if norm.create_scale else None
    return norm.eps, _axis_and_values(norm.axis, scale, drawn(norm.offset_init) if norm.create_offset else None)


NORMS: dict[str, Callable[[Any, int], tuple[float, bool]]] = {
    "nnx.LayerNorm": _nnx_norm,
    "linen.LayerNorm": _linen_norm,
    "equinox.LayerNorm": _equinox_norm,
    "haiku.LayerNorm": _haiku_norm,
}
"""(layer, width) -> its eps, and whether it has a scale or a bias."""


# ---------------------------------------------------------------------------------------------------- attention


def _attention(
    heads: int,
    d_k: int,
    out: int,
    squares: tuple[float, float, float, float],
    bias: float,
    dropout: float,
    biased: bool,
) -> Part:
    """Self-attention, from the variances of Q, K, V, O times their fan-ins and that of the output's bias.

    biased: whether queries, keys and values have biases, which start at 0.
    """
    q, k, v, o = squares
    said = [
        f"squared sigma_qk {q * k:.4g}, sigma_ov {v * o:.4g}, sigma_b {bias:.4g}; scores over sqrt(d_k)",
        f"{heads} heads of {d_k} coordinates taken for many of many: while either number stays, no width meets it",
    ]
    if biased:
        said.append("biases of queries, keys and values start at 0 and are held there: training them plays no role")
    if dropout:
        said.append("its dropout is left out, as in inference")
    block = blocks.Attention((q * k) ** 0.5, (v * o) ** 0.5, bias**0.5, scaling="root")
    mixed = "its kernel takes queries with keys and values with outputs, whose arrays have factors of their own"
    return Part(block, out, tuple(said), mixed=mixed)


def _refuse(what: str) -> None:
    raise ValueError(f"has no rule with {what}. Take its own kernel at its parameters: empirical.NTK.")


def _is_dot_product(function: PyTree) -> bool:
    return getattr(function, "__name__", "") == "dot_product_attention"


def _usual(layer: PyTree) -> None:
    """Raise where attention of flax has an option that the rule does not know."""
    if layer.normalize_qk or layer.decode or not _is_dot_product(layer.attention_fn):
        _refuse("normalize_qk, decode or an attention_fn of its own")


def _nnx_attention(layer: PyTree, width: int) -> Part:
    arrays = (layer.query, layer.key, layer.value, layer.out)
    fans, inner = (width, width, width), int(np.prod(layer.out.kernel[...].shape[:2]))
    _usual(layer)
    if layer.num_kv_heads not in (None, layer.num_heads):
        _refuse("fewer heads of keys than of queries")
    for label, one, fan in zip(("query", "key", "value", "out"), arrays, (*fans, inner), strict=True):
        check(f"the kernel of {label}", one.kernel[...], Draw(1 / fan, "truncated"))
        if one.bias is not None:
            check(f"the bias of {label}", one.bias[...], Draw(0.0, "zero"))
    biased = any(one.bias is not None for one in arrays[:3])
    given = (layer.num_heads, layer.head_dim, layer.out_features, (1.0, 1.0, 1.0, 1.0), 0.0, layer.dropout_rate)
    return _attention(*given, biased=biased)


def _linen_attention(layer: PyTree, width: int) -> Part:
    inner, out = layer.qkv_features or width, layer.out_features or width
    _usual(layer)
    kernel = of_jax(layer.kernel_init, (width, inner)).variance * width
    last = of_jax(layer.out_kernel_init or layer.kernel_init, (inner, out)).variance * inner
    bias = 0.0
    if layer.use_bias:
        if of_jax(layer.bias_init, (1, inner)).law != "zero":
            _refuse("biases of queries, keys and values that do not start at zero")
        bias = of_jax(layer.out_bias_init or layer.bias_init, (1, out)).variance
    given = (layer.num_heads, inner // layer.num_heads, out, (kernel, kernel, kernel, last), bias, layer.dropout_rate)
    return _attention(*given, biased=layer.use_bias)


def _equinox_attention(layer: PyTree, width: int) -> Part:
    projections = (layer.query_proj, layer.key_proj, layer.value_proj, layer.output_proj)
    squares: list[float] = []
    if any(one.bias is not None for one in projections[:3]):
        _refuse("biases of queries, keys and values that do not start at zero")
    if not layer.key_size == layer.value_size == width:
        _refuse("keys or values of another size than queries")
    for one, label in zip(projections, ("query", "key", "value", "output"), strict=True):
        fan = one.weight.shape[1]
        check(f"the weight of {label}_proj", one.weight, Draw(1 / (3 * fan), "uniform"))
        squares.append(1 / 3)
    fan = layer.output_proj.weight.shape[1]
    bias = 0.0 if layer.output_proj.bias is None else 1 / (3 * fan)
    q, k, v, o = squares
    given = (layer.num_heads, layer.qk_size, layer.output_size, (q, k, v, o), bias, layer.dropout.p)
    return _attention(*given, biased=False)


def _haiku_attention(layer: PyTree, width: int) -> Part:
    keys, values = layer.num_heads * layer.key_size, layer.num_heads * layer.value_size
    at = lambda fan, out: of_haiku(layer.w_init, (fan, out)).variance * fan  # noqa: E731
    squares = (at(width, keys), at(width, keys), at(width, values), at(values, layer.model_size))
    drawn = getattr(layer, "b_init", None) if getattr(layer, "with_bias", True) else None
    if drawn is not None and of_haiku(drawn, (1, keys)).law != "zero":
        _refuse("biases that do not start at zero")
    biased = bool(getattr(layer, "with_bias", True))
    return _attention(layer.num_heads, layer.key_size, layer.model_size, squares, 0.0, 0.0, biased=biased)


ATTENTIONS: dict[str, Callable[[Any, int], Part]] = {
    "nnx.MultiHeadAttention": _nnx_attention,
    **dict.fromkeys(("linen.MultiHeadDotProductAttention", "linen.MultiHeadAttention"), _linen_attention),
    "equinox.MultiheadAttention": _equinox_attention,
    "haiku.MultiHeadAttention": _haiku_attention,
}
"""(layer, width) -> its part: self-attention, as a layer that gets nothing but the tokens computes it."""
