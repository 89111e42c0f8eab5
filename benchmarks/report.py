"""How is a benchmark written down? Rows with a target each, the machine, versions and commit, as text and JSON."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import jax
import numpy as np

RESULTS = Path(__file__).parent / "results"


@dataclasses.dataclass(frozen=True)
class Row:
    """One measured number. `reached` is None where no target stands."""

    name: str
    value: float
    unit: str
    target: str = ""
    reached: bool | None = None
    note: str = ""


@dataclasses.dataclass
class Report:
    """The rows of one case."""

    case: str
    rows: list[Row] = dataclasses.field(default_factory=list)

    def add(self, name: str, value: float, unit: str = "", *, most: float | None = None, least: float | None = None,
            note: str = "") -> None:  # fmt: skip
        """Add a row and print it; `most` and `least` are targets."""
        target = f"<= {most:g}" if most is not None else f">= {least:g}" if least is not None else ""
        reached = None
        if most is not None or least is not None:
            reached = (most is None or value <= most) and (least is None or value >= least)
        row = Row(name, float(value), unit, target, reached, note)
        self.rows.append(row)
        mark = {None: "   ", True: "ok ", False: "NO "}[reached]
        print(f"{mark}{name:<58}{value:>12.4g} {unit:<14}{target:<12}{note}", flush=True)

    def write(self, folder: Path = RESULTS) -> Path:
        """Write the rows with device, versions and commit to `<case>-<device>.json`."""
        device = jax.devices()[0]
        kind = device.device_kind.replace(" ", "-").lower()
        payload: dict[str, Any] = {"case": self.case, "machine": machine(), "rows": []}
        for row in self.rows:
            entry = dataclasses.asdict(row)
            entry["value"] = row.value if math.isfinite(row.value) else None
            payload["rows"].append(entry)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.case}-{kind}.json"
        path.write_text(json.dumps(payload, indent=1) + "\n")
        return path


def machine() -> dict[str, Any]:
    """What was measured on."""
    device = jax.devices()[0]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "device": f"{device.platform} {device.device_kind}",
        "cores": cores,
        "load_before": load,
        "processor": _processor(),
        "python": platform.python_version(),
        "jax": jax.__version__,
        "numpy": np.__version__,
        "commit": _commit(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=RESULTS.parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return run.stdout.strip()
