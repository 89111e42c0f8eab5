#!/usr/bin/env bash
# jax.random.multivariate_normal(method="eigh") draws NaN from a singular covariance, the case that its documentation names it for:
# "For singular covariance matrices, use 'svd' or 'eigh'". Eigenvalues that are zero come out as -1e-6, and their square root is taken.
# Gram matrices of rank 3, and of a Gaussian kernel of 60 points: NaN for each of 20 draws in float32, as from the default, Cholesky;
# method="svd" draws what was asked for. In float64 it is the same.
# Guessed: a draw, the negative rounding cut off at zero, as numpy's generator has it for its own method="eigh". jax 0.10.2, numpy 2.4.6.
# Exit 0: seen again. Exit 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
cat > "$folder/draws.py" <<'PYTHON'
import jax
import jax.numpy as jnp
import numpy as np

assert "For\n      singular covariance matrices, use 'svd' or 'eigh'" in jax.random.multivariate_normal.__doc__


def covariances(seed):
    rng = np.random.default_rng(seed)
    features, x = rng.standard_normal((60, 3)), rng.uniform(size=60)
    return {"rank 3": features @ features.T, "Gaussian kernel": np.exp(-((x[:, None] - x) ** 2) / 0.02)}


lost, by_numpy = {}, 0
for seed in range(20):
    for name, K in covariances(seed).items():
        for method in ("cholesky", "eigh", "svd"):
            draw = jax.random.multivariate_normal(jax.random.key(seed), jnp.zeros(60), jnp.asarray(K), method=method)
            lost[name, method] = lost.get((name, method), 0) + bool(jnp.isnan(draw).any())
        numbers = np.random.default_rng(seed).multivariate_normal(np.zeros(60), K.astype(np.float32), method="eigh", check_valid="ignore")
        by_numpy += bool(np.isnan(numbers).any())
print(draw.dtype, "draws that are NaN, of 20:", lost, "numpy, method eigh, of 40:", by_numpy)
assert lost["rank 3", "eigh"] == lost["Gaussian kernel", "eigh"] == 20, "eigh draws from singular covariances now"
assert lost["rank 3", "svd"] == lost["Gaussian kernel", "svd"] == by_numpy == 0
PYTHON
JAX_PLATFORMS=cpu "$folder/venv/bin/python" "$folder/draws.py"
JAX_ENABLE_X64=1 JAX_PLATFORMS=cpu "$folder/venv/bin/python" "$folder/draws.py"
