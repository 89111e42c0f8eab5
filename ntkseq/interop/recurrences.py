"""What does a recurrent module of another library draw? One rule per class: its cell with every scale at its width."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ntkseq import _display, cells
from ntkseq._types import AnyArray, PyTree
from ntkseq.interop.initialisers import Draw, check, of_haiku, of_jax
from ntkseq.interop.stacks import activation, haiku_default

DIVIDED = "the input weights have variance 1/hidden size: at infinite width the input would vanish"


@dataclasses.dataclass(frozen=True, eq=False)
class Recurrence:
    """A recurrent layer of another library in the terms of this one.

    Attributes:
        cell: `cells.Elman`, `cells.GRU` or `cells.LSTM`, with the scales at this width.
        width, features: n and d.
        biases: how many trained vectors are added where the cell has one; 0: none. None: not the same for all gates.
        assumed: what was read from where, one sentence each.
        degenerate: why the scales hold at this width only; empty if they do not depend on it.
    """

    cell: Any
    width: int
    features: int
    biases: int | None = 1
    assumed: tuple[str, ...] = ()
    degenerate: str = ""

    __repr__ = _display.record


if TYPE_CHECKING:
    Rule: TypeAlias = Callable[[Any, int], Recurrence]
else:
    Rule = Any  # junk is refused by our own line


def _sigma(draw: Draw, fan: int) -> float:
    return (draw.variance * fan) ** 0.5


def _law(draw: Draw) -> str:
    return draw.law if draw.law in ("truncated", "uniform") else "normal"


def _made(kind: str, d: int, h: int, W: Draw, U: Draw, b: Draw, **own: Any) -> Recurrence:
    """The cell from the laws of its weights; `own` goes to the cell or, where it is a field of it, to the result."""
    of_result = {k: own.pop(k) for k in ("biases", "degenerate") if k in own}
    scales: dict[str, Any] = {"sigma_w": _sigma(W, h), "sigma_u": _sigma(U, d), "sigma_b": _sigma(b, 1)}
    said = [f"recurrent weights: {_words(W, h)}", f"input weights: {_words(U, d)}", f"biases: {_words(b, 1)}"]
    if W.law == "orthogonal":
        said.append("orthogonal recurrent weights, one by one or jointly, have the kernel of Gaussian ones (measured)")
    if kind == "elman":
        cell = cells.Elman(own.pop("activation"), **scales)
        if _law(U) != "normal":
            said.append(
                "input weights taken as Gaussian: their own law changes the kernel by a few per cent for few features"
            )
    else:
        cell = {"gru": cells.GRU, "lstm": cells.LSTM}[kind](**scales, law=_law(U), **own)
    return Recurrence(cell, h, d, assumed=tuple(said), **of_result)


def _words(draw: Draw, fan: int) -> str:
    if draw.law == "zero":
        return "zero at the start"
    times = f" times the fan-in {fan}" if fan > 1 else ""
    seen = ", measured on draws" if draw.measured else ""
    return f"{draw.law}, variance{times} {draw.variance * fan:.4g}{seen}"


def _flax_activations(library: str, kind: str, cell: PyTree) -> dict[str, Any]:
    """The activation of a simple cell of flax; of a gated one nothing, if it has the usual ones."""
    if kind != "elman":
        activation(type(cell).__name__, cell.gate_fn, "sigmoid")
        activation(type(cell).__name__, cell.activation_fn, "tanh")
        return {}
    if cell.residual:
        raise ValueError(
            "SimpleCell(residual=True) adds the old state inside its activation: its pre-activations are not Gaussian "
            "at infinite width, and no kernel here is its limit. Its own kernel: empirical.NTK; residual units: "
            "kernels.LeakyRecurrent."
        )
    return {"activation": activation(f"{library}.SimpleCell", cell.activation_fn)}


def _starts_at_zero(library: str, cell: PyTree, h: int) -> None:
    if cell.carry_init is not None and of_jax(cell.carry_init, (1, h)).law != "zero":
        raise ValueError(
            f"{library}.{type(cell).__name__} must start in the state 0, as its class does; got another carry_init. "
            "Its own kernel: empirical.NTK."
        )


# ------------------------------------------------------------------------------------------------------------ flax.nnx


def _nnx(kind: str, joint: int, inputs: tuple[str, ...], past: tuple[str, ...], cell: PyTree, d: int) -> Recurrence:
    """nnx holds no initialisers: those of its signature, checked against what was drawn."""
    h = cell.hidden_features
    _starts_at_zero("nnx", cell, h)
    W, U, b = Draw(1 / (joint * h), "orthogonal"), Draw(1 / d, "truncated"), Draw(0.0, "zero")
    own = _flax_activations("nnx", kind, cell) | ({"reset": "after"} if kind == "gru" else {})
    for name in inputs:
        check(f"{name} of nnx.{type(cell).__name__}", getattr(cell, name).kernel[...], U)
    for name in past:
        check(f"{name} of nnx.{type(cell).__name__}", getattr(cell, name).kernel[...], W)
    for name in (*inputs, *past):
        if getattr(cell, name).bias is not None:
            check(f"the bias of {name} of nnx.{type(cell).__name__}", getattr(cell, name).bias[...], b)
    return _made(kind, d, h, W, U, b, **own)


# ---------------------------------------------------------------------------------------------------------- flax.linen


def _linen(kind: str, cell: PyTree, d: int) -> Recurrence:
    h = cell.features
    _starts_at_zero("linen", cell, h)
    W, U = of_jax(cell.recurrent_kernel_init, (h, h)), of_jax(cell.kernel_init, (d, h))
    b = of_jax(cell.bias_init, (1, h))
    own = _flax_activations("linen", kind, cell)
    if kind == "gru":
        own |= {"reset": "after", "sigma_c": _sigma(b, 1)}
    return _made(kind, d, h, W, U, b, **own)


# ------------------------------------------------------------------------------------------------------------- equinox


def _equinox(kind: str, cell: PyTree, d: int) -> Recurrence:
    """equinox holds no initialisers: all of its cells draw uniformly up to 1/sqrt(hidden size)."""
    h = cell.hidden_size
    draw = Draw(1 / (3 * h), "uniform")
    bias = draw if cell.use_bias else Draw(0.0, "zero")
    for name in ("weight_ih", "weight_hh", "bias", *(("bias_n",) if kind == "gru" else ())):
        if getattr(cell, name) is not None:
            check(f"{name} of equinox.nn.{type(cell).__name__}", getattr(cell, name), draw)
    inner = _sigma(bias, 1) if cell.use_bias else None
    own = {"reset": "after", "sigma_c": inner} if kind == "gru" else {}
    return _made(kind, d, h, draw, draw, bias, biases=int(cell.use_bias), degenerate=DIVIDED, **own)


# --------------------------------------------------------------------------------------------------------------- haiku


def _haiku(kind: str, cell: PyTree, d: int) -> Recurrence:
    h = cell.hidden_size
    if kind == "gru":
        W, U = of_haiku(cell.w_h_init, (h, 3 * h)), of_haiku(cell.w_i_init, (d, 3 * h))
        return _made(kind, d, h, W, U, of_haiku(cell.b_init, (1, 3 * h)), reset="before")
    zero = Draw(0.0, "zero")
    if kind == "lstm":  # one matrix for [x, h], by hk.Linear
        both = of_haiku(haiku_default(d + h), (d + h, 4 * h))
        why = (
            "one matrix for [x, h] is drawn with variance 1/(d + hidden size): at infinite width the input would vanish"
        )
        return _made(kind, d, h, both, both, zero, forget=1.0, degenerate=why)
    W, U = of_haiku(haiku_default(h), (h, h)), of_haiku(haiku_default(d), (d, h))
    return _made(kind, d, h, W, U, zero, activation="relu", biases=2 if cell.double_bias else 1)


# -------------------------------------------------------------------------------------- keras and torch: arrays only


def _arrays(weights: PyTree) -> list[AnyArray]:
    return [np.asarray(w) for w in (weights.values() if hasattr(weights, "values") else weights)]


def _torch(kind: str, weights: PyTree, d: int) -> Recurrence:
    """weight_ih (gates h, d), weight_hh (gates h, h), then the biases, if there are some."""
    arrays = _arrays(weights)
    _expect(f"torch {kind}", arrays, (2, 4), len(arrays) > 1 and arrays[0].shape[-1] == d)
    h = arrays[1].shape[1]
    draw = Draw(1 / (3 * h), "uniform")
    for at, array in enumerate(arrays):
        check(f"array {at} of torch.nn.{kind.upper()}", array, draw)
    count = len(arrays) - 2
    bias = Draw(draw.variance * count, "uniform") if count else Draw(0.0, "zero")
    own: dict[str, Any] = {"degenerate": DIVIDED, "biases": count}
    if kind == "gru":  # its second bias stands inside the product for g, beside the first for z and r
        made = _made(kind, d, h, draw, draw, bias, reset="after", **{**own, "biases": None if count else 0})
        one, two = _sigma(draw, 1) if count else 0.0, _sigma(bias, 1)
        return dataclasses.replace(
            made, cell=dataclasses.replace(made.cell, sigma_b=(two, two, one), sigma_c=one if count else None)
        )
    return _made({"rnn": "elman"}.get(kind, kind), d, h, draw, draw, bias, **own, **_tanh(kind == "rnn"))


def _tanh(elman: bool) -> dict[str, Any]:
    return {"activation": "tanh"} if elman else {}


def _keras(kind: str, gates: int, weights: PyTree, d: int) -> Recurrence:
    """kernel (d, gates h), recurrent_kernel (h, gates h) and the bias."""
    arrays = _arrays(weights)
    _expect(f"keras {kind}", arrays, (2, 3), arrays[0].shape[0] == d)
    h = arrays[1].shape[0]
    W, U = Draw(1 / (gates * h), "orthogonal"), Draw(2 / (d + gates * h), "uniform")
    check("kernel", arrays[0], U)
    check("recurrent_kernel", arrays[1], W)
    why = "the input weights have variance 2/(d + gates hidden size): at infinite width the input would vanish"
    own: dict[str, Any] = {"degenerate": why, "biases": len(arrays) - 2, **_tanh(kind == "elman")}
    if kind == "lstm":
        own["forget"] = 1.0 if len(arrays) == 3 else 0.0  # its bias of the forget gate begins at 1
    if kind == "gru":
        both = len(arrays) == 3
        own |= {"reset": "after", "biases": None if both else 0, "sigma_c": 0.0 if both else None}
    return _made(kind, d, h, W, U, Draw(0.0, "zero"), **own)


def _expect(what: str, arrays: Sequence[AnyArray], counts: tuple[int, ...], fits: bool) -> None:
    if len(arrays) not in counts or not fits:
        raise ValueError(
            f"the weights of a layer of {what} must be {' or '.join(map(str, counts))} arrays in the order of the "
            f"library, the first for the features of x; got shapes {[np.shape(a) for a in arrays]}. Pass one layer's."
        )


RULES: dict[str, Rule] = {
    "nnx.GRUCell": partial(_nnx, "gru", 3, ("dense_i",), ("dense_h",)),
    "nnx.LSTMCell": partial(_nnx, "lstm", 1, ("ii", "if_", "ig", "io"), ("hi", "hf", "hg", "ho")),
    "nnx.OptimizedLSTMCell": partial(_nnx, "lstm", 4, ("dense_i",), ("dense_h",)),
    "nnx.SimpleCell": partial(_nnx, "elman", 1, ("dense_i",), ("dense_h",)),
    "linen.GRUCell": partial(_linen, "gru"),
    "linen.LSTMCell": partial(_linen, "lstm"),
    "linen.OptimizedLSTMCell": partial(_linen, "lstm"),
    "linen.SimpleCell": partial(_linen, "elman"),
    "equinox.GRUCell": partial(_equinox, "gru"),
    "equinox.LSTMCell": partial(_equinox, "lstm"),
    "haiku.GRU": partial(_haiku, "gru"),
    "haiku.LSTM": partial(_haiku, "lstm"),
    "haiku.VanillaRNN": partial(_haiku, "elman"),
    "torch.RNN": partial(_torch, "rnn"),
    "torch.GRU": partial(_torch, "gru"),
    "torch.LSTM": partial(_torch, "lstm"),
    "keras.SimpleRNN": partial(_keras, "elman", 1),
    "keras.GRU": partial(_keras, "gru", 3),
    "keras.LSTM": partial(_keras, "lstm", 4),
}
"""By the name of the library and the class."""
