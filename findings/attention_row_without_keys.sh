#!/usr/bin/env bash
# A query that may attend to no key at all gets the plain average of all values, those behind the mask included, from
# jax.nn.dot_product_attention (mask or a length of 0) and flax nnx.dot_product_attention; jax.nn.softmax(where=) gives 0.
# Guessed: NaN or 0. jax 0.10.2, flax 0.12.8. Padding then leaks into outputs, kernels and ranks of attention.
# Exit 0: seen again. Exit 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jax==0.10.2 jaxlib==0.10.2 flax==0.12.8 numpy==2.4.6
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import jax
import jax.numpy as jnp
from flax import nnx

query = jnp.ones((1, 2, 1, 4))  # batch, queries, heads, features
key = jax.random.normal(jax.random.key(0), (1, 3, 1, 4))
value = jnp.array([1.0, 10.0, 100.0]).reshape(1, 3, 1, 1) * jnp.ones((1, 3, 1, 4))
none = jnp.zeros((1, 1, 2, 3), bool)
seen = {
    "jax.nn.dot_product_attention, mask": jax.nn.dot_product_attention(query, key, value, mask=none),
    "jax.nn.dot_product_attention, length 0": jax.nn.dot_product_attention(
        query, key, value, key_value_seq_lengths=jnp.array([0])
    ),
    "flax nnx.dot_product_attention, mask": nnx.dot_product_attention(query, key, value, mask=none),
}
for name, out in seen.items():
    print(f"{name}: {out[0, :, 0, 0]}, the mean of (1, 10, 100)")
    assert jnp.allclose(out, 37.0), f"{name} has changed"
weights = jax.nn.softmax(jnp.ones(3), where=jnp.zeros(3, bool))
print("jax.nn.softmax with where= nowhere:", weights)
assert not weights.any()
PYTHON
