"""How do loss, error and gradient of a network change while it trains?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkseq import _checks
from ntkseq._calls import check_length
from ntkseq._struct import fill, static, struct
from ntkseq._types import Inputs, PyTree
from ntkseq.empirical.randomness import traced_shape
from ntkseq.training import losses
from ntkseq.training.probes import Probe, beside, check_every, check_examples, check_name

AT_ONCE = 256
"""Examples that go through the network together."""


@struct
class LossProbe(Probe):
    """Mean loss and share of wrong decisions on whole sets of examples, and the norm of the gradient on the first.

    Columns: `SET_loss` and `SET_error` for every set, and `gradient_norm`, that of the mean loss on the first set with
    respect to all floating parameters. `SET_error` counts wrong signs of one output, wrong largest of several; it is
    nan for a loss of your own.

    Args:
        f: f(params, x) -> (o,) for one example, or f(params, x, length) with lengths; f(params, state, x) where
            tracking began with a state.
        sets: {"train": (x, y), "test": (x, y)}, or (x, y, lengths).
        loss: "squared" (|f - y|^2 / 2), "logistic" (labels -1/+1), "cross_entropy" (classes), or a function
            loss(prediction (o,), y) -> number; None: "squared" of one output, and for several it is asked for.
        every: period in steps, or the steps.
        name: of the table.

    Raises:
        ValueError: no set, numbers of examples that differ, an unknown loss.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ntkseq import models, training
        >>> net = models.Recurrent(width=16)
        >>> x, y = jax.random.normal(jax.random.key(0), (6, 4, 2)), jnp.array([1.0, -1, 1, -1, 1, -1])
        >>> probe = training.LossProbe(net.apply, {"train": (x[:4], y[:4]), "test": (x[4:], y[4:])})
        >>> sorted(training.track([probe], net.init(jax.random.key(1), x[0]))["loss"].columns)
        ['gradient_norm', 'test_error', 'test_loss', 'train_error', 'train_loss']
    """

    f: Any = static()
    sets: Any
    loss: Any = static(default=None)
    every: Any = static(default=100)
    name: str = static(default="loss")
    names: tuple[str, ...] = static(default=(), init=False)
    """Of the sets, in the order given: JAX sorts the keys of a dictionary."""

    kind = "loss"

    def __post_init__(self) -> None:
        _checks.function("f", self.f, "f(params, x)")
        fill(self, every=check_every(self.every))
        check_name(self.name)
        losses.get(self._loss)
        if not isinstance(self.sets, Mapping) or not self.sets:
            raise ValueError(f'sets must be a dictionary such as {{"train": (x, y)}}; got {type(self.sets).__name__}.')
        fill(
            self,
            names=tuple(check_name(name) for name in self.sets),
            sets=tuple(_set(name, given) for name, given in self.sets.items()),
        )

    @property
    def _loss(self) -> Any:
        return "squared" if self.loss is None else self.loss

    def about(self) -> dict[str, Any]:
        sizes = {name: jax.tree.leaves(x)[0].shape[0] for name, (x, *_) in zip(self.names, self.sets, strict=True)}
        return super().about() | {"loss": self._loss if isinstance(self._loss, str) else "function", "examples": sizes}

    def start(self, params: PyTree, state: PyTree = None) -> PyTree:
        """The targets, checked against what the network returns."""
        checked = []
        for x, y, *rest in self.sets:
            if rest:
                check_length(self.f, 2 + len(beside(state)))
            one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), (x, *rest))
            out = traced_shape(self.f, (params, *beside(state)), one)
            if getattr(out, "ndim", 0) != 1:
                raise ValueError(
                    f"f must return (o,) for one example; got {getattr(out, 'shape', out)}. Return out[None]."
                )
            if self.loss is None and out.shape[0] > 1:
                raise ValueError(
                    f"loss must be given for a network of {out.shape[0]} outputs, the one that trains it; got None. "
                    'Pass loss="cross_entropy" for classes, loss="squared" for targets (n, o), or a function.'
                )
            n = jax.tree.leaves(x)[0].shape[0]
            checked.append(losses.targets(self._loss, y, n, out.shape[0], out.dtype))
        return tuple(checked)

    def measure(self, params: PyTree, start: PyTree, state: PyTree = None) -> dict[str, Array]:
        found = {}
        for name, (x, _, *rest), y in zip(self.names, self.sets, start, strict=True):
            loss, error = self._means(params, state, (x, *rest), y)
            found |= {f"{name}_loss": loss, f"{name}_error": error}
        x, _, *rest = self.sets[0]
        floats, others = _split(params)
        slope = jax.grad(lambda part: self._means(_joined(part, others), state, (x, *rest), start[0])[0])(floats)
        squares = [jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(slope)]
        return found | {"gradient_norm": jnp.sqrt(sum(squares[1:], squares[0]))}

    def _means(
        self, params: PyTree, state: PyTree, inputs: Inputs, y: Array
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        def one(example: PyTree) -> tuple[Array, Array]:
            arguments, target = example
            out = self.f(params, *beside(state), *arguments)
            return losses.get(self._loss)(out, target), losses.wrong(self._loss, out, target)

        loss, error = jax.lax.map(one, (inputs, y), batch_size=AT_ONCE)
        return jnp.mean(loss), jnp.mean(error)

    def reduce(self, measured: PyTree, memory: PyTree) -> dict[str, Any]:
        return measured


def _set(name: str, given: PyTree) -> tuple[Any, ...]:
    if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
        raise ValueError(f"sets[{name!r}] must be (x, y) or (x, y, lengths); got {type(given).__name__}.")
    x, y, *rest = given
    x, _, lengths = check_examples(f"x of set {name!r}", x, *rest)
    return (x, jnp.asarray(y), *([] if lengths is None else [lengths]))


def _split(params: PyTree) -> tuple[Any, Any]:
    """The floating leaves, and the others; None stands for what is in the other part."""
    floats = jax.tree.map(lambda leaf: leaf if jnp.issubdtype(leaf.dtype, jnp.floating) else None, params)
    others = jax.tree.map(lambda leaf: None if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, params)
    return floats, others


def _joined(floats: PyTree, others: PyTree) -> Any:
    pick = lambda a, b: b if a is None else a  # noqa: E731
    return jax.tree.map(pick, floats, others, is_leaf=lambda leaf: leaf is None)
