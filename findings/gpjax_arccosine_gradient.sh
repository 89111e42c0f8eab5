#!/usr/bin/env bash
# gpjax: the gradient of ArcCosine, the kernel of infinitely wide relu networks, is NaN in float32 at every entry of the diagonal:
# arccos at 1. So the gradient of a marginal likelihood is NaN from the first step, in two of five parameters, while its value,
# and the same gradient in float64, are right; RBF has a gradient in float32.
# Guessed: a number of fewer digits, as the warning that X "is not of type float64" lets one expect; the kernel keeps from 1 by
# a jitter "to improve numerical stability", which is 1e-15. gpjax 1.0.0, jax 0.10.2.
# Safe: jax.config.update("jax_enable_x64", True) before anything else.
# Exit 0: seen again. Exit 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q gpjax==1.0.0 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import equinox
import gpjax
import jax
import jax.numpy as jnp
import numpy as np

rng = np.random.default_rng(0)
x, y = rng.standard_normal((6, 2)), rng.standard_normal((6, 1))


def gradient(kernel, dtype):
    data = gpjax.Dataset(X=jnp.asarray(x, dtype), y=jnp.asarray(y, dtype))
    prior = gpjax.gps.Prior(mean_function=gpjax.mean_functions.Zero(), kernel=kernel)
    value, slopes = equinox.filter_value_and_grad(lambda p: gpjax.objectives.conjugate_mll(p, data))(prior * gpjax.likelihoods.Gaussian())
    slopes = np.array([float(leaf) for leaf in jax.tree.leaves(slopes)])
    print(f"{type(kernel).__name__}, {jnp.dtype(dtype)}: log likelihood {float(value):.4f}, its gradient {slopes.round(3)}")
    return float(value), slopes


value, slopes = gradient(gpjax.kernels.ArcCosine(order=1), jnp.float32)
assert np.isfinite(value) and np.isnan(slopes).any(), "the gradient is a number now"
assert np.isfinite(gradient(gpjax.kernels.RBF(), jnp.float32)[1]).all()
jax.config.update("jax_enable_x64", True)
gradient(gpjax.kernels.ArcCosine(order=1), jnp.float64)
PYTHON
