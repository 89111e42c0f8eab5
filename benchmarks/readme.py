"""`python -m benchmarks.readme`: write README.md and its pictures from the results in `benchmarks/results`."""

# ruff: noqa: E501  lines of a page

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

from benchmarks import catalogue, records
from benchmarks.progress import duration
from benchmarks.report import Row, facts, number

FOLDER = pathlib.Path(__file__).parent
README, IMAGES = FOLDER / "README.md", FOLDER / "images"

TEXT = """# Benchmarks

How fast is ntkseq on your machine, beside other ways to the same numbers, and beside what the machine can do at most?

```sh
pip install -e ".[test,bench,nt]"      # then, for peers: pip install --no-deps neural-tangents==0.6.5; pip install matfree
python -m benchmarks --quick           # all cases at small sizes: some minutes on two cores
python -m benchmarks recurrent         # one case at the sizes of the tables below
python -m benchmarks --json mine.json  # keep what was measured; a case is written as soon as it is done
python -m benchmarks --against mine.json   # compare: exit code 1 if a row fell by more than 25 %
python -m benchmarks --help            # the cases, what each measures, how long it takes
```

`--device gpu` (or `tpu`, `cpu`) says what to measure on; where there is none, one line says so and the exit code is 2.
PyTorch's `torch.func` runs in an environment of its own: `python -m benchmarks.environments torch`. A peer that is not
installed is left out with a line.

**How it is measured.** Each case first agrees with the other way, then both are called in turn (A B A B), each call blocked
until its result is there; the first call, which compiles, is kept apart. Numbers are medians, with the spread of the calls
below them. *Ratio* is how many times better ours is; below 1 the other way wins, and the row stays. The *share of the
limit* is the least time that this machine's rates allow (the roofline) over the time taken: the rates of a large matrix product, a
large copy, `exp` and `sqrt` are measured in the same run, the work is counted in the operations that JAX records.
What two runs are compared by is the ratio of the least times, or, without a peer, that share: not seconds, which are the
machine's and its load's. A case in which a row fell is run up to twice more, and each row counts in the run in which it did best.

**On a borrowed accelerator.** Nothing is downloaded, and each case is written when it is done, so that a time limit costs the
cases that were not reached: `timeout 470 python -m benchmarks recurrent empirical infinite attention --device gpu --json
benchmarks/results`. The file has device, driver and versions; memory is that of the device. No accelerator has been measured yet.

[Where the time goes, and why not all of the machine](../docs/performance.md). [Add a case](../docs/architecture.md#add-a-benchmark-case).
"""


def main() -> None:
    """Write the page and the pictures."""
    files = results()
    README.write_text(page(files, small(files)), encoding="utf-8")
    print(README.name)
    if files:
        from benchmarks import plots

        for path in plots.draw(files, IMAGES):
            print(f"images/{path.name}")


def results() -> dict[str, records.Results]:
    """By kind of machine what was measured at full size."""
    found = {path.stem: records.read(path) for path in sorted(records.RESULTS.glob("*.json"))}
    return {kind: one for kind, one in found.items() if not one.quick}


def small(files: dict[str, records.Results]) -> dict[str, records.Results]:
    """By kind of machine the cases that were measured there at small sizes alone."""
    found = {}
    for kind, full in files.items():
        path = records.RESULTS / f"{kind}-quick.json"
        one = records.read(path) if path.exists() else dataclasses.replace(full, cases={})
        rest = {name: case for name, case in one.cases.items() if name not in full.cases}
        found[kind] = dataclasses.replace(one, cases=rest)
    return found


def page(files: dict[str, records.Results], small: dict[str, records.Results]) -> str:
    """The page: the text above, then for each machine its losses, pictures and tables.

    Args:
        files: by kind of machine what was measured at full size.
        small: what was measured at small sizes alone.
    """
    if not files:
        return f"{TEXT}\n## Results\n\nNone are kept here yet: `python -m benchmarks --json benchmarks/results`, then " \
               "`python -m benchmarks.readme`.\n"  # fmt: skip
    parts = [TEXT]
    for kind, one in files.items():
        rest = small[kind].cases if kind in small else {}
        parts += [*_machine(one), *_losses(one.cases | rest), *_pictures(kind)]
        for name, case in one.cases.items():
            parts += _case(name, case)
        for name, case in rest.items():
            parts += _case(name, case, "At small sizes alone (`--quick`). ")
    return "\n".join(parts)


def _machine(one: records.Results) -> list[str]:
    told = one.machine
    title = told["processor"] if told["device"].startswith("cpu") else told["device"].partition(" ")[2]
    versions = ", ".join(f"{name} {told[name]}" for name in ("python", "jax", "numpy", "driver") if told.get(name))
    return [f"## {title}, {told['cores']} cores\n", f"{versions}. Written by `python -m benchmarks.readme`.\n"]


def _losses(cases: dict[str, records.Case]) -> list[str]:
    lost = [
        (row.ratio, f"| {row.ratio:.2g}x | {name} | {row.what} | {row.peer} |")
        for name, case in cases.items() for row in case.rows if row.timing and row.ratio and row.ratio < 1
    ]  # fmt: skip
    if not lost:
        return ["### What is slower than another way\n", "Nothing that was timed.\n"]
    rows = [text for _, text in sorted(lost)]
    return [
        "### What is slower than another way\n",
        "| ratio | case | what | other way |\n|---:|---|---|---|",
        *rows,
        "",
    ]


def _pictures(kind: str) -> list[str]:
    said = {
        "ratios": "Times as fast as the best other way, row by row; left of 1 the other way wins.",
        "limits": "Share of what the machine's rates allow.",
        "growth": "Seconds against size; the dashed line has the counted exponent.",
    }
    return [f"![{text}](images/{kind}-{name}.svg)\n" for name, text in said.items()]


def _case(name: str, case: records.Case, size: str = "") -> list[str]:
    entry = catalogue.entries().get(name)
    rates = case.rates
    at = (f"{rates['products'] / 1e9:.0f} GFLOP/s of matrix products, {rates['copies'] / 1e9:.0f} GB/s copied, "
          f"{rates['exponentials'] / 1e9:.2g} G exp/s, {rates['roots'] / 1e9:.2g} G sqrt/s")  # fmt: skip
    lines = [f"### {name}: {entry.question if entry else ''}\n",
             f"{size}Commit {case.commit}, {duration(case.seconds)}, load before {case.load}; {at}.\n"]  # fmt: skip
    bare = [row for row in case.rows if row.table not in case.sentences]
    lines += [*_table(bare), ""] if bare else []
    for heading, sentence in case.sentences.items():
        rows = [row for row in case.rows if row.table == heading]
        if rows:
            lines += [f"**{heading}.** {sentence}\n", *_table(rows), ""]
    return lines


def _table(rows: list[Row]) -> list[str]:
    head = ["| what | ours | other | ratio | wanted | |", "|---|---:|---:|---:|---|---|"]
    return head + [f"| {' | '.join(cell.strip() for cell in _cells(row))} |" for row in rows]


def _cells(row: Row) -> tuple[Any, ...]:
    mark = {None: "", True: " met", False: " **missed**"}[row.reached]
    ratio = "" if row.ratio is None else f"**{row.ratio:.3g}x**" if row.ratio < 1 else f"{row.ratio:.3g}x"
    peer = f"other: {row.peer}" if row.peer and row.peer != "counted" else ""
    more = "; ".join(part for part in (peer, row.note, facts(row)) if part).replace("|", "/")
    return row.what, number(row.ours, row.unit), number(row.other, row.unit), ratio, row.wanted + mark, more


if __name__ == "__main__":
    main()
