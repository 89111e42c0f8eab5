#!/usr/bin/env bash
# jax.flatten_util.ravel_pytree of float32 weights beside integers makes float32 of all and the same integers no more:
# counters, token ids and random keys above 2^24 come back rounded, in their old dtype, without a warning.
# Guessed: unravel(flat) of an unchanged flat is the tree that went in, or mixed trees are refused. jax 0.10.2.
# The state of a flax model with dropout is such a tree: its key comes back as another key, its masks are others.
# Safe: ravel the parameters alone (nnx.split(model, nnx.Param, ...)).
# Exit 0: seen again. Exit 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jax==0.10.2 jaxlib==0.10.2 flax==0.12.8 numpy==2.4.6
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import warnings

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

warnings.simplefilter("error")
key = jax.random.key_data(jax.random.key(123456789))
tree = {"weights": jnp.ones(2), "tokens": jnp.array([16_777_217]), "key": key}
flat, unravel = ravel_pytree(tree)
back = unravel(flat)
print("in: ", {name: leaf.tolist() for name, leaf in tree.items()}, flat.dtype)
print("out:", {name: leaf.tolist() for name, leaf in back.items()})
assert all(back[name].dtype == tree[name].dtype for name in tree)
assert back["tokens"][0] == 16_777_216 and back["key"][1] != key[1], "integers come back as they were now"
masks = [jax.random.bernoulli(jax.random.wrap_key_data(k), 0.5, (100,)) for k in (key, back["key"])]
print("entries of a mask that differ:", int(np.sum(masks[0] != masks[1])), "of 100")
assert (masks[0] != masks[1]).any()
PYTHON
