"""Measure ntkseq on this machine, beside other ways to the same numbers and beside what the machine can do."""

from __future__ import annotations

import argparse
import importlib
import os
import pathlib
import sys
import textwrap
import time
import traceback
from typing import Any

from benchmarks import catalogue
from benchmarks.progress import done, duration

EPILOG = """columns: what was measured | ours | the other way | ratio (how many times better ours is) | what was wanted
Each row first agrees with the other way, then both are timed in turn; below it stand compile time, spread, memory,
rates, and the share of what this machine's rates (measured in the same run) allow.

exit code: 0; 1 if a target was missed, a case broke, or with --against a row fell by more than 25 % beside its peer or
the machine; 2 if nothing could be measured, or no row compared."""


RETRIES = 2
"""How often a case in which a row fell is run once more."""


def main(words: list[str] | None = None) -> int:
    """Run cases. Returns the exit code."""
    entries = catalogue.entries()
    options = _options(entries, words)
    if options.help:
        print(_help(entries, options.case))
        return 0
    chosen = options.case or [name for name, entry in entries.items() if not entry.named_only]
    problem = _device(options.device)
    if problem:
        print(problem, file=sys.stderr)
        return 2
    try:
        return run(chosen, entries, options)
    except (ValueError, OSError) as error:
        done()
        print(f"python -m benchmarks: {error}", file=sys.stderr)
        return 2


def _options(entries: dict[str, catalogue.Entry], words: list[str] | None) -> argparse.Namespace:
    parser = _parser()
    options = parser.parse_args(words)
    unknown = [name for name in options.case if name not in entries]
    if unknown:
        parser.error(f"no case is called {unknown[0]!r}. There are: {', '.join(entries)}")
    options.case = list(dict.fromkeys(options.case))
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, add_help=False)
    parser.add_argument("case", nargs="*", metavar="CASE", help="which cases; none: all that do not have to be named")
    parser.add_argument("-h", "--help", action="store_true", help="this text; after a CASE, what that one measures")
    parser.add_argument(
        "--device", choices=("cpu", "gpu", "tpu"), help="what to measure on; without it, what JAX finds"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small sizes: all cases in some minutes; no targets of speed"
    )
    parser.add_argument("--json", type=pathlib.Path, metavar="OUT", help="keep the rows in a .json file; in that of "
                        "this kind of machine, if OUT is a folder; other cases in it stay")  # fmt: skip
    parser.add_argument("--against", type=pathlib.Path, metavar="OUT", help="compare with an earlier .json file, or "
                        "with that of this kind of machine in a folder")  # fmt: skip
    return parser


def _help(entries: dict[str, catalogue.Entry], named: list[str]) -> str:
    if named:
        return "\n\n".join(_told(entries[name], whole=True) for name in named)
    lines = [_parser().format_help(), "cases (seconds on two idle cores, quick and full):"]
    lines += [_told(entry) for entry in entries.values()]
    return "\n".join([*lines, "", EPILOG])


def _told(entry: catalogue.Entry, whole: bool = False) -> str:
    times = f"{duration(entry.quick)}, {duration(entry.full)}" if entry.quick else duration(entry.full)
    only = "; only when named" * entry.named_only
    head = f"  {entry.name:<12}" + textwrap.fill(f"{entry.question} ({times}{only})", 116, subsequent_indent=" " * 14)
    return head + ("\n" + textwrap.indent(entry.text, " " * 14) if whole and entry.text else "")


def _device(name: str | None) -> str:
    """Have JAX compute on such a device. Returns what is wrong, in one line, or nothing."""
    if name == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"
    import jax

    if name == "cpu":
        jax.config.update("jax_platforms", "cpu")
    try:
        found = jax.default_backend()
    except RuntimeError as error:
        return f"python -m benchmarks: JAX finds no device ({str(error).splitlines()[0]})."
    if name is None or found == name:
        return ""
    set_to = os.environ.get("JAX_PLATFORMS")
    why = f"JAX_PLATFORMS={set_to}" if set_to else "its driver, or JAX's package for it, is missing"
    return f"python -m benchmarks: no {name} here: JAX computes on {found} ({why}). Nothing was measured."


