"""Which infinite-width kernel does *my* module have? Modules of flax, equinox, haiku; arrays of keras and torch."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq import _checks, cells, kernels
from ntkseq._notices import warn
from ntkseq._types import Inputs, PyTree
from ntkseq.interop.layers import IDENTITY, Layer, layers, made_by_haiku, of_type
from ntkseq.interop.layers import name as layer_name
from ntkseq.interop.limit_record import Limit
from ntkseq.interop.networks import ATTENTIONS, NORMS, network
from ntkseq.interop.recurrences import RULES, Recurrence, Rule
from ntkseq.interop.stacks import LINEAR, Stack, stack

__all__ = ["Limit", "Recurrence", "known", "limit_of", "register"]

_DISTRIBUTIONS = {"nnx": "flax", "linen": "flax", "haiku": "dm-haiku"}
_OWN: dict[type, Rule] = {}


def limit_of(
    module: PyTree,
    x: Inputs,
    *,
    name: str | None = None,
    read: str = "last",
    particles: int = 4096,
    batches: int = 8,
    seed: int = 0,
) -> Limit:
    """The infinite-width kernel of a module of another library, one layer or a stack of them, and what was assumed.

    It reads how the weights are drawn, not one draw of them: the initialisers where the module holds them (linen,
    haiku), else those of its class (nnx, equinox), against which the arrays are checked, so that a trained module or
    one with initialisers of your own is refused. `known()` names the classes.

    Where a library divides the variance of the input weights by the hidden size (equinox, torch, keras), a wider
    network sees less of its input, and the limit is a degenerate one. The kernel then has the scales of the module's
    own width, which its network meets there, and a warning says so.

    Args:
        module: a cell, an `RNN` of flax around one, or such a layer and a linear read-out, whose kernel is a
            `kernels.Recurrent` or `Gated`; linear layers with one activation between them, an MLP of equinox or haiku,
            for vectors: a `kernels.Dense`; other stacks, for sequences: a `kernels.Serial`. A stack is a `Sequential`,
            an `hk.DeepRNN` or a list, of recurrent layers in either or both directions, linear layers, activations,
            layer norms, self-attention and dropout, which is left out. haiku, whose modules live inside
            `hk.transform`: a function without arguments that makes it. torch and keras: the arrays of one layer, in
            the library's order, with `name`.
        x: sequences (n, t, d), for linear layers vectors (n, d), or a `jax.ShapeDtypeStruct`: only the number d of
            features counts.
        name: "torch.RNN", "torch.GRU", "torch.LSTM", "keras.SimpleRNN", "keras.GRU" or "keras.LSTM", for arrays.
        read: which states the output reads: "last", or "mean" or "sum" over the steps, in the order in which the last
            layer gives them.
        particles, batches, seed: of `kernels.Gated` and `kernels.Serial`, for GRU and LSTM.

    Returns:
        `Limit`: its `kernel` in NTK parametrisation; `standard()` for the weights as the module trains them.

    Raises:
        ImportError: a library that is needed is not installed.
        ValueError: a module with no known rule, one without a limit (SimpleCell with residual=True), weights that are
            not as the class draws them, x of another shape; of a stack with the number of the layer.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx  # doctest: +SKIP
        >>> from ntkseq.interop import limits
        >>> x = jnp.ones((3, 5, 2))  # n = 3 sequences, t = 5 steps, d = 2 features
        >>> cell = nnx.GRUCell(2, 64, rngs=nnx.Rngs(0))  # doctest: +SKIP
        >>> print(limits.limit_of(nnx.RNN(cell), x))  # doctest: +SKIP
        nnx.GRUCell (flax 0.12.8), n = 64, d = 2
          Gated, GRU: sigma_w = 0.5774, sigma_u = 1, sigma_b = 0
          - recurrent weights: orthogonal, variance times the fan-in 64 0.3333
          - input weights: truncated, variance times the fan-in 2 1
          - biases: zero at the start
          - orthogonal recurrent weights, one by one or jointly, have the kernel of Gaussian ones (measured)
          - no read-out: the mean over the states, E<h, h'>/n
    """
    options: dict[str, Any] = {"particles": particles, "batches": batches, "seed": seed}
    with jax.ensure_compile_time_eval():  # of a traced x the shape is enough
        return _limit(module, x, name, read, options)


def _limit(module: PyTree, x: Inputs, name: str | None, read: str, options: dict[str, Any]) -> Limit:
    if name is not None:
        _checks.choice("name", name, tuple(key for key in RULES if key.startswith(("torch.", "keras."))))
        return _recurrent(name, RULES[name](module, _features(x)), None, read, options)
    whole = made_by_haiku(module) if layer_name(module) == "builtins.function" else module
    stacked = list(layers(whole))
    idle, bare = (
        [one.name for one in stacked if one.name in IDENTITY],
        [one for one in stacked if one.name not in IDENTITY],
    )
    names = [one.name for one in bare]
    alone = bool(bare) and bare[0].plain and names[0] not in {*LINEAR, *NORMS, *ATTENTIONS}
    if names and names[0] in LINEAR and np.ndim(_like(x)) == 2:
        limit = _dense(names[0], stack([one.module for one in bare], names, _checks.matrix("x", _like(x)).shape[1]))
    elif not bare or (alone and (len(bare) == 1 or (len(bare) == 2 and names[1] in LINEAR))):
        limit = _one_layer(bare, names, x, read, options)
    else:
        return _network(stacked, _features(x), read, options)
    left_out = tuple(f"{one}: left out, as in inference" for one in idle)
    return dataclasses.replace(limit, assumed=(*limit.assumed, *left_out))


def _one_layer(bare: list[Layer], names: list[str], x: PyTree, read: str, options: dict[str, Any]) -> Limit:
    """The limit of one recurrent layer, with a linear read-out or without."""
    rule = _rule(bare[0]) if bare else None
    if rule is None:
        raise ValueError(
            f"module must be a layer with a known rule, {', '.join(known())}, or a stack of such layers; got "
            f"{_checks.shown(names[0]) if names else 'none'}. Give it a rule with limits.register, describe the "
            "network with kernels.Serial, or take its own kernel at its parameters: empirical.NTK."
        )
    d, cell = _features(x), bare[0].module
    for field in ("in_features", "input_size"):
        if getattr(cell, field, d) != d:
            raise ValueError(f"x must have the {getattr(cell, field)} features of {names[0]}; got {d}.")
    layer = rule(cell, d)
    if len(bare) == 2 and bare[0].return_carry:
        raise ValueError(
            f"module: {bare[0].wrapper} of {names[0]} must have return_carry=False before {names[1]}, which would be "
            "handed the carry beside the states."
        )
    square = LINEAR[names[1]](bare[1].module, layer.width)[0].variance * layer.width if len(bare) == 2 else None
    return _recurrent(names[0], layer, square, read, options)


def _rule(layer: Layer) -> Rule | None:
    return _OWN.get(type(layer.module)) or RULES.get(layer.name)


def _network(stacked: list[Layer], d: int, read: str, options: dict[str, Any]) -> Limit:
    """The limit of several layers."""
    _checks.choice("read", read, ("last", "mean", "sum"))
    found = network(stacked, d, read, _rule)
    shared: dict[str, Any] = {"sigma_r": found.sigma_r, "read": found.read, "train_readout": found.read_out}
    kernel = kernels.Serial(*found.blocks, **shared, **options)
    key = " > ".join(one.label for one in stacked)
    if found.degenerate:
        warn(f"{found.degenerate}. The kernel has the scales of these widths.", UserWarning)
    library = next((v for v in map(_version, (one.name for one in stacked)) if v), "")
    return Limit(key, library, found, kernel, found.read_out, found.assumed, found.degenerate)


def _like(x: PyTree) -> Any:
    return jnp.zeros(x.shape, x.dtype) if isinstance(x, jax.ShapeDtypeStruct) else x


def _features(x: PyTree) -> int:
    return _checks.sequences("x", _like(x))[0].shape[2]


def _recurrent(key: str, layer: Recurrence, square: float | None, read: str, options: dict[str, Any]) -> Limit:
    """The limit of a recurrent layer; square: that of sigma_r, None without a read-out."""
    if square is None:
        said = "no read-out: the mean over the states, E<h, h'>/n"
    else:
        said = f"read-out: variance times the fan-in {square:.4g}; its bias is left out"
    shared: dict[str, Any] = {"sigma_r": 1.0 if square is None else square**0.5, "read": read}
    if isinstance(layer.cell, cells.Elman):
        scales = {s: getattr(layer.cell, s) for s in ("sigma_w", "sigma_u", "sigma_b", "activation")}
        train = "WUb" if square is None else "WUbR"
        kernel: kernels.Kernel = kernels.Recurrent(**scales, train=train, **shared)
    else:
        kernel = kernels.Gated(layer.cell, train_readout=square is not None, **options, **shared)
    if layer.degenerate:
        warn(f"{key}: {layer.degenerate}. The kernel has the scales of width {layer.width}.", UserWarning)
    return Limit(key, _version(key), layer, kernel, square is not None, (*layer.assumed, said), layer.degenerate)


def _dense(key: str, layer: Stack) -> Limit:
    scales: dict[str, Any] = {s: getattr(layer, s) for s in ("sigma_w", "sigma_b", "sigma_r", "activation")}
    kernel = kernels.Dense(depth=len(layer.widths), **scales)
    return Limit(f"a stack of {key}", _version(key), layer, kernel, True, layer.assumed, layer.degenerate)


def register(kind: PyTree, rule: Rule) -> None:
    """Give a class of your own a rule, or another one to a known class: rule(module, d) -> `Recurrence`.

    Args:
        kind: the class; its subclasses may compute something else and need rules of their own.
        rule: reads the module and says its cell with every scale.

    Raises:
        ValueError: something that is no class, or a rule that cannot be called.

    Example:
        >>> import jax.numpy as jnp
        >>> from ntkseq.cells import GRU
        >>> from ntkseq.interop import limits
        >>> class MyCell:
        ...     hidden = 32
        >>> limits.register(MyCell, lambda cell, d: limits.Recurrence(GRU(sigma_w=0.5), cell.hidden, d))
        >>> limits.limit_of(MyCell(), jnp.ones((3, 5, 2))).kernel.cell.sigma_w
        0.5
    """
    _checks.kind("kind", kind, type, "Pass the class, not a module of it.")
    _OWN[kind] = _checks.function("rule", rule, "of a module and its number of features")


def known() -> list[str]:
    """The classes that `limit_of` has rules for.

    Example:
        >>> from ntkseq.interop import limits
        >>> "nnx.GRUCell" in limits.known()
        True
    """
    return sorted([*RULES, *map(of_type, _OWN)])


def _version(key: str) -> str:
    room = key.split(".")[0]
    package = _DISTRIBUTIONS.get(room, room)
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return ""
