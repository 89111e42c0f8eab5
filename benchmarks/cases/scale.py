"""What do two devices of one machine gain over one, for a kernel matrix and for products with one?

Devices of the host, a processor each, in processes of their own, since JAX counts its devices once.
"""

from __future__ import annotations

import statistics
import sys
from typing import Any

import jax

from benchmarks.environments import process
from benchmarks.machine import Work
from benchmarks.on_devices import T
from benchmarks.report import Report
from benchmarks.timing import Timing

SECONDS = (15, 120)
TWO_DEVICES = 1.8
OVERHEAD = 1.1
"""Processor time on two devices over that on one."""
REPEATS = 5


def run(quick: bool) -> Report:
    """A Gram matrix and a product of a lazy one, on one device and on two."""
    report = Report("scale")
    if jax.default_backend() != "cpu":
        report.left_out("devices of the host: this case is for a CPU")
        return report
    for part in PARTS:
        part(report, quick)
    return report


def devices(report: Report, quick: bool) -> None:
    """Two devices of the host, a processor each, against one: in turn, the least of some runs."""
    report.table("Two devices of the host", "Seconds on two devices (ours), beside one (other).")
    n = 512 if quick else 4096
    with _process(1, n) as one, _process(2, n) as two:
        for word in ("gram", "product"):
            first = one(word), two(word)  # compile
            same = first[0]["digest"] == first[1]["digest"]
            runs = [(one(word), two(word)) for _ in range(REPEATS)]
            report.add(f"{word}, n = {n}: bits that differ", 0.0 if same else 1.0, most=0.0)
            alone, both = (_timing(first[k], [run[k] for run in runs], "wall") for k in (0, 1))
            work = Work(pair_steps=n * n * T)
            report.time(f"{word}, n = {n}, t = {T}", both, alone, peer="one device", work=work,
                        least=None if quick else TWO_DEVICES)  # fmt: skip
            alone, both = (min(run[k]["processor"] for run in runs) for k in (0, 1))
            report.versus(f"{word}, n = {n}: processor time", both, alone, "s", peer="one device",
                          least=None if quick else 1 / OVERHEAD)  # fmt: skip


def _timing(first: dict[str, float], runs: list[dict[str, float]], clock: str) -> Timing:
    seconds = sorted(run[clock] for run in runs)
    return Timing(first[clock], statistics.median(seconds), seconds[0], seconds[-1], len(seconds))


PARTS = (devices,)


def _process(count: int, n: int) -> Any:
    return process(sys.executable, "benchmarks.on_devices", str(count), str(n))