def run(chosen: list[str], entries: dict[str, catalogue.Entry], options: argparse.Namespace) -> int:
    """Measure the machine, then the cases; keep each as soon as it is done; compare."""
    from benchmarks import machine, records, report

    out = records.place(options.json, options.quick) if options.json else None
    results = records.opened(out, options.quick) if out else records.Results(machine.description(), options.quick)
    earlier = _earlier(options)
    for key, value in machine.description().items():
        print(f"{key:<10}{value}")
    print(f"load      {machine.load()}: processes that wanted to run before this")
    print(f"rates     {machine.ceilings()}", flush=True)
    total = sum(entries[name].quick if options.quick else entries[name].full for name in chosen)
    print(f"{len(chosen)} cases, about {duration(total)} on two idle cores")
    broken, missed = [], []
    for number, name in enumerate(chosen, 1):
        entry = entries[name]
        about = duration(entry.quick if options.quick else entry.full)
        print(f"\n=== {name} ({number} of {len(chosen)}, about {about}): {entry.question}", flush=True)
        found = measured(name, options.quick, results)
        if found is None:
            broken.append(name)
            continue
        missed += [f"{name}: {row.table}: {row.what}" for row in report.missed(found)]
        if out:
            results.write(out)
    print()
    for line in (*(f"broke: {name}" for name in broken), *(f"missed: {name}" for name in missed)):
        print(line)
    rows = [row for name in chosen if name in results.cases for row in results.cases[name].rows]
    print(f"{len(rows)} rows, {sum(row.reached is True for row in rows)} targets reached, {len(missed)} missed")
    if out:
        print(f"written: {out}")
    changes = against(earlier, results, [name for name in chosen if name not in broken], options) if earlier else []
    if out and earlier:  # with the better runs of rows that fell at first
        results.write(out)
    if broken or missed or any(change.fell for change in changes):
        return 1
    return 2 if earlier and not changes else 0


def measured(name: str, quick: bool, results: Any) -> Any:
    """Run one case and put it into the results. Returns its rows, or None if it broke."""
    from benchmarks import machine

    load, start, processor = machine.load(), time.perf_counter(), time.process_time()
    try:
        found = importlib.import_module(f"benchmarks.cases.{name}").run(quick)
    except Exception:  # the other cases can still be measured
        done()
        traceback.print_exc()
        return None
    seconds = time.perf_counter() - start
    results.put(found, seconds, load)
    used = duration(time.process_time() - processor)
    print(f"--- {name} took {duration(seconds)} ({used} of processor time)", flush=True)
    return found.rows


def _earlier(options: argparse.Namespace) -> Any:
    """The results to compare with, or None. A folder may hold none of this kind of machine."""
    from benchmarks import records

    if options.against is None:
        return None
    path = records.place(options.against, options.quick)
    if path != options.against and not path.exists():
        print(f"compared with nothing: {options.against} holds no {path.name}, results of this kind of machine")
        return None
    found = records.read(path)
    if found.quick != options.quick:
        print(f"{path} holds {'quick' if found.quick else 'full'} sizes: few rows have the same names")
    return found


def against(earlier: Any, results: Any, chosen: list[str], options: argparse.Namespace) -> list[Any]:
    """Print every row's ratio to its earlier self. Returns the rows that both have, of up to three runs."""
    from benchmarks import machine, records

    commits = sorted({earlier.cases[name].commit for name in chosen if name in earlier.cases})
    there = f"{earlier.machine['processor']}, {earlier.machine['device']}, at {', '.join(commits) or 'no such case'}"
    print(f"\nbeside {options.against}: {there}")
    changes, gone, come = records.compare(earlier, results, chosen)
    for _ in range(RETRIES):
        again = sorted({change.case for change in changes if change.fell})
        if not again:
            break
        machine.ceilings.cache_clear()  # measured once more, too
        for name in again:
            print(f"\n=== {name}, once more: a row fell, which a moment's load can do", flush=True)
            before = results.cases[name]
            if measured(name, options.quick, results) is not None:
                results.cases[name] = records.better(before, results.cases[name])
        changes, gone, come = records.compare(earlier, results, chosen)
    print(f"\n{'row':<96} {'now/then':>9}")
    for change in sorted(changes, key=lambda change: change.ratio):
        print(change)
    for names, where in ((gone, "only there"), (come, "only here")):
        for name in names:
            print(f"{where}: {name}")
    fell = sum(change.fell for change in changes)
    print(f"{len(changes)} rows compared, {fell} fell by more than 25 % beside their peer or the machine")
    if not changes:
        print(f"nothing was compared: no row above has a name of {options.against}")
    return changes


if __name__ == "__main__":
    raise SystemExit(main())
