"""What do probes cost beside the training they watch, and what does our loop cost beside a plain one?

An Elman network is trained with and without a probe of its kernel; the same steps in a loop of optax must end at the
same parameters; a look at a kernel is timed on the host.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.machine import Work
from benchmarks.report import Report
from benchmarks.timing import measure_in_turn, peak_memory
from ntkseq import models, training
from ntkseq.training import sgd

SECONDS = (19, 90)
T, D, BATCH = 16, 8, 64
EVERY = 100


def run(quick: bool) -> Report:
    """A recurrent network with and without probes, and the same steps in a loop of optax."""
    report = Report("training")
    width, examples, steps = (64, 32, 100) if quick else (512, 256, 200)
    probes(report, width, examples, steps, quick)
    loops(report, width, 50)
    spectra(report, examples)
    return report


def problem(n: int) -> tuple[Any, Any]:
    """Random sequences and signs."""
    x = jax.random.normal(jax.random.key(0), (n, T, D))
    return x, jnp.sign(jnp.sum(x[:, :, 0], axis=1))


def probes(report: Report, width: int, examples: int, steps: int, quick: bool) -> None:
    """The share of a run that a kernel probe takes."""
    report.table("Probes", "Seconds of training an Elman network by our loop, watched and not.")
    x, y = problem(1024)
    net = models.Recurrent(width=width, activation="tanh", read="mean")
    params = net.init(jax.random.key(1), x[0])
    lr = 0.25 * training.linearised(net.apply, params, x[:64], y[:64]).limit
    watch = (training.KernelProbe(net.apply, x[:examples], y=y[:examples], every=EVERY),)

    def fit(*probes: training.Probe) -> Any:
        return sgd.train(
            net.apply, params, (x, y), lr=lr, batch=BATCH, steps=steps, key=jax.random.key(2), probes=probes
        ).params

    # a history made once, so that its first look, which every run needs, is not counted twice
    calls: dict[str, Callable[[], Any]] = {"plain": lambda: fit(), "watched": lambda: fit(*watch)}
    times = measure_in_turn(calls, repeats=3 if quick else 5)
    plain, watched = times["plain"].median, times["watched"].median
    looks = steps // EVERY + 1
    flops = 6.0 * steps * BATCH * T * (width * width + D * width)  # forward once, backward twice
    report.time(f"{steps} steps, width {width}, t = {T}, batches of {BATCH}", times["plain"], work=Work(flops=flops))
    report.time(f"  with a kernel of {examples} examples every {EVERY} steps", times["watched"], times["plain"],
                peer="the same steps without", memory=peak_memory(lambda: fit(*watch)))  # fmt: skip
    report.add("  one look", (watched - plain) / looks, "s")
    report.add(
        "  looks over training", (watched - plain) / looks / (plain / steps * EVERY), most=None if quick else 0.2
    )


def loops(report: Report, width: int, steps: int) -> None:
    """Our loop beside the same steps in a jitted step of optax, called from Python; first that they agree."""
    report.table("The loop", "Seconds of a step of sgd.train, beside a jitted step of optax called from Python.")
    x, y = problem(1024)
    net = models.Recurrent(width=width, activation="tanh", read="mean")
    params = net.init(jax.random.key(1), x[0])
    lr, key = 0.05, jax.random.key(2)
    order = jnp.asarray(training.Batches(len(x), BATCH, "shuffle", key).indices(0, steps))
    optimizer = optax.sgd(lr)

    @jax.jit
    def step(params: Any, state: Any, index: Any) -> Any:
        def loss(params: Any) -> Any:
            return jnp.mean((jax.vmap(net.apply, (None, 0))(params, x[index])[:, 0] - y[index]) ** 2) / 2

        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    def plain() -> Any:
        now, state = params, optimizer.init(params)
        for index in order:
            now, state = step(now, state, index)
        return now

    def ours() -> Any:
        return sgd.train(net.apply, params, (x, y), lr=lr, batch=BATCH, steps=steps, key=key).params

    apart = max(
        float(jnp.max(jnp.abs(a - b))) for a, b in zip(jax.tree.leaves(plain()), jax.tree.leaves(ours()), strict=True)
    )
    report.agree(f"parameters after {steps} steps, width {width}", apart, 1e-3, peer="the loop of optax")
    times = measure_in_turn({"plain": plain, "ours": ours}, repeats=5)
    flops = 6.0 * BATCH * T * (width * width + D * width)
    report.time(f"a step, width {width}", times["ours"], times["plain"], peer="a loop of optax", work=Work(flops=flops),
                repeats=steps, least=None if width < 512 else 0.9)  # fmt: skip


def spectra(report: Report, n: int) -> None:
    """What a look costs on the host: eigenvalues with their errors, ranks, angles."""
    report.table(
        "A look on the host",
        "Seconds for the eigenvalues of a kernel with their errors, ranks and angles, beside NumPy's "
        "eigenvalues and eigenvectors alone.",
    )
    probe = training.KernelProbe(lambda p, x: p @ x, jnp.eye(n), k=10)
    J = np.random.default_rng(0).standard_normal((n, 2 * n)).astype(np.float32)
    measured = {"K": J @ J.T, "outputs": np.zeros((n, 1), np.float32), "e": np.array(1e-6)}
    memory = probe.remember(measured)
    K = (J @ J.T).astype(np.float64)
    times = measure_in_turn({"row": lambda: probe.row(measured, memory), "eigh": lambda: np.linalg.eigh(K)}, repeats=7)
    report.time(f"a row from a kernel of {n} examples", times["row"], times["eigh"], peer="numpy.linalg.eigh")
