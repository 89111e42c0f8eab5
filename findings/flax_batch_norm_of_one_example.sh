#!/usr/bin/env bash
# flax nnx.BatchNorm in training mode takes one example without a batch axis: it "normalises" every feature by itself alone,
# the variance is 0 and the layer returns its bias whatever the input is, so every derivative in the input is 0.
# Guessed: an error that a batch axis is missing, as from equinox. flax 0.12.8, equinox 0.13.8.
# Under jax.vmap, and in a per-example Jacobian, this is what is differentiated unless model.eval() was called.
# Exit 0: seen again. Exit 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jax==0.10.2 jaxlib==0.10.2 flax==0.12.8 equinox==0.13.8 numpy==2.4.6
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import equinox as eqx
import jax
import jax.numpy as jnp
from flax import nnx

x = jax.random.normal(jax.random.key(0), (5, 3))  # five examples of three features
one_by_one = jax.vmap(lambda one: nnx.BatchNorm(3, rngs=nnx.Rngs(0))(one))(x)
slope = jax.jacobian(lambda one: nnx.BatchNorm(3, rngs=nnx.Rngs(0))(one))(x[0])
print("flax, example by example:", one_by_one.tolist(), "derivative", slope.tolist())
print("flax, as a batch:", nnx.BatchNorm(3, rngs=nnx.Rngs(0))(x)[0])
assert not one_by_one.any() and not slope.any(), "one example without a batch axis is no longer taken"
layer, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(3, "batch", mode="batch")
try:
    layer(x[0], state)
except NameError as error:
    print("equinox:", type(error).__name__, str(error).splitlines()[0])
else:
    raise AssertionError("equinox takes one example now")
PYTHON
