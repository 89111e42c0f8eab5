"""What is the tangent kernel of your own transformer on tokens, and does it know the task? One of flax, one of equinox.

python examples/model_kernel.py [flax] [equinox] [--quick]

Text: scikit-learn's descriptions of its data sets. From 12 characters: is the next one a blank?
"""

from __future__ import annotations

import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen
from scipy.stats import binomtest

import ntkseq
from ntkseq import data, empirical, predictors
from ntkseq.interop import equinox, flax

T, WIDTH, N, TEST = (12, 8, 24, 40) if "--quick" in sys.argv else (12, 32, 200, 400)


class FlaxModel(linen.Module):
    """Embedding and positions, one block of attention, a layer, the last token read out."""

    @linen.compact
    def __call__(self, ids):  # (t,)
        h = linen.Embed(64, WIDTH)(ids) + self.param("positions", linen.initializers.normal(1.0), (T, WIDTH))
        h = h + linen.MultiHeadAttention(num_heads=2)(linen.LayerNorm()(h))
        return linen.Dense(1)(linen.gelu(linen.Dense(2 * WIDTH)(linen.LayerNorm()(h)))[-1])


class EquinoxModel(eqx.Module):
    """The same in equinox."""

    def __init__(self, key):
        keys = jax.random.split(key, 5)
        self.embed, self.positions = eqx.nn.Embedding(64, WIDTH, key=keys[0]), jax.random.normal(keys[1], (T, WIDTH))
        self.attention = eqx.nn.MultiheadAttention(2, WIDTH, key=keys[2])
        linear = [eqx.nn.Linear(WIDTH, 2 * WIDTH, key=keys[3]), eqx.nn.Linear(2 * WIDTH, 1, key=keys[4])]
        self.layers = [eqx.nn.LayerNorm(WIDTH), eqx.nn.LayerNorm(WIDTH), *linear]

    embed: eqx.nn.Embedding
    positions: jax.Array
    attention: eqx.nn.MultiheadAttention
    layers: list

    def __call__(self, ids):  # (t,)
        h = jax.vmap(self.embed)(ids) + self.positions
        g = jax.vmap(self.layers[0])(h)
        h = h + self.attention(g, g, g)
        return self.layers[3](jax.nn.gelu(self.layers[2](self.layers[1](h[-1]))))


windows, after = data.text.windows(data.text.encode(" ".join(data.text.descriptions().values())), T)
blank = after == data.text.encode("a b")[1]
rng = np.random.default_rng(0)
some = np.stack([rng.choice(np.flatnonzero(blank == one), (N + TEST) // 2, False) for one in (0, 1)], 1).ravel()
x, y = jnp.asarray(windows[some]), jnp.where(jnp.asarray(blank[some]), 1.0, -1.0)  # half of each, in turn

for name in [word for word in sys.argv[1:] if not word.startswith("-")] or ["flax", "equinox"]:
    model = FlaxModel() if name == "flax" else EquinoxModel(jax.random.key(0))
    weights = [model.init(jax.random.key(0), x[0])] if name == "flax" else []  # equinox holds its own
    f, params = {"flax": flax, "equinox": equinox}[name].function(model, *weights)
    network = empirical.NTK(f, params)
    K, cross = ntkseq.gram(network, x[:N]), ntkseq.gram(network, x[N:], x[:N])
    chosen = predictors.select_reg(K, y[:N], [float(np.trace(K)) / N * 10.0**e for e in range(-5, 1)])
    fit = ntkseq.ridge(K, y[:N], reg=chosen.reg)  # of least leave-one-out error
    wrong = int(np.sum(np.sign(np.asarray(fit(cross))) != np.asarray(y[N:])))
    ends = binomtest(wrong, TEST).proportion_ci(0.95)
    told = "better than" if ends.high < 0.5 else "worse than" if ends.low > 0.5 else "not told from"
    print(f"{name}: {sum(leaf.size for leaf in jax.tree.leaves(params))} parameters, {N} windows of {T} characters")
    least, rank = ntkseq.spectrum(K).min_eigenvalue, ntkseq.spectrum(K).effective_rank("entropy")
    zero = "told from zero" if least.positive else "not told from zero"
    print(f"  least eigenvalue {least}, {zero}; {rank:.1f} of {N} directions hold the trace (entropy rank)")
    errs = f"{wrong / TEST:.3f} of {TEST} others (95 % {ends.low:.3f} to {ends.high:.3f})"
    print(f"  its kernel machine errs on {errs}, which is {told} guessing")
