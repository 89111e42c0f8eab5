"""Which infinite-width kernel does a recurrent module of flax, equinox or haiku have?

python examples/limit_of.py [flax] [equinox] [haiku]
"""

from __future__ import annotations

import sys
import warnings

import jax
import numpy as np

from ntkseq.interop import limits

x = np.random.default_rng(0).standard_normal((4, 6, 3)).astype(np.float32)  # n = 4 sequences, t = 6 steps, d = 3
width = 64


def flax() -> object:
    """An nnx model: a GRU under a linear read-out."""
    from flax import nnx

    rngs = nnx.Rngs(0)
    return nnx.Sequential(nnx.RNN(nnx.GRUCell(3, width, rngs=rngs)), nnx.Linear(width, 1, rngs=rngs))


def equinox() -> object:
    """equinox leaves the loop over time to you: the cell and the read-out."""
    import equinox as eqx

    one, two = jax.random.split(jax.random.key(0))
    return eqx.nn.LSTMCell(3, width, key=one), eqx.nn.Linear(width, 1, key=two)


def haiku() -> object:
    """Modules of haiku live inside hk.transform: a function that makes them."""
    import haiku as hk

    return lambda: (hk.GRU(width), hk.Linear(1))


def shown(values: object) -> str:
    """Four digits."""
    return np.array2string(np.asarray(values), precision=4, separator=", ").replace("\n", "")


MODELS = {"flax": flax, "equinox": equinox, "haiku": haiku}

for name in sys.argv[1:] or MODELS:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that equinox's scales hold at this width only: the record says it, too
        found = limits.limit_of(MODELS[name](), x, particles=512)
    print(found)
    print("  covariance of the outputs, first two:", shown(found.kernel.with_(kind="nngp")(x[:2])))
    print("  tangent kernel as stored, over n:", shown(found.standard()(x[:2]) / width))
