"""How do shares with their intervals, and outputs beside outputs, look?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ntkseq._plots import COLOURS, NEUTRAL, axes, finish
from ntkseq.spectra.interval import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKS = "osD"


def intervals(rows: Sequence[tuple[str, str, Interval]], threshold: float, label: str, ax: Axes | None = None) -> Axes:
    """A line per run: its interval and estimate, and the threshold between the verdicts.

    Args:
        rows: name, verdict and interval.
        threshold: of the verdict.
        label: of the horizontal axis.
        ax: where to draw.
    """
    ax = axes(ax, height=1.2 + 0.7 * len(rows))
    ends = [end for *_, one in rows for end in (one.lower, one.estimate, one.upper) if np.isfinite(end)]
    reach = max([abs(threshold), *map(abs, ends)])
    left, right = min([0.0, *ends]) - 0.05 * reach, max([threshold, *ends]) + 0.1 * reach
    for i, (name, verdict, one) in enumerate(rows):
        low, high = np.clip([one.lower, one.upper], left, right)
        ax.plot([low, high], [i, i], "-", color=COLOURS[i % 6], lw=2.5)
        ax.plot([one.estimate], [i], MARKS[i % 3], color=COLOURS[i % 6], label=f"{name}: {verdict}")
    ax.axvline(threshold, color=NEUTRAL, ls="--", lw=1)
    ax.set_xlim(left, right)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_yticks(range(len(rows)), [name for name, *_ in rows])
    ax.set_xlabel(label)
    return finish(ax)


def outputs(both: Float[np.ndarray, "2 k"], name: str, ax: Axes | None = None) -> Axes:
    """Outputs of the linearised network against those of the network, one point per test window.

    Args:
        both: (2, k), of the network and of its linearisation.
        name: of the run.
        ax: where to draw.
    """
    ax = axes(ax, square=True)
    ends = [float(np.min(both)), float(np.max(both))]
    ax.plot(ends, ends, "--", color=NEUTRAL, lw=1, label="equal")
    ax.plot(*both, "o", ms=3, alpha=0.5, color=COLOURS[0], label=name)
    ax.set_xlabel("logit of the fine-tuned network")
    ax.set_ylabel("logit of its linearisation")
    return finish(ax)
