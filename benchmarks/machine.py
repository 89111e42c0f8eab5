"""What is measured on, and what can it do at most? The rates that every other row is held against, in the same run."""

from __future__ import annotations

import dataclasses
import functools
import os
import platform
import re
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import progress
from benchmarks.timing import measure
from ntkseq import _vectors

ROUNDS = 16
"""Functions of one number after each other: a loop over numbers then waits for arithmetic and not for memory."""


@dataclasses.dataclass(frozen=True)
class Ceilings:
    """The best of some calls, on all processors or the whole device; float32 where nothing else is said.

    Attributes:
        products: FLOP/s of a large matrix product, in full float32.
        products64: FLOP/s of one in float64; nan on a device without it.
        loops: FLOP/s of multiply-adds, number by number, in the compiled loop of an elementwise function.
        copies: bytes/s, those read and those written, of a copy much larger than the caches.
        exponentials: exp per second, in such a loop.
        roots: square roots per second, in such a loop.
    """

    products: float
    products64: float
    loops: float
    copies: float
    exponentials: float
    roots: float

    def __str__(self) -> str:
        return (
            f"matrix product {self.products / 1e9:.4g} GFLOP/s ({self.products64 / 1e9:.4g} in float64), "
            f"multiply-adds in a loop {self.loops / 1e9:.4g} GFLOP/s, copy {self.copies / 1e9:.4g} GB/s, "
            f"exp {self.exponentials / 1e9:.3g} G/s, sqrt {self.roots / 1e9:.3g} G/s"
        )


@dataclasses.dataclass(frozen=True)
class Work:
    """What one call has to do at least, counted by hand or by XLA.

    Attributes:
        flops: multiplications and additions.
        bytes: read from and written to memory beyond the caches.
        exponentials, roots: values of exp and its like, and of sqrt.
        pair_steps: pairs of examples times pairs of steps (steps, where they go in step).
        double: in float64.
    """

    flops: float = 0.0
    bytes: float = 0.0
    exponentials: float = 0.0
    roots: float = 0.0
    pair_steps: float = 0.0
    double: bool = False

    def floor(self, ceilings: Ceilings) -> tuple[float, str]:
        """The least seconds that this machine needs (the roofline), and which of its rates says so."""
        rate = ceilings.products64 if self.double else max(ceilings.products, ceilings.loops)
        parts = {
            "arithmetic": self.flops / rate,
            "memory": self.bytes / ceilings.copies,
            "exp": self.exponentials / ceilings.exponentials,
            "sqrt": self.roots / ceilings.roots,
        }
        parts = {name: seconds for name, seconds in parts.items() if seconds > 0}
        if not parts:
            return float("nan"), ""
        name = max(parts, key=lambda key: parts[key])
        return parts[name], name


@functools.cache
def ceilings() -> Ceilings:
    """Measure this machine, in some seconds; once in a process."""
    on_cpu = jax.default_backend() == "cpu"
    n = 1536 if on_cpu else 8192
    repeats = 7
    key = jax.random.key(0)

    def rate(amount: float, call: Callable[..., Any], *args: Any) -> float:
        return amount / measure(lambda: call(*args), repeats=repeats).least

    product = jax.jit(lambda a: jnp.matmul(a, a, precision="highest"))
    a = jax.random.normal(key, (n, n), jnp.float32)
    progress.doing("the rate of matrix products")
    products = rate(2.0 * n**3, product, a)
    products64 = float("nan")
    if jax.default_backend() != "tpu":
        with jax.enable_x64(True):
            half = a[: n // 2, : n // 2] if not on_cpu else a  # many accelerators are slow at it
            products64 = rate(2.0 * len(half) ** 3, product, half.astype(jnp.float64))
    progress.doing("the rates of loops and copies")
    copies = _copies(2**26 if on_cpu else 2**28, repeats)
    x = jax.random.uniform(key, (2**21 if on_cpu else 2**26,), jnp.float32)
    compiled = (lambda f: _vectors.Wide(f)) if on_cpu else jax.jit

    def loop(f: Callable[[Any], Any]) -> float:
        """Values of f per second: once in a loop, or often, where that is faster; of exp, long chains are slower."""
        return max(rate(float(often * x.size), compiled(partial(_repeated, f, often)), x) for often in (1, ROUNDS))

    return Ceilings(
        products,
        products64,
        rate(8.0 * ROUNDS * x.size, compiled(_multiply_adds), x),
        copies,
        loop(lambda v: jnp.exp(-v)),
        loop(lambda v: jnp.sqrt(v + 1)),
    )


def _copies(size: int, repeats: int) -> float:
    """Bytes/s of a loop that reads an array and writes it anew in its place: fresh memory would first be cleared."""
    step, state = jax.jit(lambda x: x + 1, donate_argnums=0), [jnp.ones(size, jnp.float32)]

    def call() -> Any:
        state[0] = step(state[0])
        return state[0]

    return 8.0 * size / measure(call, repeats=repeats).least


def _repeated(f: Callable[[Any], Any], often: int, x: Any) -> Any:
    for _ in range(often):
        x = f(x)
    return x


def _multiply_adds(x: Any) -> Any:
    """4 ROUNDS multiply-adds, in two chains that do not wait for each other."""
    one, two = x, x + 1
    for _ in range(2 * ROUNDS):
        one, two = one * 0.5 + 0.25, two * 0.25 + 0.5
    return one + two


def description() -> dict[str, Any]:
    """The machine and the versions: what must be equal for two results to stand in one file."""
    device = jax.devices()[0]
    return {
        "device": f"{device.platform} {device.device_kind}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "jax": jax.__version__,
        "numpy": np.__version__,
        "driver": _driver(device),
    }


def kind(machine: dict[str, Any]) -> str:
    """A name for files: the accelerator, or processor and number of cores."""
    platform_name, _, device = machine["device"].partition(" ")
    text = f"{machine['processor']} {machine['cores']} cores" if platform_name == "cpu" else device
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)", "", text.lower())).strip("-")


def load() -> float | None:
    """Processes that wanted to run, on the average of the last minute, where the system says."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = dict(re.findall(r"^(model name|model)\s*:\s*(.*)$", info.read_text(), re.MULTILINE))
        if "model name" in lines:
            return ", model ".join(lines[key] for key in ("model name", "model") if key in lines)
    return platform.processor() or platform.machine()


def _driver(device: Any) -> str:
    """What the accelerator is driven by."""
    return "" if device.platform == "cpu" else str(getattr(device.client, "platform_version", "")).replace("\n", ", ")


def commit() -> str:
    """The version of this checkout."""
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=Path(__file__).parent, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return run.stdout.strip()
