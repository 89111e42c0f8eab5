#!/usr/bin/env bash
# jax.random.split(key, n)[i] IS jax.random.fold_in(key, i), and flax's nnx.Rngs(seed) hands out fold_in(key(seed), 0), 1, ...:
# data drawn from split(key(0))[0] and the first layer of a flax model with Rngs(0) are the same numbers, correlation 0.996.
# Guessed: split and fold_in lead to unrelated keys, and a model's seed says nothing of data of the same seed.
# jax 0.10.2, flax 0.12.8. Two streams of nnx.Rngs(params=0, dropout=0) are one stream, too.
# Safe: one idiom per key; another seed for the model than for the data.
# Exit 0: seen again. Exit 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jax==0.10.2 jaxlib==0.10.2 flax==0.12.8 numpy==2.4.6
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import jax
import numpy as np
from flax import nnx

key, data = jax.random.key(0), jax.random.key_data
split, folded = data(jax.random.split(key, 3)), np.stack([data(jax.random.fold_in(key, i)) for i in range(3)])
print("split(key, 3):", split.tolist(), "| fold_in(key, 0..2):", folded.tolist())
assert (split == folded).all(), "split and fold_in give other keys now"

for_data, _ = jax.random.split(key)
x = jax.random.normal(for_data, (256, 64))  # 256 examples of 64 features
layer = nnx.Linear(64, 64, rngs=nnx.Rngs(0))
W = np.asarray(layer.kernel[...])
same = np.corrcoef(np.ravel(x[:64]), np.ravel(W))[0, 1]
print(f"correlation of the first 64 examples with the weights of the first layer: {same:.4f} (unrelated: within 0.06)")
outputs = np.asarray(x @ W)
print(f"mean output at [i, i], i < 64: {np.abs(np.diag(outputs[:64])).mean():.3f}, elsewhere {np.abs(outputs[64:]).mean():.3f}")
assert same > 0.99, "the model and the data have numbers of their own now"

streams = nnx.Rngs(params=0, dropout=0)
assert (data(streams.params()) == data(streams.dropout())).all(), "streams of one seed differ now"
print("nnx.Rngs(params=0, dropout=0): one stream")
PYTHON
