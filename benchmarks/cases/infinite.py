"""Are the kernels of networks on tokens those of neural-tangents, and what do time and memory come to beside it?

Dense networks and attention blocks (softmax and linear, alone and with residual, norm and relu) beside
neural-tangents, which must agree in float64; then what every other infinite-width kernel costs: recurrent, linear
state-space, leaky, bidirectional, transformer, gated (sampled), and the kernel between few-shot tasks beside that of
all their examples.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import ntkseq
from benchmarks.counts import gram_work
from benchmarks.report import Report
from benchmarks.timing import measure, measure_in_turn, peak_memory
from ntkseq import blocks, kernels
from ntkseq.interop import neural_tangents

SECONDS = (45, 240)
FASTER, LEANER = 3.0, 3.0
ROOT2 = 2.0**0.5


def run(quick: bool) -> Report:
    """Agreement in float64, then time and peak memory of both in turn; then what every kernel costs."""
    report = Report("infinite")
    report.table(
        "Beside neural-tangents",
        "Seconds of a Gram matrix; the other is the faster of its own function, jitted, and of that in our tiles.",
    )
    try:
        nt = neural_tangents.load()
    except ImportError as error:
        report.left_out(f"neural-tangents ({error})")
    else:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="neural_tangents")  # of conventions that are the ones wanted
            beside(report, nt, quick)
    costs(report, quick)
    tasks(report, quick)
    return report


def beside(report: Report, nt: Any, quick: bool) -> None:
    """Every kernel that neural-tangents has, too."""
    n = 64 if quick else 256
    against(report, f"Dense, relu, 3 layers, n = {4 * n}", *dense(nt), (4 * n, 32), quick)
    for t in (16,) if quick else (16, 64):
        for name, pair in attention(nt).items():
            if not quick or name.startswith("softmax"):
                against(report, f"{name}, n = {n}, t = {t}", *pair, (n, t, 8), quick)


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
    apart = float(np.max(np.abs(ours - theirs) / scale))
    report.agree(f"{name}: difference in float64", apart, most, peer="neural-tangents")
    x = jnp.asarray(x, jnp.float32)
    whole = jax.jit(lambda x: kernel_fn(x, None, "ntk"))
    wrapped = neural_tangents.wrap(kernel_fn)
    calls: dict[str, Callable[[], Any]] = {"ours": lambda: ntkseq.gram(kernel, x), "theirs": lambda: whole(x)}
    if not quick:
        calls["tiled"] = lambda: ntkseq.gram(wrapped, x)
    times = measure_in_turn(calls, repeats=5)
    best = min((key for key in times if key != "ours"), key=lambda key: times[key].median)
    memory = {key: peak_memory(call) for key, call in calls.items()}
    report.time(
        name, times["ours"], times[best], peer=f"neural-tangents, {'in our tiles' if best == 'tiled' else 'jitted'}",
        work=work(kernel, shape), memory=memory["ours"], least=None if quick else FASTER,
    )  # fmt: skip
    if not quick:
        report.versus(
            f"{name}: peak memory", memory["ours"], memory["theirs"], "B", peer="neural-tangents, in one piece",
            least=LEANER,
        )  # fmt: skip


def work(kernel: kernels.Kernel, shape: tuple[int, ...]) -> Any:
    """Of a Gram matrix; None where the operations of a tile cannot be had without computing it."""
    n, t, d = (shape[0], 1, shape[1]) if len(shape) == 2 else shape
    steps = 1 if len(shape) == 2 else t * t
    try:
        return gram_work(kernel, n, t, d, pair_steps=n * n * steps, vectors=len(shape) == 2)
    except jax.errors.ConcretizationTypeError:
        return None


def costs(report: Report, quick: bool) -> None:
    """Seconds of a Gram matrix of every kernel, compile time apart."""
    t = 8 if quick else 16
    report.table(
        "What every kernel costs",
        "Seconds of a Gram matrix of n sequences; a pair-step is a pair of steps of a pair of sequences.",
    )
    small, large = (16, 64) if quick else (32, 256)
    made: dict[str, tuple[kernels.Kernel, int]] = {
        "Recurrent, last": (kernels.Recurrent(ROOT2), large),
        "Recurrent, mean": (kernels.Recurrent(ROOT2, read="mean"), large),
        "LinearRecurrent": (kernels.LinearRecurrent(0.9), large),
        "LeakyRecurrent": (kernels.LeakyRecurrent(keep=0.5, gate=0.5), large),
        "Bidirectional, 2 layers": (kernels.Bidirectional(depth=2, read="mean"), small),
        "Transformer, 2 layers": (kernels.Transformer(depth=2), small),
        "Gated, gru (sampled)": (kernels.Gated(cell="gru"), large // 4),
        "Gated, lstm (sampled)": (kernels.Gated(cell="lstm"), large // 4),
        "Serial, softmax / sqrt d (sampled)": (
            kernels.Serial(blocks.Linear(), blocks.Attention(scaling="root", samples=256)), 8,
        ),
    }  # fmt: skip
    for name, (kernel, n) in made.items():
        if quick and name.startswith(("Serial", "Leaky", "Gated, lstm")):
            continue  # compiles for long
        x = jnp.asarray(np.random.default_rng(1).standard_normal((n, t, 4)), jnp.float32)
        taken = measure(partial(ntkseq.gram, kernel, x), repeats=3 if quick else 5)
        report.time(f"{name}, n = {n}, t = {t}", taken, work=work(kernel, (n, t, 4)))


def tasks(report: Report, quick: bool) -> None:
    """The kernel between few-shot tasks, beside the base kernel between all of their examples, and a loop of NumPy."""
    report.table(
        "Few-shot tasks",
        "Seconds of the kernel between the queries of tasks, of 5 support and 5 query points, from the "
        "matrix of all points, beside a loop over pairs of tasks.",
    )
    count, size = (20, 5) if quick else (100, 5)
    x = np.random.default_rng(2).standard_normal((count, 2 * size, 8)).astype(np.float32)
    base, steps, lr = kernels.Dense(ROOT2, depth=2), 5, 0.1
    kernel = kernels.Meta(base, kernels.inner.GD(steps=steps, lr=lr))
    given = ((x[:, :size], None), x[:, size:])
    flat = x.reshape(-1, 8)
    loop = partial(looped_tasks, base, flat, count, size, steps, lr)
    calls: dict[str, Callable[[], Any]] = {"ours": lambda: ntkseq.gram(kernel, given), "loop": loop}
    ours, theirs = np.asarray(calls["ours"](), np.float64), loop()
    scale = np.sqrt(np.outer(np.diag(theirs), np.diag(theirs)))
    report.agree(f"{count} tasks: entries", float(np.max(np.abs(ours - theirs) / scale)), 1e-4, peer="the loop")
    times = measure_in_turn(calls, repeats=3 if quick else 5)
    report.time(f"{count} tasks, MAML", times["ours"], times["loop"], peer="loop of NumPy, the base by gram")


def looped_tasks(base: kernels.Kernel, x: np.ndarray, count: int, size: int, steps: int, lr: float) -> np.ndarray:
    """The formula of `kernels.Meta`, pair of tasks after pair, in float64 from the base matrix in float32."""
    K = np.asarray(ntkseq.gram(base, x), np.float64).reshape(count, 2 * size, count, 2 * size)
    signed = []
    for i in range(count):
        inside, decay = K[i, :size, i, :size], np.eye(size)
        answer = np.zeros((size, size))
        for _ in range(steps):  # gradient descent on half the sum of squares over the support points
            answer, decay = answer + lr * decay, decay @ (np.eye(size) - lr * inside)
        signed.append(np.concatenate([-K[i, size:, i, :size] @ answer, np.eye(size)], axis=1))
    found = np.empty((count, size, count, size))
    for i in range(count):
        for j in range(count):
            found[i, :, j] = signed[i] @ K[i, :, j] @ signed[j].T
    return found.reshape(count * size, count * size)
