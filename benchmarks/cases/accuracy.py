"""How accurate are kernels of this library on the tables of the UCI collection, beside a plain kernel?

Needs the folder NTKSEQ_DATA with `uci90/NAME.npz`: X, y and the folds of the published protocol of the feed-forward NTK
(see `ntkseq accuracy`). Each accuracy is a line of JSON in the file NTKSEQ_ROWS (uci90.jsonl where that is not set),
written as soon as it is there; a run goes on from what the file has. NTKSEQ_MINUTES=40 begins nothing after that time,
and names what is missing. Small tables come first, slow methods later. Half of the time of small tables is compilation:
with JAX_COMPILATION_CACHE_DIR=folder and JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0 no program is compiled twice.

dense, gaussian, recurrent: `ntkseq accuracy --kernel`, chosen on the validation fold. vectors, series: `NTKClassifier`
with its default tuning by leave-one-out within each training fold, rows read as vectors (`layout="nd"`, six dense
kernels) and, as it does unless told, as series of scalars (twelve recurrent ones); its kernels are scaled to the data.
"""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import machine
from benchmarks.report import Report
from ntkseq._files import written

SECONDS = (90, 7000)
NAMED_ONLY = True
METHODS = {"gaussian": 1, "dense": 1, "vectors": 3, "recurrent": 6, "series": 6}
"""How much longer each takes than the first, about: what a table costs is this times its rows."""
QUICK = 3
"""Tables of a quick run."""

Rows = dict[tuple[str, str], dict[str, Any]]


def run(quick: bool) -> Report:
    """A row for each table and method into the file, then averages and shares; quick: three tables, no file."""
    report = Report("accuracy")
    report.table("UCI", "Percent of test examples that are right, mean over the four folds of the published protocol.")
    folder = os.environ.get("NTKSEQ_DATA")
    if not folder:
        report.left_out("all of it: set NTKSEQ_DATA to the folder of data sets to have it")
        return report
    sizes = {path: _size(path) for path in sorted(Path(folder, "uci90").glob("*.npz"))}
    tables = sorted(sizes, key=lambda path: (sizes[path], path.stem))[: QUICK if quick else None]
    jobs = sorted(
        ((sizes[path] * weight, path.stem, name), path) for path in tables for name, weight in METHODS.items()
    )
    file = None if quick else Path(os.environ.get("NTKSEQ_ROWS") or "uci90.jsonl")
    rows = read(file) if file and file.exists() else {}
    stop = time.monotonic() + 60 * float(os.environ.get("NTKSEQ_MINUTES") or math.inf)
    for (_, table, method), path in jobs:
        if (table, method) in rows or time.monotonic() > stop:
            continue
        rows[table, method] = row = measured(path, method)
        print(f"   {table:<34}{method:<12}{row['accuracy']:>8.2f} %  {row['seconds']:>8.1f} s", flush=True)
        if file:
            write(file, rows)
    names = [path.stem for path in tables]
    summary(report, {key: row for key, row in rows.items() if key[0] in names}, names)
    reference(report, Path(folder, "uci90", "REFERENCE.json"), rows)
    return report


def _size(path: Path) -> int:
    with np.load(path) as held:
        return len(held["y"])


def measured(path: Path, method: str) -> dict[str, Any]:
    """The accuracy of a method on a table, and the seconds of processor time that it took."""
    start = time.process_time()
    found = _classifier(path, method) if method in ("vectors", "series") else _protocol(path, method)
    seconds = round(time.process_time() - start, 2)
    return {"table": path.stem, "method": method, **found, "seconds": seconds, "commit": machine.commit()}


def _protocol(path: Path, kernel: str) -> dict[str, Any]:
    from ntkseq.studies import accuracy

    found = accuracy(path, kernel=kernel)  # pyright: ignore[reportArgumentType]
    return {
        "accuracy": round(found.test, 4),
        "validation": round(found.validation, 4),
        "settings": list(found.settings[:3]),
        "tied": len(found.settings),
        "unconverged": found.unconverged,
    }


