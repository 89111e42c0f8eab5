"""How do typed random keys (`jax.random.key`) ride among arrays? As their numbers, made keys again for f."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ntkseq._struct import static, struct
from ntkseq._types import ArrayLike, PyTree


@struct
class Keyed:
    """The numbers of an array of keys, and of which kind they are."""

    data: Any
    impl: Any = static()


def is_key(leaf: ArrayLike) -> bool:
    """Whether this is an array of typed keys."""
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def laid_open(tree: PyTree) -> PyTree:
    """Every array of keys as a `Keyed`; other leaves as they are."""
    if not any(map(is_key, jax.tree.leaves(tree))):
        return tree
    opened = lambda leaf: Keyed(jax.random.key_data(leaf), jax.random.key_impl(leaf)) if is_key(leaf) else leaf  # noqa: E731
    return jax.tree.map(opened, tree)


def made_again(tree: PyTree) -> PyTree:
    """Every `Keyed` as the keys it stands for."""
    is_keyed = lambda part: isinstance(part, Keyed)  # noqa: E731
    if not any(map(is_keyed, jax.tree.leaves(tree, is_leaf=is_keyed))):
        return tree
    made = lambda part: jax.random.wrap_key_data(part.data, impl=part.impl) if is_keyed(part) else part  # noqa: E731
    return jax.tree.map(made, tree, is_leaf=is_keyed)
