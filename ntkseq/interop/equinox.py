"""How does a model of equinox become a function f(params, x) for `empirical.NTK`?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from ntkseq import _guests
from ntkseq._calls import takes_length
from ntkseq._types import PyTree
from ntkseq.interop.functions import AVERAGES, DROPOUT, Function, Stateful, missing

__all__ = ["function", "stateful"]


def function(
    model: Any, *, call: Callable[[Any, Any], Any] | None = None, batched: bool = False
) -> tuple[Function, Any]:
    """(f, params) of an equinox model: f(params, x) is its answer to one example, params its floating arrays.

    params is the model with `eqx.is_inexact_array` as filter, None where the rest stands, and where an
    `equinox.nn.State` or its initial values stand; the rest is held constant. For a state that training moves, see
    `stateful`. To differentiate fewer of them: `empirical.NTK(f, params, trainable=...)`.

    Dropout and the like must be off: pass `eqx.nn.inference_mode(model)`. A model that draws a random mask is refused
    at the first example.

    Args:
        model: an `equinox.Module`, or a pytree of them that `call` knows how to use.
        call: call(model, x) -> (o,), where `model(x)` is not what is wanted: a cell in a scan, several inputs in one x;
            call(model, x, length) where lengths are passed.
        batched: the model expects a batch axis: x goes in as x[None], of the output comes [0] (leaf by leaf, around
            `call`).

    Returns:
        f and params. A second call with the same model, or one that differs in its floating arrays only, returns an
        equal f, for which nothing is compiled again; a new lambda as `call` is a new f, so define it once.

    Raises:
        ImportError: equinox is not installed.
        ValueError: not an equinox model, one that is not callable where `call` is left out, or no floating array in it.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import equinox as eqx  # doctest: +SKIP
        >>> from ntkseq.interop import equinox
        >>> net = eqx.nn.MLP(3, 2, width_size=8, depth=1, key=jax.random.key(0))  # doctest: +SKIP
        >>> f, params = equinox.function(net)  # doctest: +SKIP
        >>> f(params, jnp.ones(3)).shape  # doctest: +SKIP
        (2,)
    """
    params, state, held, dropout = _opened(model, call)
    moving = tuple(name for name in _states(model))
    length = takes_length(model.__call__, 1) if call is None else takes_length(call, 2)
    return Function(_combine, None, (state, held), call, batched, moving, (), dropout, length), params


def stateful(
    model: Any, state: PyTree, *, call: Callable[[Any, Any, Any], Any] | None = None, batched: bool = False
) -> tuple[Stateful, Any, Any]:
    """(f, params, state) of an equinox model with an `equinox.nn.State`: f(params, state, x).

    For what training moves beside the parameters: running averages, spectral norms, layers of your own with a
    `StateIndex`. `training.track(probes, params, state)` takes such an f in its probes, and `history.update(step,
    params, state)` the state of that step; params are `eqx.filter(model, eqx.is_inexact_array)`.

    Pass `eqx.nn.inference_mode(model)`: f answers one example.

    Args:
        model, batched: as for `function`.
        state: what `eqx.nn.make_with_state` returned beside the model.
        call: call(model, state, x) -> (o,); None: model(x, state)[0].

    Returns:
        f, params and state.

    Raises:
        ImportError: equinox is not installed.
        ValueError: as `function`, or a state without arrays.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import equinox as eqx  # doctest: +SKIP
        >>> from ntkseq.interop import equinox
        >>> norm, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(3, "batch", mode="batch")  # doctest: +SKIP
        >>> f, params, state = equinox.stateful(eqx.nn.inference_mode(norm), state)  # doctest: +SKIP
        >>> f(params, state, jnp.ones(3)).shape  # doctest: +SKIP
        (3,)
    """
    params, inside, held, dropout = _opened(model, call)
    if not jax.tree.leaves(state):
        raise ValueError(
            f"state must hold arrays, such as the equinox.nn.State of the model; got {type(state).__name__} without "
            "any. A model without a state: equinox.function(model)."
        )
    length = takes_length(model.__call__, 2) if call is None else takes_length(call, 3)
    made = Stateful(_combine_at, None, (inside, held), call or _answer, batched, (), (), dropout, length)
    return made, params, state


def _answer(model: Any, state: PyTree, x: PyTree, *length: Any) -> Any:
    return model(x, state, *length)[0]


def _opened(model: Any, call: Any) -> tuple[Any, Any, Any, tuple[str, ...]]:
    """Parameters, states, the rest, and where dropout is on."""
    try:
        import equinox as eqx
    except ModuleNotFoundError as error:
        raise missing("equinox", "equinox") from error
    if isinstance(model, type):
        raise ValueError(f"model must be an instance of an equinox.Module; got the class {model.__name__}.")
    if call is None and not (isinstance(model, eqx.Module) and callable(model)):
        raise ValueError(
            f"model must be an equinox.Module that can be called; got {type(model).__name__}. Pass `call=`, a function "
            "of the model and x."
        )
    is_state = lambda part: isinstance(part, (eqx.nn.State, eqx.nn.StateIndex))  # noqa: E731
    states, rest = eqx.partition(model, jax.tree.map(is_state, model, is_leaf=is_state))
    params, held = eqx.partition(rest, eqx.is_inexact_array)
    if not any(eqx.is_inexact_array(leaf) for leaf in jax.tree.leaves(params)):
        raise ValueError(
            f"model must hold floating JAX arrays, its parameters; got {type(model).__name__} without any. "
            "NumPy arrays are constants to equinox: convert them by jax.numpy.asarray."
        )
    is_dropout = lambda part: isinstance(part, eqx.nn.Dropout)  # noqa: E731
    on = tuple(
        jax.tree_util.keystr(path).lstrip(".") or "Dropout"
        for path, part in jax.tree.leaves_with_path(model, is_leaf=is_dropout)
        if is_dropout(part) and not part.inference and not (isinstance(part.p, (int, float)) and part.p == 0)
    )
    return params, states, held, on


def _states(model: Any) -> tuple[str, ...]:
    """In words, the states inside a model or beside it."""
    import equinox as eqx

    is_state = lambda part: isinstance(part, eqx.nn.State)  # noqa: E731
    found = [
        name for part in jax.tree.leaves(model, is_leaf=is_state) if is_state(part) for name in _guests.moving(part)
    ]
    is_index = lambda part: isinstance(part, eqx.nn.StateIndex)  # noqa: E731
    marks = [part.marker for part in jax.tree.leaves(model, is_leaf=is_index) if is_index(part)]
    named = tuple(f"the state {mark}" for mark in marks if isinstance(mark, str))
    return named or tuple(found) or (("the state of equinox.nn.StateIndex",) if marks else ())


def _combine(structure: None, held: PyTree, params: PyTree, call: Any) -> Callable[[Any], Any]:
    import equinox as eqx

    model = eqx.combine(params, *_fresh(held))
    return _checked(model if call is None else lambda *x: call(model, *x))


def _combine_at(structure: None, held: PyTree, both: PyTree, call: Any) -> Callable[[Any], Any]:
    import equinox as eqx

    params, state = both
    model = eqx.combine(params, *_fresh(held))
    return _checked(lambda *x: call(model, _fresh(state), *x))


def _fresh(tree: PyTree) -> Any:
    """The same numbers in new objects: an `equinox.nn.State` that was used once cannot be used again."""
    return jax.tree.map(lambda leaf: leaf, tree)


def _checked(run: Callable[..., Any]) -> Callable[[Any], Any]:
    """With what equinox says of a model in training mode in our words."""

    def checked(*x: PyTree) -> Any:
        try:
            return run(*x)
        except RuntimeError as error:
            if "requires a key" not in str(error):
                raise
            raise _guests.Refused(f"f must not draw random numbers, and equinox says: {error} {DROPOUT}") from error
        except NameError as error:
            if "axis name" not in str(error):
                raise
            raise _guests.Refused(f"f must not average over a batch, and JAX says: {error} {AVERAGES}") from error

    return checked
