#!/usr/bin/env bash
# table[ids] with an id beyond the table: the value is the last row, the forward-mode derivative follows it, the reverse-mode
# derivative is zero. And the two libraries of layers answer differently: a row of NaN (flax), the last row (equinox), and
# for a table of one row the first row (flax again).
# Guessed: jax.jvp and jax.vjp are one linear map and its transpose. jax 0.10.2, flax 0.12.8, equinox 0.13.8.
# A kernel of Jacobian-vector products and one of gradients are then two kernels.
# Exit 0: seen again. Exit 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jax==0.10.2 jaxlib==0.10.2 flax==0.12.8 equinox==0.13.8 numpy==2.4.6
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

table, ids, ones = jnp.array([1.0, 2.0, 3.0]), jnp.array([5]), jnp.ones(3)


def look(table):
    return table[ids][0]


value, forward = jax.jvp(look, (table,), (ones,))
backward = jax.grad(look)(table)
print("value", value, "| forward derivative along (1, 1, 1)", forward, "| gradient", backward)
assert value == 3.0 and forward == 1.0 and not backward.any(), "forward and reverse mode agree now"
print("jnp.take:", jnp.take(table, ids))
assert jnp.isnan(jnp.take(table, ids)).all()
flax = nnx.Embed(3, 2, rngs=nnx.Rngs(0))(jnp.array([5]))
one = nnx.Embed(1, 2, rngs=nnx.Rngs(0))(jnp.array([0, 5]))
embedding = eqx.nn.Embedding(3, 2, key=jax.random.key(0))
print("flax nnx.Embed:", flax, "| with one row:", one, "| equinox:", embedding(jnp.array(5)))
assert jnp.isnan(flax).all() and np.array_equal(one[0], one[1])
assert np.array_equal(embedding(jnp.array(5)), embedding.weight[2])
PYTHON
