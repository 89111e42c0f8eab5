#!/usr/bin/env bash
# tinygp's Matern32, Matern52, RationalQuadratic (and Cosine, Exp) take the L1 distance unless told otherwise, ExpSquared the
# Euclidean one. With L1, Matern32, Matern52 and RationalQuadratic are no kernels of points in the plane: their matrices have
# negative eigenvalues, -1 % of the largest, far beyond rounding, and the log likelihood of a Gaussian process is -inf.
# Guessed: the Euclidean distance throughout, as in scikit-learn, GPyTorch and gpjax; positive semi-definite in any dimension.
# tinygp 0.3.1. Safe: Matern32(distance=tinygp.kernels.distance.L2Distance()).
# Exit 0: seen again. Exit 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q tinygp==0.3.1 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import jax
import jax.numpy as jnp
import numpy as np
from tinygp import GaussianProcess, kernels

x = jax.random.normal(jax.random.key(0), (60, 2))
for make in (kernels.Matern32, kernels.Matern52, kernels.RationalQuadratic, kernels.ExpSquared):
    options = {"alpha": 1.0} if make is kernels.RationalQuadratic else {}
    default = make(scale=2.0, **options)
    euclidean = make(scale=2.0, distance=kernels.distance.L2Distance(), **options)
    least = {}
    for name, kernel in (("default", default), ("Euclidean", euclidean)):
        eigenvalues = np.linalg.eigvalsh(np.asarray(kernel(x, x), np.float64))
        likelihood = GaussianProcess(kernel, x, diag=1e-3).log_probability(jnp.sin(x[:, 0]))
        least[name] = eigenvalues[0] / eigenvalues[-1]
        distance = type(kernel.distance).__name__
        print(f"{make.__name__}, {name} ({distance}): least / largest {least[name]:.1e}, log likelihood {likelihood:.4g}")
    assert least["Euclidean"] > -1e-6
    if make is kernels.ExpSquared:
        assert least["default"] > -1e-6
    else:
        assert least["default"] < -1e-3, "the default distance has changed"
PYTHON
