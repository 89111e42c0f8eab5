#!/usr/bin/env bash
# Stochastic Lanczos quadrature of matfree is NaN once the matrix has fewer distinct eigenvalues than there are steps, as
# K + reg I has for a kernel of low rank: the recursion divides by the residual zero.
# Guessed: it stops, since the Krylov space is complete and the quadrature exact. matfree 0.6.3, jax 0.10.2.
# Exit 0: seen again. Exit 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q matfree==0.6.3 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import jax
import jax.numpy as jnp
import numpy as np
from matfree import decomp, funm, stochtrace


def logdet(A, steps):
    integrand = funm.monte_carlo_funm_sym_logdet(decomp.tridiag_sym(steps, reortho="full"))
    signs = stochtrace.sampler_signs(jnp.zeros(len(A)), num=50)
    return float(stochtrace.estimator_monte_carlo(integrand, signs)(lambda v: A @ v, jax.random.key(0)))


three = jnp.diag(jnp.repeat(jnp.array([1.0, 2.0, 3.0]), 7))  # 21 rows, three distinct eigenvalues
exact = 7 * np.log(6.0)
print(f"exact {exact:.4f}; 3 steps {logdet(three, 3):.4f}; 6 steps {logdet(three, 6)}; 2 I, 5 steps {logdet(2 * jnp.eye(20), 5)}")
assert abs(logdet(three, 3) - exact) < 1e-3
assert np.isnan(logdet(three, 6)) and np.isnan(logdet(2 * jnp.eye(20), 5)), "it survives the end of the Krylov space"
PYTHON
