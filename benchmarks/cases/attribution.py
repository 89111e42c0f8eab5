"""Do scores by the kernel foretell retraining as well as those of the gradients themselves, and in which memory?

TRAK by the tangent kernel, exact and sketched, beside explicit gradients: the linear datamodeling score of each on
digits, by retraining on subsets, and the peak memory of the scores of one network.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.report import Report
from benchmarks.timing import peak_memory
from ntkseq import empirical, models, predictors
from ntkseq.data import bundled

SECONDS = (38, 600)
BLOCK = 8
MEMORY = 2**18
"""Bytes of factors that the exact method may hold."""


def run(quick: bool) -> Report:
    """The linear datamodeling score on digits, of a recurrent network, and the peak memory of one model's scores."""
    report = Report("attribution")
    width, n, subsets, seeds, steps, count = (32, 60, 6, 1, 40, 2) if quick else (256, 200, 40, 2, 60, 3)
    x, y = bundled.digits()
    test, train = (x[:40], y[:40]), (x[100 : 100 + n], y[100 : 100 + n])
    net = models.Recurrent(width=width, activation="tanh", outputs=10, sigma_u=1.5)
    chosen = predictors.data_subsets(n, subsets, seed=0)
    fit = jax.jit(partial(trained, net, train, steps))
    ask = jax.jit(lambda params: jax.vmap(partial(margin, net), (None, 0, 0))(params, *test))
    keys = jax.random.split(jax.random.key(1), subsets * seeds).reshape(subsets, seeds)
    outputs = np.array(
        [np.mean([ask(fit(jnp.asarray(s), k)) for k in own], 0) for s, own in zip(chosen, keys, strict=True)]
    )
    nets = [fit(jnp.ones(n, bool), key) for key in jax.random.split(jax.random.key(2), count)]
    report.add(f"test examples that the {count} networks get right", float(np.mean([ask(p) > 0 for p in nets])))

    structured = empirical.Structured(memory=MEMORY)
    sketch = empirical.Sketch(jax.random.key(3), directions=256)

    def by_kernel(params: Any, method: Any = structured) -> Any:
        return predictors.trak(net.apply, params, train, test, method=method)

    gradient = jax.jit(jax.vmap(jax.value_and_grad(partial(margin, net)), (None, 0, 0)))
    gradients, exact, sketched = by_gradients(gradient, nets, train, test), by_kernel(nets), by_kernel(nets, sketch)
    size = float(np.abs(gradients).max())
    report.add(
        "largest difference from the gradients' scores", float(np.abs(exact.scores - gradients).max()) / size, most=1e-3
    )
    off = float(np.sqrt(np.mean((sketched.scores - exact.scores) ** 2)))
    stated = float(np.sqrt(np.mean(np.square(sketched.sampling_error))))
    report.add("error of 256 directions over what they state", off / stated, most=1.1)

    scores = {
        "gradients": gradients,
        "kernel": exact.scores,
        "sketch, 256 directions": sketched.scores,
        "kernel, one network": by_kernel(nets[:1]).scores,
    }
    found = {name: predictors.datamodeling_score(one, chosen, outputs) for name, one in scores.items()}
    for name, one in found.items():
        report.add(f"LDS, {name}", one.value, note=f"in [{one.lower:.3f}, {one.upper:.3f}]")
    for name in ("kernel", "sketch, 256 directions"):
        value, low, high = found[name].minus(found["gradients"])
        note = f"in [{low:.3f}, {high:.3f}]"
        report.add(
            f"LDS, {name}, less that of the gradients", value, least=-0.001 if name == "kernel" else None, note=note
        )

    for other in (width,) if quick else (128, width):
        memory(report, other, train, test, {} if quick or other != width else {"most": 0.1})
    return report


