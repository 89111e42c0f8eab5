#!/usr/bin/env bash
# numpy.linalg.pinv and lstsq of a float32 Gram of rank 3 are wrong by ten orders of magnitude: they cut off singular values at
# 1e-15 and at the epsilon of float64 times n, and float32 products leave singular values of 1e-7 in place of zeros, which are then
# inverted. numpy.linalg.matrix_rank of the same matrix cuts off at the epsilon of float32 and says 3.
# Guessed: the pseudo-inverse to six digits, as from scipy.linalg and jax.numpy; documented for lstsq is "the machine precision times
# max(M, N)" and it is not that of the array. numpy 2.4.6, scipy 1.17.1, jax 0.10.2.
# Safe: rcond=max(K.shape) * numpy.finfo(K.dtype).eps.
# Exit 0: seen again. Exit 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 scipy==1.17.1 jax==0.10.2 jaxlib==0.10.2
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import jax.numpy as jnp
import numpy as np
import scipy.linalg

rng = np.random.default_rng(0)
features = rng.standard_normal((60, 3)).astype(np.float32)
y = rng.standard_normal(60).astype(np.float32)
K = features @ features.T
half = np.linalg.pinv(features.astype(float))
inverse = half.T @ half  # of the matrix of rank 3 in float64


def off(answer, truth):
    return float(np.linalg.norm(np.asarray(answer, dtype=float) - truth) / np.linalg.norm(truth))


rank = int(np.linalg.matrix_rank(K))
print("numpy's rank:", rank)
assert rank == 3
for name, library in {"numpy": np.linalg, "scipy": scipy.linalg, "jax": jnp.linalg}.items():
    errors = off(library.pinv(K), inverse), off(library.lstsq(K, y)[0], inverse @ y)
    print(f"{name}: pinv off by {errors[0]:.1e}, lstsq by {errors[1]:.1e}")
    if name == "numpy":
        assert min(errors) > 1e6, "the cut is that of float32 now"
    else:
        assert max(errors) < 1e-4
rcond = 60 * np.finfo(np.float32).eps
errors = off(np.linalg.pinv(K, rcond=rcond), inverse), off(np.linalg.lstsq(K, y, rcond=rcond)[0], inverse @ y)
print(f"numpy with rcond of float32: {errors[0]:.1e}, {errors[1]:.1e}")
assert max(errors) < 1e-4
PYTHON
