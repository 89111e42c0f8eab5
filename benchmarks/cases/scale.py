"""What do more devices make of one kernel matrix? The same bits first, then the time."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.on_devices import T
from benchmarks.report import Report

TWO_DEVICES = 1.8
OVERHEAD = 1.1
"""Processor time on two devices over that on one."""
REPEATS = 5


def run(quick: bool) -> Report:
    """A Gram matrix and a product of a lazy one, on one device and on two."""
    report = Report("scale")
    for part in PARTS:
        part(report, quick)
    return report


def devices(report: Report, quick: bool) -> None:
    """Two devices of the host, a processor each, against one: in turn, the least of some runs."""
    n = 256 if quick else 4096
    with process(1, n) as one, process(2, n) as two:
        for word in ("gram", "product"):
            first = one(word), two(word)  # compile
            same = first[0]["digest"] == first[1]["digest"]
            runs = [(one(word), two(word)) for _ in range(REPEATS)]
            alone, both = (
                {name: min(run[which][name] for run in runs) for name in ("wall", "processor")} for which in (0, 1)
            )
            load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
            report.add(f"{word}: bits that differ on two devices", 0.0 if same else 1.0, most=0.0)
            report.add(f"{word}: one device", alone["wall"], "s", note=f"n = {n}, t = {T}, {load}")
            report.add(f"{word}: two devices", both["wall"], "s")
            speed = alone["wall"] / both["wall"]
            report.add(f"{word}: two devices, times as fast", speed, least=None if quick else TWO_DEVICES)
            used = both["processor"] / alone["processor"]
            report.add(f"{word}: processor time, two over one", used, most=None if quick else OVERHEAD)
            report.add(f"{word}: pair-steps per second of a device", n * (n + 1) / 2 * T / alone["processor"], "1/s")


PARTS = (devices,)


@contextlib.contextmanager
def process(count: int, n: int) -> Iterator[Callable[[str], Any]]:
    """A process of `benchmarks.on_devices`, to be asked word by word: JAX counts its devices once."""
    command = [sys.executable, "-m", "benchmarks.on_devices", str(count), str(n)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        words, answers = running.stdin, running.stdout
        assert words is not None and answers is not None

        def ask(word: str) -> Any:
            words.write(f"{word}\n")
            words.flush()
            line = answers.readline()
            if not line:
                raise RuntimeError(f"the process with {count} devices ended; what it said stands above.")
            return json.loads(line)

        yield ask
        words.close()
