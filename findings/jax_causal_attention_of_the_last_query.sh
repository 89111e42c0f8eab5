#!/usr/bin/env bash
# jax.nn.dot_product_attention(is_causal=True) with fewer queries than keys counts both from the first: the one query of
# a step that is generated, against the five keys so far, attends to the first key alone, and generation step by step is not
# the attention of the whole sequence.
# Guessed: the last query sees all keys, as the last row of the whole; or shapes that differ are refused. The documentation of
# is_causal says nothing of it. jax 0.10.2.
# Safe: is_causal=False for a single last query, or mask=jnp.tril(jnp.ones((T, S), bool), S - T).
# Exit 0: seen again. Exit 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import jax
import jax.numpy as jnp
import numpy as np

q, k, v = jnp.asarray(np.random.default_rng(0).standard_normal((3, 1, 5, 2, 4)), jnp.float32)
attention = jax.nn.dot_product_attention
whole = attention(q, k, v, is_causal=True)
last = attention(q[:, -1:], k, v, is_causal=True)
print("last step of the whole:", whole[0, -1, 0].tolist())
print("the same query alone:  ", last[0, 0, 0].tolist())
print("the first value:       ", v[0, 0, 0].tolist())
assert jnp.allclose(last[:, 0], v[:, 0]), "the last query sees more than the first key now"
for t in (1, 2, 4):
    masked = attention(q[:, -t:], k, v, mask=jnp.tril(jnp.ones((t, 5), bool), 5 - t))
    assert jnp.allclose(masked, whole[:, -t:], atol=1e-5)
PYTHON
