#!/usr/bin/env bash
# optax.clip_by_global_norm sums squares in the dtype of the gradients: in float16 a norm above 256 is infinite, and the clipped
# gradient is zero. Training stands still, no number is infinite or NaN, nothing is said.
# Guessed: a gradient of norm 1, as in float32 and bfloat16; or NaN, which would be seen. optax 0.2.8, jax 0.10.2.
# Scaled losses, as one has them in float16, make such norms the rule. Safe: gradients in float32 before they are clipped.
# Exit 0: seen again. Exit 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q optax==0.2.8 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import jax
import jax.numpy as jnp
import optax

optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1))
moved = {}
for dtype in (jnp.float32, jnp.bfloat16, jnp.float16):
    params = {"w": jnp.ones(9, dtype)}
    gradient = jax.grad(lambda p: 100 * p["w"].sum())(params)  # nine entries of 100: norm 300
    step = jax.jit(optimizer.update)(gradient, optimizer.init(params), params)[0]["w"]
    moved[dtype.__name__] = float(jnp.abs(step.astype(jnp.float32)).max())
    print(dtype.__name__, "norm", optax.global_norm(gradient), "step", moved[dtype.__name__])
assert moved["float32"] > 0.03 and moved["bfloat16"] > 0.03
assert moved["float16"] == 0, "float16 gradients are clipped now, not lost"
PYTHON
