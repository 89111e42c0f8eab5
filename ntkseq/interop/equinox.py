"""How does a model of equinox become a function f(params, x) for `empirical.NTK`?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from ntkseq.interop.functions import Function, missing


def function(
    model: Any, *, call: Callable[[Any, Any], Any] | None = None, batched: bool = False
) -> tuple[Function, Any]:
    """(f, params) of an equinox model: f(params, x) is its answer to one example, params its floating arrays.

    params is the model with `eqx.is_inexact_array` as filter, None where the rest stands; the rest is held constant.
    To differentiate fewer of them, hide the others in `call`, by `jax.lax.stop_gradient` on what it does not count.

    Dropout and the like must be off: pass `eqx.nn.inference_mode(model)`.

    Args:
        model: an `equinox.Module`, or a pytree of them that `call` knows how to use.
        call: call(model, x) -> (o,), where `model(x)` is not what is wanted: a cell in a scan, several inputs in one x.
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
    params, held = eqx.partition(model, eqx.is_inexact_array)
    if not any(eqx.is_inexact_array(leaf) for leaf in jax.tree.leaves(params)):
        raise ValueError(
            f"model must hold floating JAX arrays, its parameters; got {type(model).__name__} without any. "
            "NumPy arrays are constants to equinox: convert them by jax.numpy.asarray."
        )
    return Function(_combine, None, held, call, batched), params


def _combine(structure: None, held: Any, params: Any, call: Any) -> Callable[[Any], Any]:
    import equinox as eqx

    model = eqx.combine(params, held)
    return model if call is None else lambda x: call(model, x)
