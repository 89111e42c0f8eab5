"""How fast is the kernel of a given network beside per-example gradients and neural-tangents, and how lean?

Elman networks, LSTMs, GRUs, transformers, dense and convolutional networks of many shapes. The other is the best of:
all gradients by vmap(jacrev) and one product, the two working methods of neural-tangents, and torch.func in a process
of its own. All but the last run on one JAX in one process, in turn, after they agree: the ratio is the gain of the
algorithm.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import counts, environments, nets
from benchmarks.report import Report
from benchmarks.timing import measure, measure_in_turn
from ntkseq.empirical.methods.held import Held, _prepare, _square
from ntkseq.empirical.ntk import NTK
from ntkseq.interop import neural_tangents

SECONDS = (50, 1800)
# name: (network, target of the ratio to the best peer; None where it is only not to be slower)
TABLE: dict[str, tuple[Callable[[], nets.Net], float]] = {
    "RNN 64, t 8, n 256": (lambda: nets.rnn(64, 8, 256), 0.95),
    "RNN 256, t 128, n 64": (lambda: nets.rnn(256, 128, 64), 0.95),
    "RNN 512, t 16, n 64": (lambda: nets.rnn(512, 16, 64), 0.95),
    "RNN 512, t 16, n 256": (lambda: nets.rnn(512, 16, 256), 0.95),
    "RNN 512, t 64, n 128": (lambda: nets.rnn(512, 64, 128), 0.95),
    "RNN 512, t 16, n 32, o 10": (lambda: nets.rnn(512, 16, 32, 10), 0.95),
    "RNN 1024, t 8, n 128": (lambda: nets.rnn(1024, 8, 128), 8.0),
    "RNN 1024, t 16, n 128": (lambda: nets.rnn(1024, 16, 128), 8.0),
    "RNN 1024, t 128, n 32": (lambda: nets.rnn(1024, 128, 32), 0.95),
    "RNN 2048, t 16, n 32": (lambda: nets.rnn(2048, 16, 32), 20.0),
    "LSTM 64, t 32, n 128": (lambda: nets.lstm(64, 32, 128), 0.95),
    "LSTM 512, t 16, n 64": (lambda: nets.lstm(512, 16, 64), 4.0),
    "LSTM 512, t 32, n 64": (lambda: nets.lstm(512, 32, 64), 4.0),
    "GRU 512, t 16, n 64": (lambda: nets.gru(512, 16, 64), 4.0),
    "GRU 512, t 32, n 64": (lambda: nets.gru(512, 32, 64), 4.0),
    "bidirectional 256, 2 layers, t 32, n 64": (lambda: nets.bidirectional(256, 32, 64), 0.95),
    "transformer 256, t 32, n 32": (lambda: nets.transformer(256, 32, 32), 3.0),
    "transformer 256, 2 layers, t 32, n 32": (lambda: nets.transformer(256, 32, 32, layers=2), 0.95),
    "transformer 256, t 128, n 32": (lambda: nets.transformer(256, 128, 32), 0.95),
    "transformer 128, t 32, n 32, o 10": (lambda: nets.transformer(128, 32, 32, 10), 0.95),
    "transformer 256, 10,000 tokens, t 16, n 64": (lambda: nets.transformer(256, 16, 64, vocabulary=10_000), 0.95),
    "MLP 64, n 256": (lambda: nets.mlp(64, 256), 0.95),
    "MLP 1024, n 128": (lambda: nets.mlp(1024, 128), 50.0),
    "MLP 1024, n 64, o 10": (lambda: nets.mlp(1024, 64, 10), 50.0),
    "CNN 16 x 16, 64 channels, n 32": (lambda: nets.cnn(64, 16, 32), 0.95),
    "CNN 8 x 8, 16 channels, n 64, o 10": (lambda: nets.cnn(16, 8, 64, 10), 0.95),
}
QUICK = ("RNN 64, t 8, n 256", "LSTM 64, t 32, n 128", "MLP 64, n 256", "CNN 8 x 8, 16 channels, n 64, o 10")
OPTIONS = ("auto", "structured", "jacobian")
FAR_BEHIND = 5.0
"""A peer whose call takes so many times that of the best one is timed once: it cannot be the best."""


def run(quick: bool) -> Report:
    """Agreement, then time in turn, memory and compile time; then which of our own options was the best."""
    report = Report("empirical")
    report.table(
        "The kernel of a network",
        "Milliseconds of the mean over outputs of the kernel of n examples, beside the best other way; "
        "differences are from all gradients, relative to the diagonal.",
    )
    for name in QUICK if quick else TABLE:
        make, least = TABLE[name]
        against(report, name, *make(), None if quick else least, quick)
        jax.clear_caches()
    widths(report, quick)
    if not quick:
        memory(report)
        compile_time(report)
    return report


@partial(jax.jit, static_argnums=0)
def gradients(f: Any, params: Any, x: jax.Array) -> jax.Array:
    """The kernel by one gradient per example and output, as anyone would write it."""
    rows = jax.vmap(jax.jacrev(f), (None, 0))(params, x)
    parts = [leaf.reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(rows)]
    outputs = jax.tree.leaves(rows)[0].shape[1]
    return sum(jnp.matmul(part, part.T, precision="highest") for part in parts) / outputs  # pyright: ignore


@contextlib.contextmanager
def torch_func(report: Report, name: str, params: Any, x: jax.Array) -> Iterator[dict[str, Callable[[], Any]]]:
    """The kernel by torch.func, in a process of the environment that has PyTorch; nothing where it does not apply."""
    net, interpreter = name.split()[0].lower(), environments.python("torch")
    if net not in ("rnn", "lstm", "mlp") or interpreter is None or jax.default_backend() != "cpu":
        if interpreter is None and not any("torch" in row.note for row in report.rows):
            report.left_out("torch.func (python -m benchmarks.environments torch installs it)")
        yield {}
        return
    with tempfile.TemporaryDirectory() as folder:
        given, made = f"{folder}/net.npz", f"{folder}/K.npy"
        leaves = jax.tree.leaves_with_path(params)
        names = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves]
        values = {f"p.{key}": np.asarray(leaf) for key, (_, leaf) in zip(names, leaves, strict=True)}
        np.savez(given, x=np.asarray(x), **values)
        with environments.process(interpreter, "benchmarks.torch_process") as ask:
            ask({"load": given, "net": net})

            def call() -> np.ndarray:
                ask({"run": made if not os.path.exists(made) else True})
                return np.load(made)

            yield {"torch.func": call}


def peers(report: Report, f: Any, params: Any, x: jax.Array, quick: bool) -> dict[str, Callable[[], Any]]:
    """What we are compared with."""
    found: dict[str, Callable[[], Any]] = {"all gradients": lambda: gradients(f, params, x)}
    try:
        nt = neural_tangents.load()
    except ImportError as error:
        report.left_out(f"neural-tangents ({error})")
        return found
    for number in (1,) if quick else (1, 2):  # the second takes long, and was never the best
        made = nt.empirical_ntk_fn(
            lambda p, xs: jax.vmap(lambda one: f(p, one))(xs), trace_axes=(-1,), vmap_axes=0, implementation=number
        )
        found[f"neural-tangents {number}"] = partial(jax.jit(lambda p, x, made=made: made(x, None, p)), params, x)
    return found


def against(report: Report, name: str, f: Any, params: Any, x: jax.Array, least: float | None, quick: bool) -> None:
    """One network: ours beside the peers, and our own options beside each other."""
    with torch_func(report, name, params, x) as others:
        _against(report, name, f, params, x, least, quick, others)


def _against(
    report: Report, name: str, f: Any, params: Any, x: jax.Array, least: float | None, quick: bool,
    others: dict[str, Callable[[], Any]],
) -> None:  # fmt: skip
    kernel = NTK(f, params)
    calls: dict[str, Callable[[], Any]] = {"ours": lambda: kernel(x)} | peers(report, f, params, x, quick) | others
    once = {key: measure(call, repeats=1) for key, call in calls.items()}
    values = {key: np.asarray(call()) for key, call in calls.items()}
    scale = np.sqrt(np.outer(*[np.diag(values["all gradients"])] * 2))
    for key, value in values.items():  # all gradients, as anyone would write it, are what is compared with
        gap = float(np.max(np.abs(value - values["all gradients"]) / scale))
        if key == "ours":
            report.agree(f"{name}: difference", gap, 2e-4, peer="all gradients")
        elif gap > 2e-4:
            report.add(f"{name}: difference of {key}", gap)
    far = FAR_BEHIND * min(timing.least for key, timing in once.items() if key != "ours")
    calls = {key: call for key, call in calls.items() if key == "ours" or once[key].least <= far}
    times = measure_in_turn(calls, repeats=5)
    best = min((key for key in times if key != "ours"), key=lambda key: times[key].median)
    rest = {key: times[key].median if key in times else once[key].least for key in once if key not in ("ours", best)}
    said = ", ".join(f"{key} {seconds * 1e3:.3g} ms" for key, seconds in rest.items())
    done = counts.count(lambda p: NTK(f, p)(x), params).work()
    ours, theirs = temporary(kernel, x), peer_memory(f, params, x)
    timing = dataclasses.replace(times["ours"], first=once["ours"].first)
    report.time(name, timing, times[best], peer=best, work=done, memory=ours, least=least, note=said)
    report.versus(f"{name}: memory beside parameters and result", ours, theirs, "B", peer="all gradients", steady=True)
    if not quick:
        own = {method: partial(kernel.with_(method=method), x) for method in OPTIONS}
        options = measure_in_turn(own, repeats=3)
        fastest = min(options, key=lambda method: options[method].median)
        ratio = options["auto"].median / options[fastest].median
        report.add(f"{name}: time over that of our best option", ratio, most=1.5, note=fastest)


def widths(report: Report, quick: bool) -> None:
    """How time grows with the width of an Elman network, where its weights' part of the kernel is never formed."""
    report.table("Growth", "Exponents of seconds, beside those of the largest count of operations.")
    sizes = (128, 256, 512) if quick else (256, 512, 1024, 2048)
    calls = {}
    for width in sizes:
        f, params, x = nets.rnn(width, 16, 64)
        calls[str(width)] = partial(NTK(f, params), x)
    times = measure_in_turn(calls, repeats=3 if quick else 5)
    seconds = [timing.median for timing in times.values()]
    report.growth(f"in width, Elman, t 16, n 64, from {sizes[0]}", "width", list(map(float, sizes)), seconds, 2.0)


