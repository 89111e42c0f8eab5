"""How does a predicted risk look beside the measured one? Points with bars, and a dashed line in a band."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntkseq import _checks
from ntkseq._curves import LearningCurve, learning
from ntkseq._plots import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def risk_curve(curve: Any, ax: Axes, *, loss: str, title: str = "", legend: bool = True) -> Axes:
    """See `reports.learning.predicted`; `curve` is a `RiskCurve`."""
    _checks.choice("loss", loss, ("squared error", "zero-one error"))
    squared = loss == "squared error"
    shown, whole = (curve.squared, curve.whole.leave_one_out) if squared else (curve.zero_one, curve.whole.zero_one)
    if shown is None or whole is None:
        raise ValueError("loss must be 'squared error' for this curve: its targets do not encode classes.")
    x, ends = curve.sizes, (shown.predicted_lower, shown.predicted_upper)
    one, end = np.array([curve.n]), (np.array([whole.lower]), np.array([whole.upper]))
    made = [
        LearningCurve("measured on the rest, over draws", x, shown.measured, shown.lower, shown.upper),
        LearningCurve(
            "predicted from one spectrum (not certified)", x, shown.predicted, style="line", certified=False, colour=1
        ),
    ]
    if whole.value > 0:
        label = "leave-one-out, all examples"
        made.append(LearningCurve(label, one, np.array([whole.value]), *end, style="hollow", marker=1))
    if squared:
        made.append(
            LearningCurve("eigenvalues alone", x, curve.omniscient, style="line", certified=False, colour=2, thin=True)
        )
    ax = learning(made, ax, xlabel="number of training examples m", ylabel=loss, title=title, legend=legend)
    low, high = (
        np.where(np.isfinite(one) & (one > 0), one, limit) for one, limit in zip(ends, (1e-9, 1e9), strict=True)
    )
    limits = ax.get_ylim()
    ax.fill_between(x, low, high, color=COLOURS[1], alpha=0.15, lw=0, zorder=1)
    ax.set_ylim(*limits)
    return ax
