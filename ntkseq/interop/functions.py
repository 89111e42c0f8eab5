"""When are two functions of a foreign model one function? f(params, x) with an equality that spares compiling again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ntkseq import _checks
from ntkseq._struct import fill
from ntkseq._types import ArrayLike, Inputs, PyTree

DROPOUT = (
    "Switch dropout off: model.eval() for nnx, deterministic=True for linen, equinox.nn.inference_mode(model); what is "
    "to stay is drawn outside of f."
)
AVERAGES = (
    "f answers one example, of which a batch normalisation by the batch leaves nothing: model.eval() for nnx, "
    "use_running_average=True for linen, equinox.nn.inference_mode(model)."
)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Function:
    """f(params, x) of a model of another library, for one example; what is not in `params` is held constant.

    Two of them are equal, and have one compiled program, if they are made of equal structures, of the same constants
    (the same arrays, not equal ones), and of the same `call`.

    Args:
        join: (structure, held, params) -> (function of x); a function at the top of a module.
        structure: what the model is without its numbers.
        held: pytree of constants.
        call: how the model is used on x; handed to `join` by the library that has its own way, see there.
        batched: x gets a first axis of length 1, and the output loses it.
        moving: in words, what of the constants training moves.
        random: of the constants, those that the model's random numbers are drawn from.
        dropout: the parts of the model in which dropout is on unless the call says otherwise.
        length: whether the model, or `call`, takes the length of a sequence behind x.
    """

    join: Callable[[Any, Any, Any, Any], Callable[[Any], Any]]
    structure: Any
    held: Any
    call: Callable[..., Any] | None = None
    batched: bool = False
    moving: tuple[str, ...] = ()
    random: tuple[Any, ...] = ()
    dropout: tuple[str, ...] = ()
    length: bool = False

    def __post_init__(self) -> None:
        _checks.flag("batched", self.batched)
        fill(self, held=jax.tree.map(_own, self.held))
        leaves, tree = jax.tree.flatten(self.held)
        key = (self.join, self.structure, tree, tuple(map(_identity, leaves)), self.call, self.batched)
        # with arrays among what the guest calls structure this function is equal to itself only
        fill(self, _key=key if _checks.hashes(key) else (id(self),))

    def __call__(self, params: PyTree, x: Inputs, *length: Any) -> PyTree:
        """The model at these parameters on one example, and its length for a model or a `call` that takes one."""
        return self._run(params, x, *length)

    def takes_length(self, before: int) -> bool:
        """Whether it is to be called with a length behind so many arguments."""
        return self.length

    def _run(self, params: PyTree, *x: Any) -> Any:
        run = self.join(self.structure, self.held, params, self.call)
        if not self.batched:
            return run(*x)
        return jax.tree.map(lambda y: y[0], run(*jax.tree.map(lambda a: a[None], x)))

    def __repr__(self) -> str:
        guest = self.join.__module__.rsplit(".", 1)[-1]
        model = getattr(self.structure, "type", type(self.structure)) if guest == "flax" else type(self.structure)
        return f"{type(self).__name__}(a model of {guest}: {getattr(model, '__name__', model)})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(self)["_key"] == vars(other)["_key"]

    def __hash__(self) -> int:
        return hash(vars(self)["_key"])


class Stateful(Function):
    """f(params, state, x): the same with what training moves beside the parameters as an argument."""

    def __call__(self, params: PyTree, state: PyTree, x: Inputs, *length: Any) -> PyTree:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The model at these parameters and this state on one example, and its length where it takes one."""
        return self._run((params, state), x, *length)


def missing(guest: str, extra: str) -> ImportError:
    """The error that says what to type."""
    return ImportError(f"{guest} is not installed, and functions of its models need it: pip install 'ntkseq[{extra}]'")


def _own(leaf: ArrayLike) -> Any:
    return leaf.copy() if isinstance(leaf, np.ndarray) else leaf  # what others can write to is no constant


def _identity(leaf: ArrayLike) -> Any:
    """Arrays by identity, since to compare their numbers costs more than it spares; the rest by value and type."""
    return (type(leaf), leaf) if _checks.hashes(leaf) else id(leaf)