def temporary(kernel: NTK, x: jax.Array) -> float:
    """Bytes that XLA plans for a call: what is held of the examples, and the temporaries of the larger step."""
    inputs = kernel.function.inputs(x)
    assert isinstance(kernel.method, Held)
    choice = kernel.method.choice(kernel.function, inputs)
    first = _prepare.lower(kernel.function, inputs, choice).compile().memory_analysis()
    second = _square.lower(kernel.prepare(x)).compile().memory_analysis()
    return max(
        first.temp_size_in_bytes + first.output_size_in_bytes, second.temp_size_in_bytes + second.argument_size_in_bytes
    )


def peer_memory(f: Any, params: Any, x: jax.Array) -> float:
    return gradients.lower(f, params, x).compile().memory_analysis().temp_size_in_bytes


def memory(report: Report) -> None:
    """Memory where all gradients would take 4.3 GB; nothing is run."""
    report.table("Memory", "Bytes beside parameters and result, as XLA plans them; nothing is run.")
    f, params, x = nets.rnn(2048, 32, 256)
    size = sum(leaf.size for leaf in jax.tree.leaves(params))
    report.versus("RNN 2048, t 32, n 256", temporary(NTK(f, params), x), 256.0 * size * 4, "B", peer="all gradients",
                  least=10.0)  # fmt: skip


def compile_time(report: Report) -> None:
    """Seconds of the first call, at two lengths."""
    report.table("Compile time", "Seconds that the first call takes longer than the second.")
    for name, make in {
        "transformer 256, t 32": lambda: nets.transformer(256, 32, 4),
        "RNN 256, t 128": lambda: nets.rnn(256, 128, 4),
        "RNN 256, t 1024": lambda: nets.rnn(256, 1024, 4),
    }.items():
        f, params, x = make()
        jax.clear_caches()
        report.add(name, measure(partial(NTK(f, params), x), repeats=1).compile, "s", most=5.0)
