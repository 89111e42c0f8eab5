"""Which infinite-width kernel does *my* module have? Modules of flax, equinox, haiku; arrays of keras and torch."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq import _checks, cells, kernels
from ntkseq._notices import warn
from ntkseq._types import Inputs, PyTree
from ntkseq.interop.functions import missing
from ntkseq.interop.recurrences import READ_OUTS, RULES, Recurrence, Rule

__all__ = ["Limit", "Recurrence", "known", "limit_of", "register"]

_DISTRIBUTIONS = {"nnx": "flax", "linen": "flax", "haiku": "dm-haiku"}
_ROOMS = {"flax.nnx": "nnx", "flax.linen": "linen", "equinox": "equinox", "haiku": "haiku"}
_OWN: dict[type, Rule] = {}


@dataclasses.dataclass(frozen=True, eq=False)
class Limit:
    """The infinite-width kernel of a module, and what was assumed. Printing it says both.

    Attributes:
        name: the class, such as "nnx.GRUCell", and its library with the version: "flax 0.12.8".
        library: the library with its version; empty where it is not installed.
        recurrence: cell, width n and features d.
        kernel: the tangent kernel in NTK parametrisation, over weights and biases, and the read-out where there is
            one. `kernel.with_(kind="nngp")` is the covariance of the outputs, the same in every parametrisation.
            Without a read-out: the mean over the n states, E<h, h'>/n.
        read_out: whether a linear read-out came with the module.
        assumed: one sentence for each thing that was read or taken for granted.
        degenerate: why the scales hold at this width only; empty otherwise.
    """

    name: str
    library: str
    recurrence: Recurrence
    kernel: kernels.Kernel
    read_out: bool
    assumed: tuple[str, ...]
    degenerate: str

    def standard(self) -> kernels.Kernel:
        """The tangent kernel of the weights as the module stores them, at its width n.

        A library draws weights with their small variance and trains those numbers (standard parametrisation). With
        the groups of the kernel taken by raw gradients (`param="raw"`) and m trained vectors for each bias it is

            K_std = n K_W + d K_U + m K_b + n K_R.

        The parts with n grow with the width: divided by n, K_std tends to K_W + K_R. To train at the rates of NTK
        parametrisation instead, divide the learning rate of each group by its factor.

        Raises:
            ValueError: a GRU with two biases, where z and r have both and g only one of them.

        Example:
            >>> import jax, jax.numpy as jnp
            >>> import equinox as eqx  # doctest: +SKIP
            >>> from ntkseq.interop import limits
            >>> x = jnp.ones((3, 5, 2))
            >>> found = limits.limit_of(eqx.nn.LSTMCell(2, 64, key=jax.random.key(0)), x)  # doctest: +SKIP
            >>> found.standard()(x).shape  # doctest: +SKIP
            (3, 3)
        """
        layer = self.recurrence
        if layer.biases is None:
            raise ValueError(
                f"standard() needs as many trained biases in each gate; {self.name} has two in z and r and one in g. "
                "Use its kernel, in NTK parametrisation, or empirical.NTK."
            )
        factors = {"W": layer.width, "U": layer.features, "b": layer.biases, "R": layer.width * self.read_out}
        groups: dict[int, str] = {}
        for letter, factor in factors.items():
            if factor:
                groups[factor] = groups.get(factor, "") + letter
        parts = [float(factor) * self.kernel.with_(train=train, param="raw") for factor, train in groups.items()]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    def __str__(self) -> str:
        layer, kind = self.recurrence, type(self.recurrence.cell).__name__
        scales = ", ".join(f"{s} = {_number(getattr(layer.cell, s))}" for s in ("sigma_w", "sigma_u", "sigma_b"))
        head = [f"{self.name} ({self.library or 'library not installed'}), n = {layer.width}, d = {layer.features}"]
        head.append(f"  kernel: {type(self.kernel).__name__} of an {kind}, {scales}" if kind == "Elman" else
                    f"  kernel: {type(self.kernel).__name__} of a {kind}, {scales}")  # fmt: skip
        at_width = [f"  at n = {layer.width} only: {self.degenerate}"] if self.degenerate else []
        return "\n".join([*head, *at_width, *(f"  - {line}" for line in self.assumed)])


def _number(value: PyTree) -> str:
    return f"{value:.4g}" if np.ndim(value) == 0 else "(" + ", ".join(f"{v:.4g}" for v in value) + ")"


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
    """The infinite-width kernel of a recurrent module of another library, and what was assumed.

    It reads how the weights are drawn, not one draw of them: the initialisers where the module holds them (linen,
    haiku), else those of its class (nnx, equinox), against which the arrays are checked, so that a trained module or
    one with initialisers of your own is refused. `known()` names the classes.

    Where a library divides the variance of the input weights by the hidden size (equinox, torch, keras), a wider
    network sees less of its input, and the limit is a degenerate one. The kernel then has the scales of the module's
    own width, which its network meets there, and a warning says so.

    Args:
        module: a cell, an `RNN` of flax around one, a pair (cell, linear read-out), or an nnx or linen `Sequential` of
            the two. haiku, whose modules live inside `hk.transform`: a function without arguments that makes it. torch
            and keras: the arrays of one layer, in the library's order, with `name`.
        x: sequences (n, t, d), or a `jax.ShapeDtypeStruct`: only the number d of features counts.
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
          kernel: Gated of a GRU, sigma_w = 0.5774, sigma_u = 1, sigma_b = 0
          - recurrent weights: orthogonal, variance times the fan-in 64 0.3333
          - input weights: truncated, variance times the fan-in 2 1
          - biases: zero at the start
          - orthogonal recurrent weights, one by one or jointly, have the kernel of Gaussian ones (measured)
          - no read-out: the mean over the states, E<h, h'>/n
    """
    if name is not None:
        _checks.choice("name", name, tuple(key for key in RULES if key.startswith(("torch.", "keras."))))
    d = _checks.sequences("x", jnp.zeros(x.shape, x.dtype) if isinstance(x, jax.ShapeDtypeStruct) else x)[0].shape[2]
    cell, head = (module, None) if name is not None else _taken_apart(module)
    key = _name(cell) if name is None else name
    rule = RULES.get(key) if name is not None else _OWN.get(type(cell)) or RULES.get(key)
    if rule is None:
        raise ValueError(
            f"module must be one with a known rule, {', '.join(known())}; got {_checks.shown(key)}. Give it a rule "
            "with limits.register, or take its own kernel at its parameters: empirical.NTK."
        )
    for field in ("in_features", "input_size"):
        if getattr(cell, field, d) != d:
            raise ValueError(f"x must have the {getattr(cell, field)} features of {key}; got {d}.")
    layer = rule(cell, d)
    assumed, sigma_r = layer.assumed, 1.0
    if head is None:
        assumed = (*assumed, "no read-out: the mean over the states, E<h, h'>/n")
    else:
        draw = READ_OUTS[_name(head)](head, layer.width)
        sigma_r = (draw.variance * layer.width) ** 0.5
        assumed = (
            *assumed,
            f"read-out: variance times the fan-in {draw.variance * layer.width:.4g}; its bias is left out",
        )
    if layer.degenerate:
        warn(f"{key}: {layer.degenerate}. The kernel has the scales of width {layer.width}.", UserWarning)
    shared: dict[str, Any] = {"sigma_r": sigma_r, "read": read, "train": "WUb" if head is None else "WUbR"}
    if isinstance(layer.cell, cells.Elman):
        scales = {s: getattr(layer.cell, s) for s in ("sigma_w", "sigma_u", "sigma_b", "activation")}
        kernel: kernels.Kernel = kernels.Recurrent(**scales, **shared)
    else:
        kernel = kernels.Gated(layer.cell, particles=particles, batches=batches, seed=seed, **shared)
    return Limit(key, _version(key), layer, kernel, head is not None, assumed, layer.degenerate)


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
    if key in ("nnx.Sequential", "linen.Sequential") or isinstance(module, (tuple, list)):
        for layer in getattr(module, "layers", module):
            yield from _parts(layer)
    elif key in ("nnx.RNN", "linen.RNN"):
        if module.reverse:
            raise ValueError(
                f"{key} must read forwards; got reverse=True. Reverse the sequences that you pass instead."
            )
        yield from _parts(module.cell)
    elif key == "builtins.function":
        yield from _parts(_made_by_haiku(module))
    else:
        yield module


def _taken_apart(module: PyTree) -> tuple[Any, Any]:
    """The cell and the read-out, or None."""
    layers = list(_parts(module))
    names = [_name(layer) for layer in layers]
    if len(layers) == 1:
        return layers[0], None
    if len(layers) == 2 and names[1] in READ_OUTS:
        return layers[0], layers[1]
    raise ValueError(
        f"module must be a cell, or a cell and a linear read-out ({', '.join(READ_OUTS)}); got "
        f"{', '.join(names) or 'none'}. "
        "Stacks of other layers: describe them with kernels.Serial, or take their own kernel: empirical.NTK."
    )


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