def memory(report: Report, width: int, train: Any, test: Any, target: dict[str, float]) -> None:
    """Peaks of the scores of one network at its start, medians of five in turn; the programs are compiled before."""
    net = models.Recurrent(width=width, activation="tanh", outputs=10, sigma_u=1.5)
    nets = [net.init(jax.random.key(4), train[0][0])]
    gradient = jax.jit(jax.vmap(jax.value_and_grad(partial(margin, net)), (None, 0, 0)))
    sketch = empirical.Sketch(jax.random.key(3), directions=256)
    calls = {
        "gradients": lambda: by_gradients(gradient, nets, train, test),
        "kernel": lambda: predictors.trak(net.apply, nets, train, test, method=empirical.Structured(memory=MEMORY)),
        "sketch, 256 directions": lambda: predictors.trak(net.apply, nets, train, test, method=sketch),
    }
    for call in calls.values():
        call()
    peaks = {name: [] for name in calls}
    for _ in range(5):
        for name, call in calls.items():
            peaks[name].append(peak_memory(call) / 2**20)
    held = (len(train[0]) + len(test[0])) * sum(leaf.size for leaf in jax.tree.leaves(nets[0])) * 4 / 2**20
    report.add(f"width {width}: gradients as they are held", held, "MiB")
    middle = {name: float(np.median(peak)) for name, peak in peaks.items()}
    for name, peak in middle.items():
        report.add(
            f"width {width}: peak memory, {name}", peak, "MiB", note=f"{min(peaks[name]):.3g}..{max(peaks[name]):.3g}"
        )
    report.add(f"width {width}: kernel over gradients", middle["kernel"] / middle["gradients"], **target)
    report.add(f"width {width}: sketch over gradients", middle["sketch, 256 directions"] / middle["gradients"])


def margin(net: Any, params: Any, x: Any, label: Any) -> Any:
    """log p/(1 - p) of the label."""
    out = net.apply(params, x)
    return out[label] - jax.nn.logsumexp(jnp.where(jnp.arange(10) == label, -jnp.inf, out))


def trained(net: Any, train: Any, steps: int, chosen: Any, key: Any) -> Any:
    """A network trained on the chosen examples by Adam."""
    x, y = train
    optimizer = optax.adam(1e-2)

    def loss(params: Any) -> Any:
        each = jax.nn.softplus(-jax.vmap(partial(margin, net), (None, 0, 0))(params, x, y))
        return jnp.sum(jnp.where(chosen, each, 0.0)) / jnp.sum(chosen)

    def step(carry: Any, _: Any) -> Any:
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params), state)
        return (optax.apply_updates(params, updates), state), None

    params = net.init(key, x[0])
    return jax.lax.scan(step, (params, optimizer.init(params)), length=steps)[0][0]


def by_gradients(gradient: Any, nets: Any, train: Any, test: Any) -> Any:
    """TRAK without projection: one gradient of every example, held as rows, and nothing else of that size."""

    def rows(params: Any, x: Any, y: Any) -> Any:
        held = np.empty((len(x), sum(leaf.size for leaf in jax.tree.leaves(params))), np.float32)
        s = np.empty(len(x))
        for i in range(0, len(x), BLOCK):
            s[i : i + BLOCK], slopes = gradient(params, x[i : i + BLOCK], y[i : i + BLOCK])
            at = 0
            for leaf in jax.tree.leaves(slopes):
                held[i : i + BLOCK, at : at + leaf[0].size] = np.reshape(leaf, (len(leaf), -1))
                at += leaf[0].size
        return s, held

    weights, slopes = [], []
    for params in nets:
        (s, A), (_, T) = rows(params, *train), rows(params, *test)
        K = (A @ A.T).astype(np.float64)
        weights.append(np.linalg.solve(K + np.trace(K) / len(K) * np.eye(len(K)), (A @ T.T).astype(np.float64)).T)
        slopes.append(1 / (1 + np.exp(s)))
    return np.mean(weights, 0) * np.mean(slopes, 0)
