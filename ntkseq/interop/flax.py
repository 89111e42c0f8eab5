"""How does a flax model become a function f(params, x) for `empirical.NTK`? Both of its interfaces, linen and nnx."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax

from ntkseq.interop.functions import Function, missing


def function(
    model: Any,
    variables: Any = None,
    *,
    call: Callable[[Any, Any], Any] | None = None,
    batched: bool = False,
) -> tuple[Function, Any]:
    """(f, params) of a flax model: f(params, x) is its answer to one example, params what its kernel differentiates.

    linen: `function(module, variables)`. params is the collection "params"; all others (batch_stats, ...) are held at
    their values. nnx: `function(model)`. params is the `nnx.State` of its `nnx.Param`; all other variables (running
    averages, random state) are held at their values, each call of f begins with the same ones, and the model that was
    passed is never changed.

    Dropout and the like must be off: say so when the model is made, in `call`, or for nnx by `model.eval()` before.

    Args:
        model: a `flax.linen.Module` that is not bound, or a `flax.nnx.Module`.
        variables: for linen, what `module.init` returned: a mapping with the key "params".
        call: call(model, x) -> (o,), where `model(x)` is not what is wanted: the last step of a sequence, several
            inputs in one x, `deterministic=True`. With linen it is a method: `self` is the bound module.
        batched: the model expects a batch axis: x goes in as x[None], of the output comes [0] (leaf by leaf, around
            `call`).

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
        held = {name: collection for name, collection in variables.items() if name != "params"}
        return Function(_linen, model, held, call, batched), variables["params"]
    if isinstance(model, nnx.Module):
        if variables is not None:
            raise ValueError(
                f"variables must be left out for an nnx model, which holds its own; got {type(variables).__name__}."
            )
        graph, params, held = nnx.split(model, nnx.Param, ...)
        params, held = _new((params, held))  # split hands out the model's own variables
        return Function(_nnx, graph, held, call, batched), params
    made = f"the class {model.__name__}; call it first" if isinstance(model, type) else type(model).__name__
    raise ValueError(f"model must be an instance of a flax.linen.Module or a flax.nnx.Module; got {made}.")


def _linen(module: Any, held: Any, params: Any, call: Any) -> Callable[[Any], Any]:
    return lambda x: module.apply({**held, "params": params}, x, method=call)


def _nnx(graph: Any, held: Any, params: Any, call: Any) -> Callable[[Any], Any]:
    from flax import nnx

    model = nnx.merge(graph, *_new((params, held)))
    return model if call is None else lambda x: call(model, x)


def _new(state: Any) -> Any:
    """The same numbers in new variables: what one holder writes the other does not see."""
    return jax.tree.map(lambda a: a, state)
