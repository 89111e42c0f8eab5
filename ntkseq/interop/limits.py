"""Which infinite-width kernel does *my* module have? Modules of flax, equinox, haiku; arrays of keras and torch."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from ntkseq import _checks, cells, kernels
from ntkseq._notices import warn
from ntkseq._types import Inputs, PyTree
from ntkseq.interop.functions import missing
from ntkseq.interop.limit_record import Limit
from ntkseq.interop.recurrences import RULES, Recurrence, Rule
from ntkseq.interop.stacks import LINEAR, Stack, stack, unfolded

__all__ = ["Limit", "Recurrence", "known", "limit_of", "register"]

_DISTRIBUTIONS = {"nnx": "flax", "linen": "flax", "haiku": "dm-haiku"}
_ROOMS = {"flax.nnx": "nnx", "flax.linen": "linen", "equinox": "equinox", "haiku": "haiku"}
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
    """The infinite-width kernel of a module of another library, recurrent or fully connected, and what was assumed.

    It reads how the weights are drawn, not one draw of them: the initialisers where the module holds them (linen,
    haiku), else those of its class (nnx, equinox), against which the arrays are checked, so that a trained module or
    one with initialisers of your own is refused. `known()` names the classes.

    Where a library divides the variance of the input weights by the hidden size (equinox, torch, keras), a wider
    network sees less of its input, and the limit is a degenerate one. The kernel then has the scales of the module's
    own width, which its network meets there, and a warning says so.

    Args:
        module: a cell, an `RNN` of flax around one, a pair (cell, linear read-out), or an nnx or linen `Sequential` of
            the two; a `Sequential` or list of linear layers with one activation between them, an MLP of equinox or
            haiku, whose kernel is a `kernels.Dense`. haiku, whose modules live inside `hk.transform`: a function
            without arguments that makes it. torch and keras: the arrays of one layer, in the library's order, with
            `name`.
        x: sequences (n, t, d), for linear layers vectors (n, d), or a `jax.ShapeDtypeStruct`: only the number d of
            features counts.
        name: "torch.RNN", "torch.GRU", "torch.LSTM", "keras.SimpleRNN", "keras.GRU" or "keras.LSTM", for arrays.
        read: which states the output reads: "last", or "mean" or "sum" over the steps.
        particles, batches, seed: of `kernels.Gated`, for GRU and LSTM.

    Returns:
        `Limit`: its `kernel` in NTK parametrisation; `standard()` for the weights as the module trains them.

    Raises:
        ImportError: a library that is needed is not installed.
        ValueError: a module with no known rule, one without a limit (SimpleCell with residual=True), weights that are
            not as the class draws them, x of another shape.

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
    if name is not None:
        _checks.choice("name", name, tuple(key for key in RULES if key.startswith(("torch.", "keras."))))
        return _recurrent(name, RULES[name](module, _features(x)), None, read, options)
    layers = list(_parts(_made_by_haiku(module) if _name(module) == "builtins.function" else module))
    names = [_name(layer) for layer in layers]
    if names and names[0] in LINEAR:
        return _dense(names[0], stack(layers, names, _checks.matrix("x", _like(x)).shape[1]))
    if len(layers) not in (1, 2) or (len(layers) == 2 and names[1] not in LINEAR):
        raise ValueError(
            f"module must be a cell, a cell and a linear read-out ({', '.join(LINEAR)}), or a stack of linear layers; "
            f"got {', '.join(names) or 'none'}. Describe others with kernels.Serial, or take the kernel of a module at "
            "its parameters: empirical.NTK."
        )
    rule = _OWN.get(type(layers[0])) or RULES.get(names[0])
    if rule is None:
        raise ValueError(
            f"module must be one with a known rule, {', '.join(known())}; got {_checks.shown(names[0])}. Give it a "
            "rule with limits.register, or take its own kernel at its parameters: empirical.NTK."
        )
    d = _features(x)
    for field in ("in_features", "input_size"):
        if getattr(layers[0], field, d) != d:
            raise ValueError(f"x must have the {getattr(layers[0], field)} features of {names[0]}; got {d}.")
    layer = rule(layers[0], d)
    square = LINEAR[names[1]](layers[1], layer.width)[0].variance * layer.width if len(layers) == 2 else None
    return _recurrent(names[0], layer, square, read, options)


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
    return sorted([*RULES, *map(_of_type, _OWN)])


def _of_type(kind: type) -> str:
    room = next((short for path, short in _ROOMS.items() if kind.__module__.startswith(path)), kind.__module__)
    return f"{room}.{kind.__qualname__}"


def _name(module: PyTree) -> str:
    return _of_type(type(module))


def _parts(module: PyTree) -> Iterator[Any]:
    """The layers in order, wrappers taken off."""
    key = _name(module)
    if key in ("equinox.MLP", "haiku.MLP"):
        yield from unfolded(module, key)
    elif key in ("nnx.Sequential", "linen.Sequential", "equinox.Sequential") or isinstance(module, (tuple, list)):
        for layer in getattr(module, "layers", module):
            yield from _parts(layer)
    elif key in ("nnx.RNN", "linen.RNN"):
        if module.reverse:
            raise ValueError(
                f"{key} must read forwards; got reverse=True. Reverse the sequences that you pass instead."
            )
        yield from _parts(module.cell)
    else:
        yield module.fn if key == "equinox.Lambda" else module


def _made_by_haiku(make: Callable[[], Any]) -> Any:
    """The module that the function makes, with which its initialisers can be read outside the transform as well."""
    try:
        import haiku as hk
    except ModuleNotFoundError as error:
        raise missing("dm-haiku", "haiku") from error
    found: list[Any] = []
    hk.transform(lambda: found.append(make())).init(None)
    return found[0]


def _version(key: str) -> str:
    room = key.split(".")[0]
    package = _DISTRIBUTIONS.get(room, room)
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return ""
