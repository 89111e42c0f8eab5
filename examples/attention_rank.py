"""Where does a trained transformer look? Effective ranks of its attention before and after training, with errors.

python examples/attention_rank.py [--quick]

A flax transformer tells ten digits apart, their eight rows as tokens. Rank 1: all tokens look at the same; 8: each at
one of its own.
"""

from __future__ import annotations

import sys

import jax
import numpy as np
import optax
from flax import linen
from scipy.stats import binomtest
from scipy.stats import t as student

from ntkseq import data, empirical, spectra
from ntkseq.interop import flax

QUICK = "--quick" in sys.argv
WIDTH, STEPS, TEST = (8, 5, 50) if QUICK else (32, 400, 400)


class Model(linen.Module):
    """Two blocks of attention with four heads, the mean token read out."""

    @linen.compact
    def __call__(self, x):  # (t, d)
        h = linen.Dense(WIDTH)(x) + self.param("positions", linen.initializers.normal(1.0), (8, WIDTH))
        for _ in range(2):
            h = h + linen.MultiHeadAttention(num_heads=4)(linen.LayerNorm()(h))
            h = h + linen.Dense(WIDTH)(linen.relu(linen.Dense(2 * WIDTH)(linen.LayerNorm()(h))))
        return linen.Dense(10)(linen.LayerNorm()(h).mean(axis=0))


x, y = data.bundled.digits()
test, train = slice(0, TEST), slice(TEST, None)
f, start = flax.function(Model(), Model().init(jax.random.key(0), x[0]))
answers = jax.jit(jax.vmap(f, (None, 0)))
adam = optax.adam(optax.cosine_decay_schedule(3e-3, STEPS))


@jax.jit
def step(carry, key):
    """One step of Adam on the cross-entropy of 64 examples."""
    which = jax.random.randint(key, (64,), TEST, len(y))

    def loss(w):
        return optax.softmax_cross_entropy_with_integer_labels(jax.vmap(f, (None, 0))(w, x[which]), y[which]).mean()

    moves, state = adam.update(jax.grad(loss)(carry[0]), carry[1])
    return (optax.apply_updates(carry[0], moves), state), None


(end, _), _ = jax.lax.scan(step, (start, adam.init(start)), jax.random.split(jax.random.key(1), STEPS))

attention = empirical.attention_weights(f)
some = x[test][:100]
for name, params in (("before", start), ("after", end)):
    right = int(np.sum(np.asarray(answers(params, x[test])).argmax(axis=1) == np.asarray(y[test])))
    span = binomtest(right, TEST).proportion_ci(0.95)
    print(f"{name} training: right on {right / TEST:.3f} of {TEST}, 95 % {span.low:.3f} to {span.high:.3f}")
    print(spectra.attention_ranks(attention, params, some, kinds=("entropy", "stable")))

# the same examples before and after: their differences, not the two means, tell what training did
matrices = [jax.jit(jax.vmap(attention, (None, 0)))(params, some) for params in (start, end)]
for layer, (before, after) in enumerate(zip(*matrices, strict=True)):
    change = np.asarray(spectra.effective_ranks(after, "entropy") - spectra.effective_ranks(before, "entropy"))
    by_example = change.mean(axis=1)  # (n, heads) -> (n,)
    half = student.ppf(0.975, len(some) - 1) * by_example.std(ddof=1) / len(some) ** 0.5  # 95 %
    mean = by_example.mean()
    verdict = "which is not told from none" if abs(mean) < half else "it rises" if mean > 0 else "it falls"
    print(f"layer {layer}: the entropy rank changes by {mean:+.3f} -+ {half:.3f}: {verdict}")
