#!/usr/bin/env bash
# flax: RNN(return_carry=True) with seq_lengths of 0 returns the carry after all of the padding, in linen and in nnx: step -1 is
# the last. Two empty sequences of a batch with other numbers in their padding have other summaries.
# Guessed: the initial carry, zeros. The documentation: elements beyond the length "will be considered padding and will be
# ignored". flax 0.12.8, jax 0.10.2; keras 3.15.1, with the mask of an empty sequence, has zeros.
# Safe: jnp.where(seq_lengths[:, None] > 0, carry, 0).
# Exit 0: seen again. Exit 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q flax==0.12.8 jax==0.10.2 jaxlib==0.10.2 keras==3.15.1 numpy==2.4.6
KERAS_BACKEND=jax JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import jax
import jax.numpy as jnp
import keras
import numpy as np
from flax import linen, nnx

x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 6, 2)), jnp.float32)
lengths = jnp.array([0, 0])
network = linen.RNN(linen.GRUCell(3), return_carry=True)
variables = network.init(jax.random.key(0), x)
other = nnx.RNN(nnx.GRUCell(2, 3, rngs=nnx.Rngs(0)), return_carry=True)
for name, call in {"linen": lambda **k: network.apply(variables, x, **k), "nnx": lambda **k: other(x, **k)}.items():
    empty, whole = call(seq_lengths=lengths)[0], call()[0]
    print(name, "carry of two empty sequences:", empty.tolist(), "of all steps:", whole.tolist())
    assert jnp.array_equal(empty, whole) and jnp.abs(empty).min() > 0, "an empty sequence has its initial carry now"
summary = np.asarray(keras.layers.GRU(3)(x, mask=np.zeros((2, 6), dtype=bool)))
print("keras:", summary.tolist())
assert not summary.any()
PYTHON
