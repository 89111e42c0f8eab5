"""What moves beside the parameters while a network trains, and is it passed along?"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp

from ntkseq._types import AnyArray, AnyFunction, PyTree
from ntkseq.training.held import held
from ntkseq.training.probes import Probe

SHOWN = 6
"""Names in a warning."""


def warn_of_held(probes: Iterable[Any]) -> None:
    """Say by name what the functions of the probes hold that training moves."""
    values = [value for probe in probes if isinstance(probe, Probe) for value in vars(probe).values()]
    if names := dict.fromkeys(name for value in values if callable(value) for name in held(value)):
        warnings.warn(
            f"f holds {listed(names)}: held at their values of now, while training moves them, so probes see another "
            "network than the one that is trained. Pass them along: f, params, state = interop.flax.stateful(model), "
            "or any f(params, state, x); track(probes, params, state); history.update(step, params, state).",
            UserWarning,
            stacklevel=3,
        )


def warn_of_fixed(f: AnyFunction) -> None:
    """Say by name what stays as it is while f is trained by itself."""
    if names := held(f):
        warnings.warn(
            f"f holds {listed(names)}: held at their values of now all through this training, which moves parameters "
            "only. To train them too, write the loop, and pass them to training.track as a state.",
            UserWarning,
            stacklevel=3,
        )


def listed(names: Iterable[str]) -> str:
    """Some of the names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def check_state(state: PyTree, wanted: bool) -> None:
    """That a state comes where tracking began with one, and only there.

    Raises:
        ValueError: one of the two only.
    """
    if wanted and state is None:
        raise ValueError(
            "state must be passed, since tracking began with one; got None. Call update(step, params, state)."
        )
    if not wanted and state is not None:
        raise ValueError(
            "state must be left out, since tracking began without one. Begin with track(probes, params, state), and an "
            "f(params, state, x) in the probes."
        )


def check_like(name: str, tree: PyTree, like: PyTree) -> None:
    """That a pytree has the structure, shapes and dtypes of `like`.

    Raises:
        ValueError: it has others.
    """
    came = shapes_of(tree)
    # by leaves and structure: trees of other libraries, such as equinox.nn.State, need not know what is equal
    if jax.tree.flatten(came) != jax.tree.flatten(like):
        raise ValueError(
            f"{name} must be like those that tracking began with; wanted {like}, got {came}. Track another network "
            "with a history of its own."
        )


def shapes_of(tree: PyTree) -> PyTree:
    """A pytree of arrays as one of shapes and dtypes."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(jnp.shape(leaf), _dtype(leaf)), tree)


def _dtype(leaf: AnyArray) -> Any:
    return leaf.dtype if isinstance(leaf, jax.Array) else jnp.result_type(leaf)
