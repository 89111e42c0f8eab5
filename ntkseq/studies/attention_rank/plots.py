"""How do gaps, bounds and rank correlations of the study of attention ranks look? Each draws into a matplotlib Axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ntkseq._plots import COLOURS, FAINT, INK, NEUTRAL, WARM, axes, finish
from ntkseq._types import AnyArray
from ntkseq.spectra import Interval
from ntkseq.studies.attention_rank.correlations import Exponent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKS = "osD^vP"


def gaps(n: Any, values: AnyArray, groups: Any, fit: Exponent, *, ylabel: str, ax: Axes | None = None) -> Axes:
    """Gaps of single runs against n, both axes logarithmic, with the fitted power law and one of slope -1/2.

    groups: sigma of each run. A gap at or below 0 is a triangle at the foot.
    """
    n, values, groups = np.asarray(n, float), np.asarray(values, float), np.asarray(groups, float)
    ax = axes(ax)
    ax.set_xscale("log")
    ax.set_yscale("log")
    good = values > 0
    foot = 0.6 * float(values[good].min(initial=1.0, where=values[good] > 0)) if good.any() else 0.1
    for i, sigma in enumerate(np.unique(groups)):
        chosen = (groups == sigma) & good
        shift = 1.04 ** (i - (len(np.unique(groups)) - 1) / 2)  # side by side
        ax.plot(n[chosen] * shift, values[chosen], MARKS[i % 6], ms=4.5, mfc="none", color=COLOURS[i % 6],
                label=f"sigma = {sigma:g}")  # fmt: skip
    if (~good).any():
        ax.plot(n[~good], np.full((~good).sum(), foot), "v", ms=5, color=WARM, label="gap not above 0")
    sizes = np.unique(n)
    if good.any() and np.isfinite(fit.exponent):
        middle, height = np.exp(np.log(n[good]).mean()), np.exp(np.log(values[good]).mean())
        x = np.geomspace(sizes[0], sizes[-1], 65)
        if np.isfinite(fit.lower):
            low, high = (height * (x / middle) ** end for end in (fit.lower, fit.upper))
            ax.fill_between(x, np.minimum(low, high), np.maximum(low, high), color=INK, alpha=0.15, lw=0)
        ax.plot(x, height * (x / middle) ** fit.exponent, color=INK, lw=1.4, label=f"n^{fit}")
        ax.plot(x, height * (x / middle) ** -0.5, color="black", lw=1.0, ls=":", label="n^-1/2")
    _sizes(ax, sizes)
    ax.set_ylabel(ylabel)
    return finish(ax)


def lines(curves: Mapping[str, tuple[Any, Any]], *, ylabel: str, log: bool = False, ax: Axes | None = None) -> Axes:
    """Means over runs against n: label -> (n, values of single runs); dots are runs."""
    ax = axes(ax)
    ax.set_xscale("log")
    if log:
        ax.set_yscale("log")
    everything = np.unique(np.concatenate([np.asarray(n, float) for n, _ in curves.values()]))
    for i, (label, (n, values)) in enumerate(curves.items()):
        n, values = np.asarray(n, float), np.asarray(values, float)
        sizes = np.unique(n)
        means = [values[n == size].mean() for size in sizes]
        ax.plot(n, values, ".", ms=3.5, color=COLOURS[i % 6], alpha=0.45)
        ax.plot(sizes, means, marker=MARKS[i % 6], ms=4.5, lw=1.5, color=COLOURS[i % 6], label=label)
    _sizes(ax, everything)
    ax.set_ylabel(ylabel)
    return finish(ax)


def bounds(
    curves: Mapping[str, tuple[Any, Any]],
    measured: Mapping[str, tuple[Sequence[Interval], Any]],
    *,
    ax: Axes | None = None,
) -> Axes:
    """Certified bounds on a loss in [0, 1] against n, above the losses that were measured.

    Args:
        curves: bound -> (n, values of single runs).
        measured: predictor -> (test losses with intervals, their n).
        ax: where to draw.
    """
    ax = lines(curves, ylabel="", log=True, ax=ax if ax is not None else axes(width=9.0, height=4.4))
    for i, (name, (found, sizes)) in enumerate(measured.items()):
        sizes = np.asarray(sizes, float) * 1.03 ** (2 * i - 1)
        low, mid, high = (np.array([getattr(one, end) for one in found]) for end in ("lower", "estimate", "upper"))
        ax.errorbar(sizes, mid, yerr=np.stack([mid - low, high - mid]), fmt="x+"[i % 2], ms=5, lw=0.8,
                    color=(WARM, NEUTRAL)[i % 2], label=f"test loss, {name}")  # fmt: skip
    ax.axhline(1.0, color="black", lw=1, ls="--")
    ax.annotate("says nothing above", (1.0, 1.0), (-2, 3), xycoords=("axes fraction", "data"),
                textcoords="offset points", ha="right", fontsize="small")  # fmt: skip
    ax.set_ylabel("ramp loss: bound, and measured")
    return finish(ax)


def correlations(
    everywhere: Mapping[str, Interval], within: Mapping[str, Interval], *, first: str = "n", ax: Axes | None = None
) -> Axes:
    """Spearman correlations with the gap, with their intervals: over all runs, and among runs of the same n."""
    names = list(everywhere)
    ax = axes(ax, width=8.6, height=1.2 + 0.25 * len(names))
    for found, shift, colour, mark, label in (
        (everywhere, -0.16, INK, "o", "all runs"),
        (within, 0.16, WARM, "s", "within the same n"),
    ):
        known = [(row + shift, found[name]) for row, name in enumerate(names) if name in found]
        known = [(row, one) for row, one in known if np.isfinite(one.estimate)]
        for row, one in known:
            ax.plot([one.lower, one.upper], [row, row], color=colour, lw=2.2, alpha=0.35, solid_capstyle="butt")
        ax.plot([one.estimate for _, one in known], [row for row, _ in known], mark, ms=4.5, color=colour, label=label)
    ax.axvline(0.0, color="black", lw=0.8)
    ax.set_yticks(range(len(names)), names, fontsize="small")
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlim(-1.05, 1.05)
    ax.set_xlabel("Spearman correlation with the gap")
    if first in names:
        ax.axhspan(names.index(first) - 0.5, names.index(first) + 0.5, color=FAINT, alpha=0.15, lw=0)
    return finish(ax)


def _sizes(ax: Axes, sizes: np.ndarray) -> None:
    ax.set_xticks(sizes, [f"{size:g}" for size in sizes])
    ax.set_xticks([], minor=True)
    if len(sizes):
        ax.set_xlim(sizes[0] / 1.25, sizes[-1] * 1.25)
    ax.set_xlabel("training examples n")
