"""Which numbers in a model of flax or equinox does training move beside the parameters?

Nothing is imported here: an object of a library that is not loaded cannot have come in.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import jax

AVERAGE, CACHE = "the running average", "the cache"
CONSTANT = frozenset({"params", "constants", "intermediates", "perturbations"})
"""Collections of flax.linen that no forward pass moves, or that none reads."""


class Refused(ValueError):
    """An error of a model that says itself what to do: nothing is to be added to its words."""


def moving(value: object, name: str = "") -> tuple[str, ...]:
    """What an object holds of such numbers, in words; empty where there is nothing, or it is of no such library.

    Args:
        value: a module or state of flax.nnx, the variables of flax.linen, an `equinox.nn.State`.
        name: of the object, for what has no names of its own.
    """
    nnx, nn = sys.modules.get("flax.nnx"), sys.modules.get("equinox.nn")
    if nnx is not None and isinstance(value, (nnx.Module, nnx.State)):
        return _nnx(nnx, value)
    if nn is not None and isinstance(value, nn.State):
        return (f"the equinox.nn.State {name}".rstrip(),) if jax.tree.leaves(value) else ()
    if isinstance(value, Mapping) and ("batch_stats" in value or "cache" in value):
        return of_collections(value)
    return ()


def of_collections(variables: Mapping[str, Any]) -> tuple[str, ...]:
    """Those of flax.linen, by collection and path."""
    kinds = {"batch_stats": AVERAGE, "cache": CACHE}
    held = {key: value for key, value in variables.items() if key not in CONSTANT}
    paths = [path for path, _ in jax.tree.leaves_with_path(held)]
    return tuple(f"{kinds.get(path[0].key, 'the collection')} {jax.tree_util.keystr(path)}" for path in paths)


def _nnx(nnx: Any, value: object) -> tuple[str, ...]:
    state = nnx.state(value) if isinstance(value, nnx.Module) else value
    apart = (nnx.Param, nnx.RngState, nnx.Intermediate, nnx.Perturbation)
    names = []
    for path, leaf in jax.tree.leaves_with_path(state, is_leaf=lambda leaf: isinstance(leaf, nnx.Variable)):
        if isinstance(leaf, nnx.Variable) and not isinstance(leaf, apart):
            kind = next(
                (word for of, word in ((nnx.BatchStat, AVERAGE), (nnx.Cache, CACHE)) if isinstance(leaf, of)), None
            )
            names.append(f"{kind or f'the {type(leaf).__name__}'} {jax.tree_util.keystr(path)}")
    return tuple(names)
