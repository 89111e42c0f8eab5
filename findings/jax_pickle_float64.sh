#!/usr/bin/env bash
# A float64 array of JAX, pickled by a process in its 64-bit mode, is read back as float32 in the 32-bit mode, the default:
# half of the digits are gone, without an error or a warning. NumPy arrays keep their dtype.
# Guessed: float64 as it was pickled, or a refusal. jax 0.10.2. Pickle numpy.asarray(a).
# Exit 0: seen again. Exit 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
cd "$folder"
export JAX_PLATFORMS=cpu
JAX_ENABLE_X64=1 venv/bin/python -c '
import pickle, jax.numpy as jnp, numpy as np
a = jnp.array([1 / 3])
with open("a.pickle", "wb") as file:
    pickle.dump({"jax": a, "numpy": np.asarray(a)}, file)
print("written:", a.dtype, float(a[0]))'
venv/bin/python -W error -c '
import pickle
with open("a.pickle", "rb") as file:
    read = pickle.load(file)
print("read:", {name: (str(a.dtype), float(a[0])) for name, a in read.items()})
assert str(read["jax"].dtype) == "float32", "float64 survives now"
assert str(read["numpy"].dtype) == "float64"'
