"""Pictures of results: ratios to the other way, shares of the machine's limit, growth."""

from __future__ import annotations

import pathlib
import textwrap
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from benchmarks import catalogue
from benchmarks.records import Results
from benchmarks.report import Row
from ntkseq._plots import grid

COLOURS = plt.get_cmap("tab10").colors  # pyright: ignore[reportAttributeAccessIssue]
Named = list[tuple[str, Row]]


def draw(files: dict[str, Results], folder: pathlib.Path) -> list[pathlib.Path]:
    """Three pictures for each machine. Returns their paths."""
    folder.mkdir(exist_ok=True)
    written = []
    for kind, one in files.items():
        rows = [(name, row) for name, case in one.cases.items() for row in case.rows]
        for name, picture in (("ratios", ratios), ("limits", limits), ("growth", growth)):
            figure = picture(rows)
            path = folder / f"{kind}-{name}.svg"
            with matplotlib.rc_context({"svg.hashsalt": "ntkseq"}):
                figure.savefig(path, metadata={"Date": None, "Creator": None})
            plt.close(figure)
            written.append(path)
    return written


def ratios(rows: Named) -> Any:
    """Times as fast as the other way, on a logarithmic scale."""
    timed = [(name, row, row.ratio) for name, row in rows if row.timing and row.ratio]
    figure, axes = _bars(timed, "times as fast as the best other way")
    axes.set_xscale("log")
    axes.axvline(1, color="black", lw=0.8)
    axes.xaxis.set_major_formatter("{x:g}x")
    return figure


def limits(rows: Named) -> Any:
    """Shares of the limit, with the rate that sets it."""
    share = "share of the limit"
    held = [(name, row, 100 * row.details[share]) for name, row in rows if share in row.details]
    figure, axes = _bars(held, "percent of what the machine's rates allow", limit=True)
    axes.set_xlim(0, max([100.0, *(value for _, _, value in held)]))
    return figure


def _bars(values: list[tuple[str, Row, float]], label: str, limit: bool = False) -> tuple[Any, Any]:
    """A bar for each row, in the colour of its case."""
    names = list(catalogue.entries())
    figure, axes = plt.subplots(figsize=(9, 1.2 + 0.2 * max(1, len(values))), layout="constrained")
    for place, (name, row, value) in enumerate(values):
        colour = COLOURS[names.index(name) % len(COLOURS)] if name in names else "grey"
        start = 0.0 if limit else 1.0
        axes.barh(place, value - start, left=start, color=colour, height=0.7, alpha=0.85)
        text, right = f"{value:.3g}{f' ({row.limit})' if limit else 'x'}", value >= start
        axes.annotate(text, (value, place), (4 if right else -4, 0), textcoords="offset points", va="center",
                      ha="left" if right else "right", fontsize=7)  # fmt: skip
    axes.set_yticks(range(len(values)), [f"{name}: {row.what.strip()}" for name, row, _ in values], fontsize=7)
    axes.invert_yaxis()
    axes.set_ylim(len(values) - 0.4, -0.6)
    axes.set_xlabel(label)
    axes.margins(x=0.12)
    grid(axes, "x")
    return figure, axes


def growth(rows: Named) -> Any:
    """Seconds against size, a panel for each row, beside the counted exponent through the largest size."""
    grown = [(name, row) for name, row in rows if row.points]
    columns = min(4, max(1, len(grown)))
    lines = -(-max(1, len(grown)) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(2.4 * columns, 2.4 * lines), layout="constrained", squeeze=False
    )
    for ax in axes.flat[len(grown) :]:
        ax.set_axis_off()
    for ax, (name, row) in zip(axes.flat, grown, strict=False):
        sizes, seconds = np.array(row.points).T
        ax.loglog(sizes, seconds, "o-", color="tab:blue", ms=4, lw=1.2)
        if row.other is not None:
            ax.loglog(sizes, seconds[-1] * (sizes / sizes[-1]) ** row.other, "--", color="grey", lw=0.9)
        ax.set_title(textwrap.fill(f"{name}: {row.what}", 36), fontsize=7)
        ax.set_xticks(sizes, [f"{size:g}" for size in sizes], fontsize=7)
        ax.minorticks_off()
        ax.tick_params(labelsize=7)
        told = (
            f"exponent {row.ours:.2f}, counted {row.other:g}" if row.other is not None else f"exponent {row.ours:.2f}"
        )
        ax.annotate(told, (0.96, 0.05), xycoords="axes fraction", fontsize=7, ha="right")
        ax.set_ylabel("seconds", fontsize=7)
        grid(ax)
    return figure
