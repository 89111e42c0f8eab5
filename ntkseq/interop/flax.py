"""How does a flax model become a function f(params, x) for `empirical.NTK`? Both of its interfaces, linen and nnx."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from ntkseq import _checks, _guests, _notices
from ntkseq._calls import takes_length
from ntkseq._types import PyTree
from ntkseq.interop.functions import AVERAGES, DROPOUT, Function, Stateful, missing

__all__ = ["function", "stateful"]


def function(
    model: Any,
    variables: PyTree = None,
    *,
    call: Callable[[Any, Any], Any] | None = None,
    batched: bool = False,
) -> tuple[Function, Any]:
    """(f, params) of a flax model: f(params, x) is its answer to one example, params what its kernel differentiates.

    linen: `function(module, variables)`. params is the collection "params"; all others (batch_stats, ...) are held at
    their values. nnx: `function(model)`. params is the `nnx.State` of its `nnx.Param`; all other variables (running
    averages, random state) are held at their values, each call of f begins with the same ones, and the model that was
    passed is never changed. For what training moves among them, see `stateful`.

    Dropout, and batch normalisation by the batch, must be off: say so when the model is made, in `call`, or for nnx by
    `model.eval()` before. A model that has them on is refused at the first example.

    Args:
        model: a `flax.linen.Module` that is not bound, or a `flax.nnx.Module`.
        variables: for linen, what `module.init` returned: a mapping with the key "params".
        call: call(model, x) -> (o,), where `model(x)` is not what is wanted: the last step of a sequence, several
            inputs in one x, `deterministic=True`; call(model, x, length) where lengths are passed. With linen it is a
            method: `self` is the bound module.
        batched: the model expects a batch axis: x goes in as x[None], of the output comes [0] (leaf by leaf, around
            `call`). Say so where it has a GroupNorm or an InstanceNorm and learned from batches: these take the first
            axis for the batch, in every mode, and normalise the steps of a sequence one by one without it.

    Returns:
        f and params. A second call with an equal module, the same arrays in the other collections and the same `call`
        returns an equal f, for which nothing is compiled again; a new lambda as `call` is a new f, so define it once.

    Raises:
        ImportError: flax is not installed.
        ValueError: not an instance of a flax model, linen without its variables, nnx with some.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from flax import linen  # doctest: +SKIP
        >>> from ntkseq.interop import flax
        >>> x = jnp.ones((4, 3))
        >>> net = linen.Dense(2)  # doctest: +SKIP
        >>> f, params = flax.function(net, net.init(jax.random.key(0), x[0]))  # doctest: +SKIP
        >>> f(params, x[0]).shape  # doctest: +SKIP
        (2,)
    """
    _checks.flag("batched", batched)
    parts = _opened(model, variables)
    _said(model, batched or call is not None)
    held = (parts.random, parts.state)
    moving = _guests.of_collections(parts.state) if parts.join is _linen else _guests.moving(parts.state)
    random = tuple(jax.tree.leaves(parts.random))
    made = Function(
        parts.join, parts.structure, held, call, batched, moving, random, parts.dropout, _length(model, call)
    )
    return made, parts.params


def stateful(
    model: Any,
    variables: PyTree = None,
    *,
    call: Callable[[Any, Any], Any] | None = None,
    batched: bool = False,
) -> tuple[Stateful, Any, Any]:
    """(f, params, state) of a flax model: f(params, state, x), for models of which training moves more than parameters.

    As `function`, but what it holds is an argument here: running averages of batch normalisation, spectral norms,
    caches. `training.track(probes, params, state)` takes such an f in its probes, and `history.update(step, params,
    state)` the state of that step: for linen all collections but "params", such as {"batch_stats": ...}; for nnx
    `nnx.state(model, nnx.BatchStat)` where there is nothing else, or what this function returns for the model again.

    The model answers one example, so it must not take averages over it: for nnx call `model.eval()` before, for linen
    say `use_running_average=True` where it is made or in `call`. The loop trains the model in its own mode.

    Args:
        model, variables, call, batched: as for `function`.

    Returns:
        f, params and state. A second call with an equal model, whatever the numbers in its state, returns an equal f;
        but for an nnx model whose random state has moved on.

    Raises:
        ImportError: flax is not installed.
        ValueError: as `function`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from flax import nnx  # doctest: +SKIP
        >>> from ntkseq.interop import flax
        >>> net = nnx.Sequential(
        ...     nnx.Linear(3, 4, rngs=nnx.Rngs(0)), nnx.BatchNorm(4, rngs=nnx.Rngs(0))
        ... )  # doctest: +SKIP
        >>> net.eval()  # doctest: +SKIP
        >>> f, params, state = flax.stateful(net)  # doctest: +SKIP
        >>> f(params, state, jnp.ones(3)).shape  # doctest: +SKIP
        (4,)
    """
    _checks.flag("batched", batched)
    parts = _opened(model, variables)
    _said(model, batched or call is not None)
    random = tuple(jax.tree.leaves(parts.random))
    join = _linen_at if parts.join is _linen else _nnx_at
    made = Stateful(join, parts.structure, parts.random, call, batched, (), random, parts.dropout, _length(model, call))
    return made, parts.params, parts.state


class _Parts(NamedTuple):
    """A model taken apart."""

    join: Callable[..., Any]
    structure: Any
    params: Any
    state: Any
    random: Any
    """Where random numbers come from; it changes in every call of an nnx model."""
    dropout: tuple[str, ...]


def _opened(model: Any, variables: PyTree) -> _Parts:
    try:
        from flax import linen, nnx
    except ModuleNotFoundError as error:
        raise missing("flax", "flax") from error
    if isinstance(model, linen.Module):
        if model.scope is not None:
            raise ValueError("model must be a module that is not bound; got a bound one. Pass *module.unbind().")
        if not isinstance(variables, Mapping) or "params" not in variables:
            got = f"the keys {list(variables)}" if isinstance(variables, Mapping) else type(variables).__name__
            raise ValueError(
                f"variables must be a mapping with the collection 'params'; got {got}. "
                "Pass what module.init returned, or {'params': params}."
            )
        state = {name: collection for name, collection in variables.items() if name != "params"}
        return _Parts(_linen, model, variables["params"], state, (), ())
    if isinstance(model, nnx.Module):
        if variables is not None:
            raise ValueError(
                f"variables must be left out for an nnx model, which holds its own; got {type(variables).__name__}."
            )
        graph, *apart = nnx.split(model, nnx.Param, nnx.RngState, ...)
        params, random, state = _new(apart)  # split hands out the model's own variables
        return _Parts(_nnx, graph, params, state, random, _dropping(model))
    made = f"the class {model.__name__}; call it first" if isinstance(model, type) else type(model).__name__
    raise ValueError(f"model must be an instance of a flax.linen.Module or a flax.nnx.Module; got {made}.")


def _length(model: Any, call: Any) -> bool:
    """Whether the model, or `call`, takes the length of a sequence behind x."""
    return takes_length(model.__call__, 1) if call is None else takes_length(call, 2)


def _linen(module: Any, held: PyTree, params: PyTree, call: Any) -> Callable[[Any], Any]:
    from flax import errors

    def run(*x: PyTree) -> Any:
        try:
            return module.apply({**held[1], "params": params}, *x, method=call)
        except errors.InvalidRngError as error:
            raise _guests.Refused(f"f must not draw random numbers, and {_first(error)}. {DROPOUT}") from error
        except errors.ModifyScopeVariableError as error:
            raise _guests.Refused(
                f"f must not move a running average, and flax says: {_first(error)}. {AVERAGES}"
            ) from error

    return run


def _linen_at(module: Any, random: Any, both: PyTree, call: Any) -> Callable[[Any], Any]:
    return _linen(module, (random, both[1]), both[0], call)


def _nnx(graph: Any, held: PyTree, params: PyTree, call: Any) -> Callable[[Any], Any]:
    from flax import nnx

    def run(*x: PyTree) -> Any:
        model = nnx.merge(graph, *_new((params, *held)))
        before = jax.tree.leaves(nnx.state(model, nnx.BatchStat))
        try:
            out = model(*x) if call is None else call(model, *x)
        except ValueError as error:
            if "No `deterministic` argument" not in str(error):
                raise
            raise _guests.Refused(
                f"f must not leave open whether it drops, and flax says: {_first(error)}. {DROPOUT}"
            ) from error
        after = jax.tree.leaves(nnx.state(model, nnx.BatchStat))
        if len(before) != len(after) or any(old is not new for old, new in zip(before, after, strict=True)):
            _check_averaging(nnx, model)
        return out

    return run


def _nnx_at(graph: Any, random: Any, both: PyTree, call: Any) -> Callable[[Any], Any]:
    return _nnx(graph, (random, both[1]), both[0], call)


def _check_averaging(nnx: Any, model: Any) -> None:
    """That averages which are other objects after a call are so by a transformation, and not by training mode."""
    modes = {
        ".".join(map(str, path)) or type(part).__name__: part.use_running_average
        for path, part in nnx.iter_modules(model)
        if getattr(part, "use_running_average", None) is not None
    }
    if modes and all(modes.values()):
        return
    which = ", ".join(name for name, using in modes.items() if not using) or "the model"
    raise _guests.Refused(f"f must not move a running average, and {which} does, being in training mode. {AVERAGES}")


def _dropping(model: Any) -> tuple[str, ...]:
    """The modules of nnx that drop or draw unless the call says otherwise."""
    from flax import nnx

    return tuple(
        ".".join(map(str, path)) or type(part).__name__
        for path, part in nnx.iter_modules(model)
        if getattr(part, "deterministic", None) is False
        and (getattr(part, "rate", 0.0) or getattr(part, "dropout_rate", 0.0))
    )


def _said(model: Any, meant: bool) -> None:
    """A warning where a layer of nnx would take the steps of one example for a batch, unless that is `meant`."""
    from flax import nnx

    if meant or not isinstance(model, nnx.Module):
        return
    which = ", ".join(
        f"{'.'.join(map(str, path)) or 'the model'} ({type(part).__name__})"
        for path, part in nnx.iter_modules(model)
        if isinstance(part, (nnx.GroupNorm, nnx.InstanceNorm)) and getattr(part, "reduction_axes", None) is None
    )
    if which:
        _notices.warn(
            f"the model holds {which}, which takes the first axis of its input for the batch: of one example, the "
            "steps of a sequence. If it learned from batches, pass batched=True; "
            "if not, call=lambda model, x: model(x).",
            UserWarning,
        )


def _first(error: Exception) -> str:
    """What flax says first, without its link."""
    return str(error).split(" (http")[0].splitlines()[0].rstrip(".")


def _new(state: PyTree) -> Any:
    """The same numbers in new variables: what one holder writes the other does not see."""
    return jax.tree.map(lambda a: a, state)
