#!/usr/bin/env bash
# flax 0.12.8: nnx.OptimizedLSTMCell starts with recurrent weights of half the size of nnx.LSTMCell's, gate by gate, though
# the documentation gives both the same equations and calls their parameters compatible; their parameters have other names
# and shapes, too. In linen the cells of these names start alike, parameter by parameter.
# Guess: one law of the start and one tree of parameters, as in linen; only the order of products differs.
# Seen: variance times fan-in 1 for each gate of LSTMCell and 1/4 for OptimizedLSTMCell, whose gates lie in one orthogonal
# matrix of h x 4h; so the two networks have different infinite-width kernels (sigma_w = 1 and 1/2).
# Exit 0: seen again. Exit 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q flax==0.12.8 jax==0.10.2 jaxlib==0.10.2
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import flax, flax.linen as nn, jax, numpy as np
from flax import nnx

h, d = 256, 8
print("flax", flax.__version__)
state = lambda cell: nnx.to_pure_dict(nnx.state(cell(d, h, rngs=nnx.Rngs(0)), nnx.Param))
plain, fast = state(nnx.LSTMCell), state(nnx.OptimizedLSTMCell)
gates = {name: h * float(np.var(plain[name]["kernel"])) for name in ("hi", "hf", "hg", "ho")}
blocks = [h * float(np.var(block)) for block in np.split(np.asarray(fast["dense_h"]["kernel"]), 4, axis=1)]
print("nnx.LSTMCell, variance times fan-in by gate:", {name: round(v, 3) for name, v in gates.items()})
print("nnx.OptimizedLSTMCell, the same:", [round(v, 3) for v in blocks])
print("names:", sorted(plain), "and", sorted(fast))
assert all(abs(v - 1) < 0.01 for v in gates.values()) and all(abs(v - 0.25) < 0.01 for v in blocks)
assert set(plain) != set(fast)


def linen(cell):
    x = np.zeros((1, d), np.float32)
    return cell(h).init(jax.random.key(0), cell(h).initialize_carry(jax.random.key(0), x.shape), x)["params"]


first, second = linen(nn.LSTMCell), linen(nn.OptimizedLSTMCell)
alike = jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), first, second))
print("linen: the two start alike:", alike)
assert alike
PYTHON