def _classifier(path: Path, method: str) -> dict[str, Any]:
    from ntkseq.interop.sklearn import NTKClassifier, forget

    with np.load(path) as held:
        known = dict(held)
    X, y = known["X"], known["y"]
    scores, chosen = [], []
    for i in range(4):
        train, test = known[f"k{i}_train"], known[f"k{i}_test"]
        model = NTKClassifier(layout="nd" if method == "vectors" else "ntd").fit(X[train], y[train])
        scores.append(100 * model.score(X[test], y[test]))
        chosen.append(" ".join(str(model.kernel_).split()))
    forget()
    jax.clear_caches()  # programs for the sizes of this table: 50 MB or so
    return {"accuracy": round(float(np.mean(scores)), 4), "settings": chosen}


def read(file: Path) -> Rows:
    """The rows of a file, by table and method.

    Raises:
        ValueError: a line that is no row.
    """
    rows = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            rows[row["table"], row["method"]] = row
            float(row["accuracy"]), float(row["seconds"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{file}, line {number} is no row of this case ({error!r}). Take another file.") from None
    return rows


def write(file: Path, rows: Rows) -> None:
    """All rows, or, when it is interrupted, those that were there."""
    text = "".join(json.dumps(rows[key]) + "\n" for key in sorted(rows))
    written(file, lambda out: out.write(text.encode()))


def summary(report: Report, rows: Rows, tables: list[str]) -> None:
    """Averages and shares over the tables that several methods share, and what is missing."""
    done = {name: [table for table in tables if (table, name) in rows] for name in METHODS}
    methods = sorted((name for name in METHODS if done[name]), key=lambda name: -len(done[name]))
    for name in methods:
        missing = [table for table in tables if table not in done[name]]
        seconds = sum(rows[table, name]["seconds"] for table in done[name])
        report.add(f"{name}, all it has: average", _mean(rows, done[name], name), "%", note=_of(done[name]))
        report.add(f"{name}: processor time", seconds, "s")
        if missing:
            report.left_out(f"{name} on {', '.join(missing)}")
    for k in range(len(methods), 1, -1):
        shared = [table for table in tables if all((table, name) in rows for name in methods[:k])]
        if not shared or (k < len(methods) and len(shared) == len(done[methods[k]])):
            continue
        for name, found in shares(rows, shared, methods[:k]).items():
            for what, value in found.items():
                report.add(f"{name}, of {k} methods on {len(shared)} tables: {what}", value, "%")


def shares(rows: Rows, tables: list[str], methods: list[str]) -> dict[str, dict[str, float]]:
    """In percent, by method: the average; P90 and P95, the share of tables on which it has at least 90 or 95 percent of
    the best of these methods; PMA, the mean of its accuracy over that best."""
    A = np.array([[rows[table, name]["accuracy"] for name in methods] for table in tables])
    parts = A / A.max(axis=1, keepdims=True)
    return {
        name: {
            "average": float(A[:, i].mean()),
            "P90": 100 * float(np.mean(parts[:, i] >= 0.9)),
            "P95": 100 * float(np.mean(parts[:, i] >= 0.95)),
            "PMA": 100 * float(parts[:, i].mean()),
        }
        for i, name in enumerate(methods)
    }


def reference(report: Report, file: Path, rows: Rows) -> None:
    """How the fully connected kernels stand to accuracies of another program, where the folder has them."""
    if not file.exists():
        return
    known = json.loads(file.read_text(encoding="utf-8"))["accuracy"]
    both = {
        table: rows[table, "dense"]["accuracy"] - value for table, value in known.items() if (table, "dense") in rows
    }
    if not both:
        return
    far = [f"{table} {gap:+.2f}" for table, gap in both.items() if abs(gap) > 1]
    report.add("dense: its average", _mean(rows, list(both), "dense"), "%", note=_of(list(both)))
    report.add("dense: average of the reference there", float(np.mean([known[table] for table in both])), "%")
    report.add("dense: tables off by more than a point", len(far), note=", ".join(far))


def _mean(rows: Rows, tables: list[str], method: str) -> float:
    return float(np.mean([rows[table, method]["accuracy"] for table in tables]))


def _of(tables: list[str]) -> str:
    return f"{len(tables)} tables"
