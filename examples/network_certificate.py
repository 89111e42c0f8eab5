"""How often does a trained network err on new examples? A certificate of the network itself, beside its test error.

python examples/network_certificate.py [recurrent] [transformer] [--quick]

A relu RNN tells digits 3 from 8, a two-layer flax transformer even digits from odd ones; a digit is 8 rows of 8.
The prior is centred at the initial weights, which know nothing of the data; all of the examples pay.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ntkseq import bounds, data, kernels
from ntkseq.interop import flax

QUICK = "--quick" in sys.argv
GRID = (1e-5, 1e-4, 1e-3, 1e-2)  # variances of the noise of every weight, all those that were tried: the bound pays
C = GRID[0]  # for training, which may look at anything: so small that the draws are nearly linear in it


def recurrent() -> tuple[Callable[..., Any], Any, np.ndarray, np.ndarray]:
    """A relu RNN whose answer is the mean over the steps, and the digits 3 and 8."""
    x, y = data.bundled.digits(classes=(3, 8))
    net = kernels.Recurrent(sigma_w=1.4, sigma_u=1.0, sigma_b=0.1, read="mean").finite(width=16 if QUICK else 144)
    return net.apply, net.init(jax.random.key(0), x[0]), np.asarray(x), np.asarray(y)


def transformer() -> tuple[Callable[..., Any], Any, np.ndarray, np.ndarray]:
    """Two layers of attention with residuals, in flax, and all digits, even against odd."""
    from flax import linen

    d = 8 if QUICK else 56

    class Transformer(linen.Module):
        @linen.compact
        def __call__(self, x):  # (t, 8)
            h = linen.Dense(d)(x) + self.param("positions", linen.initializers.normal(0.5), (8, d))
            for _ in range(2):
                h = h + linen.MultiHeadAttention(num_heads=4)(linen.LayerNorm()(h))
                h = h + linen.Dense(d)(linen.relu(linen.Dense(4 * d)(linen.LayerNorm()(h))))
            return linen.Dense(1)(linen.LayerNorm()(h).mean(axis=0))

    parts = [data.bundled.digits(classes=(even, odd)) for even, odd in ((0, 1), (2, 3), (4, 5), (6, 7), (8, 9))]
    x = np.concatenate([np.asarray(x) for x, _ in parts])
    y = np.concatenate([np.asarray(y) for _, y in parts])
    net = Transformer()
    f, w0 = flax.function(net, net.init(jax.random.key(0), x[0]))
    return f, w0, x, y


def trained(f: Callable[..., Any], w0: Any, x: Any, y: Any, *, margin: float, weight: float, steps: int) -> Any:
    """Adam on what the bound is made of: logistic losses, at a margin over the noise, and weight |w - w0|^2/(2 c)."""
    n, batch = len(y), min(len(y), 256)
    x, y = jnp.asarray(x), jnp.asarray(y, jnp.float32)
    answers = jax.vmap(lambda w, one: f(w, one)[0], (None, 0))
    before = answers(w0, x)

    def loss(w, which):
        scaled = (answers(w, x[which]) - before[which]) / (margin * C**0.5)
        moved = sum(jax.tree.leaves(jax.tree.map(lambda a, b: jnp.sum((a - b) ** 2), w, w0))) / (2 * C)
        return n * jnp.mean(jnp.logaddexp(0.0, -y[which] * scaled)) + weight * moved

    steps = 20 if QUICK else steps
    adam = optax.adam(optax.cosine_decay_schedule(0.03 * C**0.5, steps))

    @jax.jit
    def step(carry, key):
        which = jnp.arange(n) if batch == n else jax.random.choice(key, n, (batch,))
        moves, state = adam.update(jax.grad(loss)(carry[0], which), carry[1])
        return (optax.apply_updates(carry[0], moves), state), None

    (w, _), _ = jax.lax.scan(step, (w0, adam.init(w0)), jax.random.split(jax.random.key(3), steps))
    return w


def errors(f: Callable[..., Any], w0: Any, w: Any, said: bounds.NetworkBound, x: Any, y: Any) -> tuple[float, float]:
    """On examples that were kept back: the share of wrong answers of the mean network, and of drawn ones."""
    answers = jax.jit(jax.vmap(lambda w, one: f(w, one)[0], (None, 0)))
    wrong = lambda w: float(np.mean(np.asarray(answers(w, x) - answers(w0, x)) * y <= 0))  # noqa: E731
    return wrong(w), float(np.mean([wrong(said.draw(key)) for key in jax.random.split(jax.random.key(4), 50)]))


def report(name: str, make: Callable[[], Any], test: int, draws: int, **options: Any) -> None:
    """Train on all but some examples, certify, and compare with those."""
    f, w0, x, y = make()
    order = np.random.default_rng(0).permutation(len(y))
    back, kept = order[:test], order[test:]
    w = trained(f, w0, x[kept], y[kept], **options)
    said = bounds.network(
        f, w0, w, x[kept], y[kept], key=jax.random.key(1), c=GRID, centred=True, draws=50 if QUICK else draws
    )
    at = said.constants
    print(f"{name}: n = {at.n}, p = {at.p}")
    print(" ", said.verdict)
    print(
        f"  {at.draws} draws on these examples: {at.empirical:.4f}, mean network {at.mean_network:.4f}; KL {at.kl:.1f}"
    )
    if test:
        mean, drawn = errors(f, w0, w, said, x[back], y[back])
        print(f"  on {test} examples kept back: drawn networks {drawn:.4f}, mean network {mean:.4f}")


chosen = [word for word in sys.argv[1:] if not word.startswith("-")] or ["recurrent", "transformer"]
if "recurrent" in chosen:
    report("relu RNN, digits 3/8", recurrent, 0, 1000, margin=0.5, weight=1.5, steps=300)
    report("relu RNN, digits 3/8", recurrent, 100, 1000, margin=0.5, weight=1.5, steps=300)
if "transformer" in chosen:
    report("transformer, even/odd digits", transformer, 500, 400, margin=2.0, weight=1.5, steps=400)
