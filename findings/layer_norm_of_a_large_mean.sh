#!/usr/bin/env bash
# LayerNorm of flax (nnx and linen) and jax.nn.standardize take the variance as E[x^2] - E[x]^2: in float32, features
# around 10,000 with standard deviation 1 leave a "normalised" layer with standard deviation 1,000 or 300 in place of 1.
# Guessed: standard deviation 1 to a few per cent, as in PyTorch and equinox. jax 0.10.2, flax 0.12.8, equinox 0.13.8.
# flax has use_fast_variance=False; jax.nn.standardize has no such option. Take the mean off the data first.
# Exit 0: seen again. Exit 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jax==0.10.2 jaxlib==0.10.2 flax==0.12.8 equinox==0.13.8 numpy==2.4.6
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import equinox as eqx
import jax
import numpy as np
from flax import linen, nnx

x = (1e4 + np.random.default_rng(0).standard_normal((2, 512))).astype(np.float32)


def deviation(y):
    return np.asarray(y, np.float64).std(axis=1).round(3)


layer = linen.LayerNorm()
seen = {
    "flax nnx.LayerNorm": nnx.LayerNorm(512, rngs=nnx.Rngs(0))(x),
    "flax linen.LayerNorm": layer.apply(layer.init(jax.random.key(0), x), x),
    "jax.nn.standardize": jax.nn.standardize(x),
    "flax nnx.LayerNorm, use_fast_variance=False": nnx.LayerNorm(512, use_fast_variance=False, rngs=nnx.Rngs(0))(x),
    "equinox LayerNorm": jax.vmap(eqx.nn.LayerNorm(512))(x),
}
for name, y in seen.items():
    print(f"{name}: standard deviation {deviation(y)}")
wrong, right = list(seen)[:3], list(seen)[3:]
assert all((deviation(seen[name]) > 10).all() for name in wrong), "the variance is no longer lost"
assert all((abs(deviation(seen[name]) - 1) < 0.01).all() for name in right)
PYTHON
