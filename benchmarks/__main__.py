"""`python -m benchmarks CASE [--quick] [--write]`: run a case, print its rows, keep them as JSON."""

from __future__ import annotations

import argparse
import importlib
import pkgutil

from benchmarks import cases
from benchmarks.report import machine


def main() -> int:
    """Run the chosen case. Returns 1 if a target was missed."""
    names = sorted(module.name for module in pkgutil.iter_modules(cases.__path__))
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("case", choices=names)
    parser.add_argument("--quick", action="store_true", help="smaller sizes: minutes become seconds, targets go")
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/CASE-DEVICE.json")
    parser.add_argument("--exact", action="store_true", help="the table of errors of every function (case empirical)")
    parser.add_argument("--large", action="store_true", help="n = 100,000, an hour (case spectra)")
    options = parser.parse_args()
    for key, value in machine().items():
        print(f"{key:<14}{value}")
    case = importlib.import_module(f"benchmarks.cases.{options.case}")
    if options.exact:
        if not hasattr(case, "exact"):
            parser.error(f"--exact belongs to the case empirical; got {options.case}")
        return case.exact()
    if options.large and not hasattr(case, "large"):
        parser.error(f"--large belongs to the case spectra; got {options.case}")
    report = case.large() if options.large else case.run(options.quick)
    if options.write:
        print("written:", report.write().name)
    missed = [row.name for row in report.rows if row.reached is False]
    print(f"{sum(r.reached is True for r in report.rows)} targets reached, {len(missed)} missed", *missed, sep="\n  ")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
