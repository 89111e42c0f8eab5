"""What does one finite Elman network with an output at every step learn by the papers' algorithm?"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkseq._types import AnyArray, ArrayLike, PyTree
from ntkseq.studies.recurrent.sgd import NetworkFit, learn, papers_network

PROBED = 16  # sequences whose own kernel is looked at before training


@functools.lru_cache(maxsize=32)
def network(width: int, first: int) -> Callable[..., Any]:
    """f(params, x) -> (t - first,): the outputs f_t = B h_t of `papers_network` at steps first, first + 1, ...

    One set of states and one read-out B for all steps. With W = sqrt(2/m) W' the kernel of W' between steps is 2 K
    with K that of `kernels.every_step` for the preset "allen-zhu-li".
    """
    net = papers_network(width)
    w, u, v = (float(scale) for scale in (net.sigma_w, net.sigma_u, net.sigma_r))

    def f(params: PyTree, x: AnyArray) -> Any:
        layer, R = params["forward"]["layers"][0], params["forward"]["R"]
        drive = u * jnp.matmul(x, layer["U"].T, precision="highest")  # (t, m)

        def step(h: AnyArray, now: PyTree) -> tuple[Any, Any]:
            h = jax.nn.relu(w * width**-0.5 * jnp.matmul(layer["W"], h, precision="highest") + now)
            return h, h

        states = jax.lax.scan(step, jnp.zeros((width,), x.dtype), drive)[1]
        return v * width**-0.5 * jnp.matmul(states[first:], R[0], precision="highest")

    return f


def positions_sgd(
    x: AnyArray,
    y: ArrayLike,
    x_test: AnyArray,
    y_test: ArrayLike,
    *,
    width: int,
    lr: float,
    epochs: int,
    batch: int,
    seed: int,
    trace: float,
) -> NetworkFit:
    """Train W of `network` by plain SGD on sum_t |f_t - f_0t - y_t|^2 / 2, t the last steps, as many as y has.

    Args:
        x, y: training sequences (n, t, d) and labels (n, steps) of their last steps.
        x_test, y_test: test sequences and values.
        width: m.
        lr: of the network's own W. The papers' eta is 2 lr / m.
        epochs, batch: of SGD.
        seed: of weights and order.
        trace: sum_t K[t, t](x, x) over these steps, of the preset kernel. lr is divided by the largest
            |grad f(x_i)|^2 / (2 trace) over the first few sequences where that is above 1; see `papers_sgd`.

    Returns:
        NetworkFit, its errors the mean over steps.
    """
    f = network(width, int(np.shape(x)[1] - np.shape(y)[1]))
    start, order = jax.random.split(jax.random.key(seed))
    params = papers_network(width).init(start, x[0])
    ratio = float(np.max(np.asarray(_squares(f, params, x[:PROBED])))) / (2 * trace)
    found = learn(
        f, params, (x, y), (x_test, y_test), lr=lr / max(1.0, ratio), epochs=epochs, batch=batch, key=order,
        trainable=r"\['W'\]", width=width, seed=seed,
    )  # fmt: skip
    return dataclasses.replace(found, ratio=ratio)


@functools.partial(jax.jit, static_argnums=0)
def _squares(f: Callable[..., Any], params: PyTree, x: AnyArray) -> Any:
    """sum_t |grad_W f_t(x_i)|^2 at the start."""

    def with_weights(W: AnyArray, example: AnyArray) -> Any:
        layer = params["forward"]["layers"][0] | {"W": W}
        return f({"forward": params["forward"] | {"layers": (layer,)}}, example)

    def one(example: AnyArray) -> Any:
        gradients = jax.jacrev(with_weights)(params["forward"]["layers"][0]["W"], example)
        return jnp.vdot(gradients, gradients)

    return jax.lax.map(one, x)
