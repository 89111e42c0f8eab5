"""Which layers does a module of another library run, one behind the other? Wrappers taken off, what they say kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ntkseq._types import PyTree
from ntkseq.interop.functions import missing
from ntkseq.interop.stacks import unfolded

_ROOMS = {"flax.nnx": "nnx", "flax.linen": "linen", "equinox": "equinox", "haiku": "haiku"}
_ROWS = ("nnx.Sequential", "linen.Sequential", "equinox.Sequential", "haiku.Sequential", "haiku.DeepRNN")
IDENTITY = ("nnx.Dropout", "linen.Dropout", "equinox.Dropout", "equinox.Identity")
"""What does nothing once a network is trained."""


class Layer(NamedTuple):
    """One layer of a stack."""

    name: str
    """Of its class, such as "nnx.GRUCell"."""
    module: Any
    wrapper: str = ""
    """"nnx.RNN" or "nnx.Bidirectional" around a cell."""
    reverse: bool = False
    """From the last token to the first."""
    keep_order: bool = True
    """Whether what it gives is in the order of the tokens, for one that reads backwards."""
    other: Any = None
    """The cell of the other direction."""
    time_major: bool = False
    return_carry: bool = False

    @property
    def label(self) -> str:
        """What it is called: a function by its own name, two directions by that of what holds them."""
        called = getattr(self.module, "__name__", None)
        return called or (f"{self.wrapper} of {self.name}" if self.other is not None else self.name)

    @property
    def plain(self) -> bool:
        """Whether it reads forwards, as a cell by itself is taken to."""
        return not self.reverse and self.other is None


def of_type(kind: type) -> str:
    """The library and the class."""
    room = next((short for path, short in _ROOMS.items() if kind.__module__.startswith(path)), kind.__module__)
    return f"{room}.{kind.__qualname__}"


def name(module: PyTree) -> str:
    """The library and the class of a module."""
    return of_type(type(module))


def layers(module: PyTree) -> Iterator[Layer]:
    """The layers in order.

    Raises:
        ValueError: two directions that share their weights, or that are not joined side by side.
    """
    key = name(module)
    if key in ("equinox.MLP", "haiku.MLP"):
        yield from map(_layer, unfolded(module, key))
    elif key in _ROWS or isinstance(module, (tuple, list)):
        for layer in getattr(module, "layers", module):
            yield from layers(layer)
    elif key in ("nnx.RNN", "linen.RNN"):
        carries = {"time_major": module.time_major, "return_carry": module.return_carry}
        order = {"reverse": module.reverse, "keep_order": module.keep_order}
        yield _layer(module.cell)._replace(wrapper=key, **order, **carries)
    elif key in ("nnx.Bidirectional", "linen.Bidirectional"):
        yield _both(module, key)
    else:
        yield _layer(module.fn if key == "equinox.Lambda" else module)


def _layer(module: PyTree) -> Layer:
    return Layer(name(module), module)


def _both(module: PyTree, key: str) -> Layer:
    one, two = module.forward_rnn, module.backward_rnn
    inner = tuple(name(rnn) for rnn in (one, two))
    if set(inner) != {key.split(".")[0] + ".RNN"}:
        raise ValueError(f"{key} must hold two RNNs; got {' and '.join(inner)}. Its own kernel: empirical.NTK.")
    if one is two or one.cell is two.cell:
        raise ValueError(
            f"{key} must have weights of its own for each direction; got one cell for both, whose directions are not "
            "independent. Make two."
        )
    if getattr(module.merge_fn, "__name__", "") != "_concatenate":
        raise ValueError(
            f"{key} must put both directions side by side, as it does without merge_fn; got another merge_fn. Describe "
            "it with kernels.Serial, or take its own kernel: empirical.NTK."
        )
    made = _layer(one.cell)._replace(wrapper=key, other=two.cell)
    return made._replace(time_major=module.time_major, return_carry=module.return_carry)


def made_by_haiku(make: Callable[[], Any]) -> Any:
    """The module that the function makes, with which its initialisers can be read outside the transform as well."""
    try:
        import haiku as hk
    except ModuleNotFoundError as error:
        raise missing("dm-haiku", "haiku") from error
    found: list[Any] = []
    hk.transform(lambda: found.append(make())).init(None)
    return found[0]
