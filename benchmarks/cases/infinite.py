"""Are the kernels of networks on tokens those of neural-tangents, and what do time and memory come to beside it?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import ntkseq
from benchmarks.report import Report
from benchmarks.timing import measure, measure_in_turn, peak_memory
from ntkseq import blocks, kernels
from ntkseq.interop import neural_tangents

FASTER, LEANER = 3.0, 3.0
ROOT2 = 2.0**0.5


def run(quick: bool) -> Report:
    """Agreement in float64, then time and peak memory of both in turn; then what every kernel costs."""
    report = Report("infinite")
    try:
        nt = neural_tangents.load()
    except ImportError as error:
        print(f"neural-tangents is left out: {error}")
    else:
        n = 64 if quick else 256
        against(report, f"Dense, relu, 3 layers, n = {4 * n}", *dense(nt), (4 * n, 32), quick)
        for t in (16,) if quick else (16, 64):
            for name, pair in attention(nt).items():
                against(report, f"{name}, n = {n}, t = {t}", *pair, (n, t, 8), quick)
    costs(report, quick)
    return report


def dense(nt: Any) -> tuple[kernels.Kernel, Any]:
    """A fully connected network in both libraries."""
    layer = nt.stax.Dense(64, W_std=ROOT2, b_std=0.1)
    net = nt.stax.serial(*(part for _ in range(3) for part in (layer, nt.stax.Relu())), nt.stax.Dense(1))
    return kernels.Dense(sigma_w=ROOT2, sigma_b=0.1, depth=3), net[2]


def attention(nt: Any) -> dict[str, tuple[kernels.Kernel, Any]]:
    """Networks with one attention block, read out by the mean over tokens."""
    linear, relu = nt.stax.Dense(64), nt.stax.Relu()
    first, last = [nt.stax.Dense(64), nt.stax.GlobalAvgPool()], nt.stax.Dense(1)

    def heads(weights: str, tied: bool) -> Any:
        choice = {"softmax": "softmax", "identity": "identity"}[weights]
        return nt.stax.GlobalSelfAttention(
            64, n_chan_key=64, n_chan_val=64, n_heads=8, linear_scaling=tied, attention_mechanism=choice.upper()
        )

    found = {}
    for name, weights, tied in (("softmax / d", "softmax", True), ("identity / sqrt d", "identity", False)):
        block = blocks.Attention(weights=weights, scaling="dim" if tied else "root")
        alone = kernels.Serial(blocks.Linear(), block, read="mean")
        found[f"{name} attention"] = alone, nt.stax.serial(first[0], heads(weights, tied), first[1], last)[2]
        deep = kernels.Serial(
            blocks.Linear(), blocks.Residual(block), blocks.LayerNorm(), blocks.Linear(ROOT2), "relu", read="mean"
        )
        both = nt.stax.serial(nt.stax.FanOut(2), nt.stax.parallel(nt.stax.Identity(), heads(weights, tied)))
        net = nt.stax.serial(
            linear, both, nt.stax.FanInSum(), nt.stax.LayerNorm(), nt.stax.Dense(64, W_std=ROOT2), relu, first[1], last
        )
        found[f"{name} attention, norm, relu"] = deep, net[2]
    return found


def against(
    report: Report, name: str, kernel: kernels.Kernel, kernel_fn: Any, shape: tuple[int, ...], quick: bool
) -> None:
    """One kernel beside neural-tangents: entries, seconds, bytes."""
    x = np.random.default_rng(0).standard_normal(shape)
    with jax.enable_x64(True):
        few = jnp.asarray(x[:8])
        ours, theirs = np.asarray(kernel(few)), np.asarray(kernel_fn(few, None, "ntk"))
        scale = np.sqrt(np.outer(np.diag(ours), np.diag(ours)))
    most = 1e-8 if "relu" in name else 1e-10  # their arccos has sqrt(eps) of noise at equal tokens
    report.add(f"{name}: difference in float64", float(np.max(np.abs(ours - theirs) / scale)), "rel", most=most)
    x = jnp.asarray(x, jnp.float32)
    whole = jax.jit(lambda x: kernel_fn(x, None, "ntk"))
    wrapped = neural_tangents.wrap(kernel_fn)
    calls: dict[str, Callable[[], Any]] = {
        "ours": lambda: ntkseq.gram(kernel, x),
        "theirs": lambda: whole(x),
        "tiled": lambda: ntkseq.gram(wrapped, x),
    }
    times = measure_in_turn(calls, repeats=3 if quick else 5)
    memory = {key: peak_memory(call) for key, call in calls.items()}
    report.add("  ours", times["ours"].median * 1e3, "ms", note=f"first call {times['ours'].first:.1f} s")
    report.add("  neural-tangents, jitted, in one piece", times["theirs"].median * 1e3, "ms")
    report.add("  neural-tangents, wrapped, in our tiles", times["tiled"].median * 1e3, "ms")
    best = min(times["theirs"].median, times["tiled"].median)
    fastest = None if quick else FASTER
    report.add("  times faster than the faster of the two", best / times["ours"].median, "x", least=fastest)
    report.add("  peak memory, ours", memory["ours"] / 2**20, "MiB")
    report.add("  peak memory, neural-tangents in one piece", memory["theirs"] / 2**20, "MiB")
    report.add("  peak memory, neural-tangents in our tiles", memory["tiled"] / 2**20, "MiB")
    ratio = memory["theirs"] / max(memory["ours"], 1)
    report.add("  times less memory than in one piece", ratio, "x", least=None if quick else LEANER)


def costs(report: Report, quick: bool) -> None:
    """Microseconds per pair of sequences of every kernel, compile time apart."""
    t = 8 if quick else 16
    small, large = (16, 64) if quick else (32, 256)
    made: dict[str, tuple[kernels.Kernel, int]] = {
        "Recurrent, last": (kernels.Recurrent(ROOT2), large),
        "Recurrent, mean": (kernels.Recurrent(ROOT2, read="mean"), large),
        "Recurrent, last, erf": (kernels.Recurrent(ROOT2, activation="erf"), large),
        "Recurrent, last, gelu": (kernels.Recurrent(ROOT2, activation="gelu"), large),
        "LinearRecurrent": (kernels.LinearRecurrent(0.9), large),
        "LeakyRecurrent": (kernels.LeakyRecurrent(keep=0.5, gate=0.5), large),
        "Bidirectional, 2 layers": (kernels.Bidirectional(depth=2, read="mean"), small),
        "Transformer, 2 layers": (kernels.Transformer(depth=2), small),
        "Serial, softmax / sqrt d (Monte Carlo)": (
            kernels.Serial(blocks.Linear(), blocks.Attention(scaling="root", samples=256)), 8,
        ),
        "Gated, gru (Monte Carlo)": (kernels.Gated(cell="gru"), large),
        "Gated, lstm (Monte Carlo)": (kernels.Gated(cell="lstm"), large),
    }  # fmt: skip
    for name, (kernel, n) in made.items():
        x = jnp.asarray(np.random.default_rng(1).standard_normal((n, t, 4)), jnp.float32)
        taken = measure(lambda k=kernel, x=x: ntkseq.gram(k, x), repeats=3 if quick else 5)
        note = f"n = {n}, t = {t}, first call {taken.first:.1f} s"
        report.add(f"{name}", taken.median / (n * n) * 1e6, "us/pair", note=note)
