"""How do ranks of attention and spectra of kernels at the start look? Lines: infinite width. Marks: finite networks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ntkseq._plots import COLOURS, NEUTRAL, axes, finish
from ntkseq.spectra import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKS = "osD^vP"


def by_layer(
    limit: Mapping[float, Any],
    finite: Mapping[int, Mapping[float, Any]],
    *,
    ylabel: str,
    uniform: float | None = None,
    floor: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A quantity of the attention matrices against the layer, one colour per temperature.

    Args:
        limit: sigma -> (depth,), at infinite width.
        finite: width -> sigma -> (depth,).
        ylabel: what it is.
        uniform: its value for attention that looks everywhere alike, dotted.
        floor: makes the axis logarithmic; what is below stands there.
        ax: where to draw.
    """
    ax = axes(ax)
    if floor is not None:
        ax.set_yscale("log")
    raised = (lambda values: values) if floor is None else partial(np.maximum, floor)
    for i, (sigma, values) in enumerate(limit.items()):
        steps = np.arange(1, len(values) + 1)
        ax.plot(steps, raised(values), color=COLOURS[i % 6], lw=1.6, label=f"sigma = {sigma:g}")
        for k, found in enumerate(finite.values()):
            shift = 0.06 * (k - (len(finite) - 1) / 2)
            ax.plot(steps + shift, raised(found[sigma]), MARKS[k % 6], ms=4.5, mfc="none", color=COLOURS[i % 6])
    for k, width in enumerate(finite):
        ax.plot([], [], MARKS[k % 6], ms=4.5, mfc="none", color=NEUTRAL, label=f"width {width}")
    if uniform is not None:
        ax.axhline(uniform, color="black", lw=1, ls=":", label="uniform attention")
    most = max(len(values) for values in limit.values())
    ax.set_xticks(range(1, most + 1))
    ax.set_xlim(0.8, most + 0.2)
    ax.set_xlabel("layer")
    ax.set_ylabel(ylabel)
    return finish(ax)


def spectra(
    depths: Sequence[int],
    limit: Mapping[float, Sequence[Interval]],
    finite: Mapping[int, Mapping[float, Sequence[Sequence[float]]]],
    *,
    ylabel: str,
    most: float,
    log: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """A quantity of the tangent kernel against the depth, one colour per temperature.

    Args:
        depths: ascending.
        limit: sigma -> an interval per depth, at infinite width.
        finite: width -> sigma -> per depth the values of the seeds; nan where a value is not resolved.
        ylabel: what it is.
        most: what it cannot exceed, so that an interval that knows nothing does not stretch the picture.
        log: logarithmic in height: an unresolved value is a triangle at the upper end of its interval.
        ax: where to draw.
    """
    ax = axes(ax)
    x = np.asarray(depths, float)
    if len(x) > 1:
        ax.set_xscale("log", base=2)
    if log:
        ax.set_yscale("log")
    open_ = False
    for i, (sigma, found) in enumerate(limit.items()):
        colour, place = COLOURS[i % 6], x * 1.02 ** (i - (len(limit) - 1) / 2)
        known = np.array([told(one, log) and math.isfinite(one.estimate) for one in found])
        mid = np.array([one.estimate for one in found])
        low = np.array([max(one.lower, 0.0) for one in found])
        high = np.array([min(one.upper, most) for one in found])
        shown = np.where(known, mid, np.nan)
        ax.plot(place, shown, color=colour, lw=1.6, label=f"sigma = {sigma:g}")
        reach = np.stack([mid - low, high - mid])[:, known]
        ax.errorbar(place[known], mid[known], yerr=np.maximum(reach, 0), fmt="_", color=colour, lw=1.0, ms=6)
        if log and (~known).any():
            open_ = True
            ax.plot(place[~known], high[~known], "v", ms=6, color=colour, mfc="white")
        for k, seeds in enumerate(finite.values()):
            for depth, values in zip(place * 1.05 ** (k + 1), seeds[sigma], strict=True):
                ax.plot([depth] * len(values), values, MARKS[k % 6], ms=4, mfc="none", mew=0.9, color=colour)
    for k, width in enumerate(finite):
        ax.plot([], [], MARKS[k % 6], ms=4, mfc="none", color=NEUTRAL, label=f"width {width}")
    if open_:
        ax.plot([], [], "v", ms=6, color=NEUTRAL, mfc="white", label="infinite width, not told from zero: upper end")
    ax.set_xticks(x, [f"{depth:g}" for depth in x])
    ax.set_xticks([], minor=True)
    ax.set_xlim(x[0] / 1.2, x[-1] * 1.35)
    ax.set_xlabel("attention blocks")
    ax.set_ylabel(ylabel)
    return finish(ax)


def together(
    rows: Mapping[str, tuple[Sequence[float], Sequence[Interval]]], *, ylabel: str, ax: Axes | None = None
) -> Axes:
    """Kernel against attention: label -> (effective ranks of attention, least eigenvalues over the mean one)."""
    ax = axes(ax, width=9.0, height=4.2)
    ax.set_yscale("log")
    for i, (label, (ranks, found)) in enumerate(rows.items()):
        known = np.array([one.positive for one in found])
        ranks, mid = np.asarray(ranks, float), np.array([one.estimate for one in found])
        low = np.array([one.lower for one in found])
        high = np.array([min(one.upper, 1.0) for one in found])
        reach = np.stack([mid - low, high - mid])[:, known]
        ax.errorbar(ranks[known], mid[known], yerr=np.maximum(reach, 0), fmt=MARKS[i % 6], ms=5, mfc="none",
                    color=COLOURS[i % 6], lw=0.8, label=label)  # fmt: skip
        if (~known).any():
            ax.plot(ranks[~known], high[~known], "v", ms=6, color=COLOURS[i % 6], mfc="white")
    if not all(one.positive for _, found in rows.values() for one in found):
        ax.plot([], [], "v", ms=6, color=NEUTRAL, mfc="white", label="not told from zero: upper end")
    ax.set_xlabel("entropy rank of attention in the last layer")
    ax.set_ylabel(ylabel)
    return finish(ax)


def told(interval: Interval, log: bool) -> bool:
    """Whether an interval tells its number: its sign where the scale is logarithmic, else within a factor of two."""
    return interval.positive if log else interval.within(2.0)
