#!/usr/bin/env bash
# safetensors.numpy writes the memory where a transposed, Fortran-ordered or strided array begins, under the array's shape:
# other numbers come back, without an error.
# Guessed: what is saved is what is loaded, as numpy.save has it. safetensors 0.8.0, numpy 2.4.6.
# K.T, x[:, ::2] and eigenvectors as LAPACK leaves them are such arrays: numpy.ascontiguousarray first.
# Exit 0: seen again. Exit 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q safetensors==0.8.0 numpy==2.4.6
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from safetensors.numpy import load, save

A = np.arange(6.0).reshape(2, 3)
transposed = load(save({"a": A.T}))["a"]
fortran = load(save({"a": np.asfortranarray(A)}))["a"]
every_second = np.arange(12.0).reshape(2, 6)[:, ::2]
strided = load(save({"a": every_second}))["a"]
print("saved  ", A.T.tolist(), "loaded", transposed.tolist())
print("saved  ", A.tolist(), "loaded", fortran.tolist())
print("saved  ", every_second.tolist(), "loaded", strided.tolist())
assert transposed.tolist() == [[0, 1], [2, 3], [4, 5]], "A.T now comes back as it was"
assert fortran.tolist() == [[0, 3, 1], [4, 2, 5]], "a Fortran-ordered array now comes back as it was"
assert strided.tolist() == [[0, 1, 2], [3, 4, 5]], "a strided array now comes back as it was"
PYTHON
