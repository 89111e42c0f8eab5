#!/usr/bin/env bash
# jax 0.10.2: the gradient of x.at[i].min(u, mode="clip") and .max with respect to u is infinite or NaN where i lies beyond
# the array and is clipped to its last entry, although the value is right.
# Guess: the gradient of the same update at the last entry itself, as for set, add and multiply.
# Seen: inf instead of 1 for min, and NaN for a whole row of updates; x's own gradient is 1 at an entry that was replaced.
# Jacobians by jax.jacrev inherit it, so a kernel that multiplies them is NaN where one that walks the program is not.
# Not seen with 0.12.0.1. Safe on both: clip the index first, x.at[jnp.clip(i, 0, len(x) - 1)].min(u).
# Exit 0: seen again. Exit 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jax==0.10.2 jaxlib==0.10.2
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import jax, jax.numpy as jnp

print("jax", jax.__version__)
x = jnp.array([1.0, 2.0, 3.0])
at = lambda i: lambda u, x: x.at[i].min(u, mode="clip", unique_indices=True).sum()
print("value:", at(5)(2.5, x), "and with the index clipped before:", at(2)(2.5, x))
by_u = [float(jax.grad(at(i))(2.5, x)) for i in (5, 2)]
by_x = [jax.grad(at(i), argnums=1)(2.5, x).tolist() for i in (5, 2)]
print("d/du:", by_u, "d/dx:", by_x)
assert at(5)(2.5, x) == at(2)(2.5, x) == 5.5
assert by_u == [float("inf"), 1.0]
assert by_x[0] == [1.0, 1.0, 1.0]
PYTHON
