"""How fast is the kernel of a given network beside per-example gradients and neural-tangents, and how exact?

All of them run on one jax in one process, in turn, after they agree: what is printed is the gain of the algorithm.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import nets
from benchmarks.report import Report
from benchmarks.timing import measure, measure_in_turn
from ntkseq.empirical.methods.held import Held, _prepare, _square
from ntkseq.empirical.ntk import NTK
from ntkseq.interop import neural_tangents

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
    for name in QUICK if quick else TABLE:
        make, least = TABLE[name]
        against(report, name, *make(), None if quick else least, quick)
        jax.clear_caches()
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


def peers(f: Any, params: Any, x: jax.Array) -> dict[str, Callable[[], Any]]:
    """What we are compared with."""
    found: dict[str, Callable[[], Any]] = {"gradients": lambda: gradients(f, params, x)}
    try:
        nt = neural_tangents.load()
    except ImportError as error:
        print(f"neural-tangents is left out: {error}")
        return found
    for number in (1, 2):
        made = nt.empirical_ntk_fn(
            lambda p, xs: jax.vmap(lambda one: f(p, one))(xs), trace_axes=(-1,), vmap_axes=0, implementation=number
        )
        found[f"neural-tangents {number}"] = partial(jax.jit(lambda p, x, made=made: made(x, None, p)), params, x)
    return found


def against(report: Report, name: str, f: Any, params: Any, x: jax.Array, least: float | None, quick: bool) -> None:
    """One network: ours beside the peers, and our own options beside each other."""
    kernel = NTK(f, params)
    calls: dict[str, Callable[[], Any]] = {"ours": lambda: kernel(x)} | peers(f, params, x)
    values = {key: np.asarray(call()) for key, call in calls.items()}
    scale = np.sqrt(np.outer(*[np.diag(values["gradients"])] * 2))
    for key, value in values.items():  # all gradients, as anyone would write it, are what is compared with
        gap = float(np.max(np.abs(value - values["gradients"]) / scale))
        if key == "ours":
            report.add(f"{name}: difference from all gradients", gap, "rel", most=2e-4)
        elif gap > 2e-4:
            report.add(f"  difference of {key} from all gradients", gap, "rel")
    once = {key: measure(call, repeats=1).least for key, call in calls.items()}
    far = FAR_BEHIND * min(seconds for key, seconds in once.items() if key != "ours")
    for key, seconds in once.items():
        if seconds > far:
            report.add(f"  {key}", seconds * 1e3, "ms", note="timed once")
    calls = {key: call for key, call in calls.items() if once[key] <= far}
    times = measure_in_turn(calls, repeats=3 if quick else 5)
    for key, timing in times.items():
        report.add(f"  {key}", timing.median * 1e3, "ms")
    best = min(timing.median for key, timing in times.items() if key != "ours")
    report.add("  times faster than the best peer", best / times["ours"].median, "x", least=least)
    own = {method: partial(kernel.with_(method=method), x) for method in OPTIONS}
    options = measure_in_turn(own, repeats=3)
    fastest = min(options, key=lambda method: options[method].median)
    ratio = options["auto"].median / options[fastest].median
    report.add("  time over that of our best option", ratio, "x", most=None if quick else 1.5, note=fastest)
    ours, theirs = temporary(kernel, x), peer_memory(f, params, x)
    report.add(
        "  memory beside parameters and result, ours",
        ours / 2**20,
        "MiB",
        note=f"{theirs / 2**20:.0f} MiB by gradients",
    )


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
    f, params, x = nets.rnn(2048, 32, 256)
    ours = temporary(NTK(f, params), x)
    size = sum(leaf.size for leaf in jax.tree.leaves(params))
    report.add("RNN 2048, t 32, n 256: memory", ours / 2**20, "MiB", note=f"all gradients {256 * size * 4 / 2**20:.0f}")
    report.add("  over that of all gradients", ours / (256 * size * 4), "x", most=0.1)


def compile_time(report: Report) -> None:
    """Seconds of the first call, at two lengths."""
    for name, make in {
        "transformer 256, t 32": lambda: nets.transformer(256, 32, 4),
        "RNN 256, t 128": lambda: nets.rnn(256, 128, 4),
        "RNN 256, t 1024": lambda: nets.rnn(256, 1024, 4),
    }.items():
        f, params, x = make()
        jax.clear_caches()
        kernel = NTK(f, params)
        timing = measure(lambda: kernel(x), repeats=1)  # noqa: B023
        report.add(f"{name}: compile time", timing.first - timing.median, "s", most=5.0)


def exact() -> int:
    """Print the error of every function of the tests' table against its explicit float64 Jacobian."""
    functions, oracles = (_tests(name) for name in ("empirical/functions", "oracles"))
    wrong = 0
    print(f"jax {jax.__version__}; largest error over largest entry, in float64 and float32, auto and structured")
    for name, case in functions.FUNCTIONS.items():
        if not case.reverse:
            print(f"{name:<36} has no reverse derivative")
            continue
        errors = []
        for dtype in (jnp.float64, jnp.float32):
            with jax.enable_x64(dtype == jnp.float64):
                f, params, inputs = case.make(dtype)
                x = inputs(jax.random.key(1), 5)
                if dtype == jnp.float64:
                    truth = oracles.explicit_ntk(f, params, x)
                for method in ("auto", "structured"):
                    values = np.asarray(NTK(f, params, outputs="full", method=method)(x), np.float64)
                    errors.append(np.abs(values - truth).max() / np.abs(truth).max())
        limits = [1e-12, 1e-12, 1e-5, 1e-5] if case.compute is None else [case.tolerance(jnp.float32)] * 4
        good = all(error < limit for error, limit in zip(errors, limits, strict=True))
        wrong += not good
        print(f"{'ok ' if good else 'NO '}{name:<33}" + "".join(f"{error:10.1e}" for error in errors), flush=True)
        jax.clear_caches()
    return 1 if wrong else 0


def _tests(name: str) -> Any:
    """A module of the tests' folder, by its file: other packages install a `tests` of their own."""
    path = Path(__file__).parents[2] / "tests" / f"{name}.py"
    key = f"_benchmarks_{path.stem}"
    spec = importlib.util.spec_from_file_location(key, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[key] = module
    spec.loader.exec_module(module)
    return module
