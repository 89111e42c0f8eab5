#!/usr/bin/env bash
# jax.numpy.histogram counts in the dtype of the data, adding ones: a bin of 20,000,000 float32 numbers has 16,777,216, one of 100,000
# float16 numbers 2048 and one of 10,000 bfloat16 numbers 256, without a word. The entries of one Gram matrix of 4,500 examples are
# 20,000,000 numbers; the histogram of a layer's bfloat16 weights ends at 256 for each bin.
# Guessed: integers, as from numpy.histogram; or counts that are rounded, not stopped. jax 0.10.2, numpy 2.4.6.
# Safe: jnp.bincount(jnp.searchsorted(edges, data)), or numpy.histogram.
# Exit 0: seen again. Exit 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import jax.numpy as jnp
import numpy as np

for dtype, size, most in ((jnp.float32, 20_000_000, 2**24), (jnp.float16, 100_000, 2048), (jnp.bfloat16, 10_000, 256)):
    data = jnp.full(size, 0.25, dtype)
    counts, edges = jnp.histogram(data, bins=2, range=(0, 1))
    by_numpy = np.histogram(np.asarray(data, np.float32), bins=2, range=(0, 1))[0]
    safe = jnp.bincount(jnp.searchsorted(edges[1:], data, side="right"), length=2)
    print(f"{size} numbers of {counts.dtype}: jax {counts.tolist()}, numpy {by_numpy.tolist()}, bincount {safe.tolist()}")
    assert int(counts[0]) == most, "all are counted now"
    assert by_numpy[0] == safe[0] == size
PYTHON
