"""How much sooner is the dimension of the hidden states' kernel known from random probes than from its matrix?

The participation ratio of the tangent kernel of the hidden states of a GRU, with its error, beside the matrix of the
kernel of its biases; and that of all parameters, of which the matrix cannot be formed.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.report import Report
from ntkseq import empirical, spectra

SECONDS = (10, 300)
PROBES = 16
COLUMNS = 64
"""Parameters whose columns of the Jacobian are made together."""


def run(quick: bool) -> Report:
    """A GRU: the kernel of its biases, of which the matrix can be formed, and that of all parameters."""
    report = Report("hidden_states")
    h, t, n = (32, 20, 6) if quick else (256, 200, 50)
    keys = jax.random.split(jax.random.key(0), 4)
    d = 3
    params = {
        "W": jax.random.normal(keys[0], (3 * h, h)) / h**0.5,
        "U": jax.random.normal(keys[1], (3 * h, d)) / d**0.5,
        "b": jnp.zeros(3 * h),
    }
    x = jax.random.normal(keys[2], (n, t, d))
    make = partial(empirical.HiddenKernel, gru, params, x, h0=jnp.zeros(h))
    biases, every = make(trainable="b"), make()

    dense(biases, params, x[:1])  # compiled
    started = time.process_time()
    truth = dense(biases, params, x)
    slow = time.process_time() - started
    report.add(f"dense: participation ratio, {biases.parameters} biases, {n} x {t} x {h} states", truth)
    report.add("dense: CPU time, by the matrix of the parameters", slow, "s")
    for way in ("forward", "reverse", "both"):
        found, fast = estimated(biases, "all", way, keys[3])
        report.add(f"{way}, {PROBES} probes", found.value, note=f"+- {found.error:.2g}")
        off = abs(found.value - truth) / found.error
        report.add(f"{way}: distance from the dense value, in its error", off, most=3.0)
        target = {} if quick or way == "both" else {"least": 10.0}
        report.add(f"{way}: CPU time, dense over this", slow / fast, **target)
    for axis, way in (("all", "both"), ("units", "forward"), ("time", "forward"), ("examples", "forward")):
        found, seconds = estimated(every, axis, way, keys[3])
        report.add(f"{every.parameters:,} parameters, {axis}, {way}", found.value, note=f"+- {found.error:.2g}")
        report.add(f"{axis}, {way}: CPU time", seconds, "s")
    return report


def estimated(kernel: Any, axis: str, way: str, key: Any) -> tuple[Any, float]:
    """The dimension from random probes, and its processor time once it is compiled."""
    call = partial(spectra.hidden_dimension, kernel, axis, key=key, probes=PROBES, way=way)
    call()
    started = time.process_time()
    return call(), time.process_time() - started


def gru(params: Any, h: Any, x: Any) -> Any:
    """One step, with the reset after the product."""
    (u, r, a), (v, s, b) = jnp.split(params["W"] @ h, 3), jnp.split(params["U"] @ x + params["b"], 3)
    gate = jax.nn.sigmoid(u + v)
    return gate * h + (1 - gate) * jnp.tanh(jax.nn.sigmoid(r + s) * a + b)


def dense(kernel: Any, params: Any, x: Any) -> float:
    """The participation ratio from J^T J, whose columns go through one example after the other in blocks."""
    total = np.zeros((kernel.parameters, kernel.parameters))
    for one in x:
        total += np.asarray(of_one(params, one), np.float64)
    return float(np.trace(total) ** 2 / np.sum(total**2))


@jax.jit
def of_one(params: Any, x: Any) -> Any:
    """J^T J of the biases, of one example."""

    def states(bias: Any) -> Any:
        def step(h: Any, u: Any) -> Any:
            h = gru(params | {"b": bias}, h, u)
            return h, h

        return jax.lax.scan(step, jnp.zeros(params["W"].shape[1]), x)[1].ravel()

    push = jax.linearize(states, params["b"])[1]
    J = jax.lax.map(push, jnp.eye(len(params["b"])), batch_size=COLUMNS)  # (p, t h)
    return J @ J.T
