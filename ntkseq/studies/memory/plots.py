"""How do curves of forgetting look? Lines: infinite width. Marks: means of finite networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ntkseq._plots import COLOURS, NEUTRAL, axes, finish
from ntkseq.studies.memory.curves import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKS = "osD^vP"


def forgetting(
    limits: Mapping[str, Curve],
    finite: Mapping[int, Mapping[str, np.ndarray]],
    *,
    power: bool,
    ax: Axes | None = None,
) -> Axes:
    """What is left of a token against how long ago it was; values not told from zero are left out.

    Args:
        limits: network -> its curve.
        finite: width -> network -> (t,), mean over the seeds.
        power: both axes logarithmic, where a power of the lag is a line; else only the height, where a geometric law
            is one.
        ax: where to draw.
    """
    ax = axes(ax, width=9.0, height=4.6)
    ax.set_yscale("log")
    if power:
        ax.set_xscale("log", base=2)
    for i, (name, curve) in enumerate(limits.items()):
        colour, style = COLOURS[i % 6], "-" if i < 6 else "--"
        lag = np.arange(len(curve.left)) + (1 if power else 0)
        ax.plot(lag, np.where(curve.told, curve.left, np.nan), style, color=colour, lw=1.6, label=name)
        for k, means in enumerate(finite.values()):
            known = np.where(means[name] > 0, means[name], np.nan)
            ax.plot(lag, known, MARKS[k % 6], ms=3.5, mfc="none" if i < 6 else colour, mew=0.8, color=colour)
    for k, width in enumerate(finite):
        ax.plot([], [], MARKS[k % 6], ms=4, mfc="none", color=NEUTRAL, label=f"width {width}")
    ax.set_xlabel("lag p of the shared token" + (", counted from 1" if power else ""))
    ax.set_ylabel("share of the kernel that is left")
    return finish(ax)
