#!/usr/bin/env bash
# Random draws in bfloat16 have 128 values: jax.random.normal(dtype=bfloat16) has the mean -0.012 and ends at 2.5; so every layer
# of flax with param_dtype=bfloat16 starts with weights of mean -0.019 standard deviations, each the same way.
# jax.random.categorical of bfloat16 logits hardly ever draws what is rarer than 1 in 500: 0.005 % in place of 0.15 %.
# jax.random.bernoulli(key, bfloat16(0.001)) is true at 0.8 %, eight times as often as asked.
# Guessed: the float32 draws, rounded. jax 0.10.2, flax 0.12.8. float16 has 1024 values, and the same to a lesser degree.
# Safe: draw in float32 and round, jax.random.normal(key, shape).astype(dtype); logits.astype(float32).
# Exit 0: seen again. Exit 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jax==0.10.2 jaxlib==0.10.2 flax==0.12.8 numpy==2.4.6
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

key, n = jax.random.key(0), 10**6


def wide(a):
    return np.asarray(a).astype(np.float64)


half, full = wide(jax.random.normal(key, (n,), jnp.bfloat16)), wide(jax.random.normal(key, (n,)).astype(jnp.bfloat16))
for name, z in (("drawn in bfloat16", half), ("drawn in float32 and rounded", full)):
    print(f"{name}: {len(np.unique(z))} values, mean {z.mean():.4f} (standard error 0.001), largest {z.max():.2f}")
assert len(np.unique(half)) == 128 and half.mean() < -0.01 and half.max() < 3, "normal draws in bfloat16 have changed"
assert abs(full.mean()) < 0.004 and full.max() > 4

layer = wide(nnx.Linear(512, 512, param_dtype=jnp.bfloat16, rngs=nnx.Rngs(0)).kernel[...])
print(f"flax nnx.Linear, bfloat16: mean / standard deviation {layer.mean() / layer.std():.4f} (standard error 0.002)")
assert layer.mean() / layer.std() < -0.01, "the weights have mean zero now"

p = np.array([0.7, 0.2985, 0.0015])
for dtype in (jnp.float32, jnp.bfloat16):
    drawn = np.bincount(jax.random.categorical(key, jnp.log(jnp.asarray(p, jnp.float32)).astype(dtype), shape=(n,)), minlength=3)
    print(f"categorical, logits in {dtype.__name__}: {drawn / n} for {p}")
assert drawn[2] / n < 0.0002, "rare tokens are drawn now"
rate = float(jax.random.bernoulli(key, jnp.bfloat16(0.001), (n,)).mean())
print("bernoulli(0.001), bfloat16:", rate)
assert rate > 0.005, "bernoulli has changed"
PYTHON
