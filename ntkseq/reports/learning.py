"""How do errors fall with the number of examples, and do they stay below what is proved? Curves, points, panels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntkseq import _checks
from ntkseq._curves import LearningCurve as LearningCurve
from ntkseq._curves import below as below
from ntkseq._curves import learning as learning
from ntkseq._curves import panels as panels
from ntkseq._plots import axes
from ntkseq.predictors import RiskCurve, plots

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["LearningCurve", "below", "learning", "panels", "predicted"]


def predicted(
    curve: RiskCurve, ax: Axes | None = None, *, loss: str = "squared error", title: str = "", legend: bool = True
) -> Axes:
    """Measured and predicted risk over numbers of training examples, with the interval of each.

    Points with bars: measured, and Student's interval over draws. Dashed line in a band: predicted from one spectrum,
    never certified. Hollow, at n: leave-one-out of all examples. What is zero or has no end leaves the picture.

    Args:
        curve: of `predictors.learning_curve`.
        ax: where to draw.
        loss: "squared error" or "zero-one error".
        title: of the picture.
        legend: whether to list the labels above the picture.

    Raises:
        ValueError: the zero-one error of targets that do not encode classes.
    """
    _checks.kind("curve", curve, RiskCurve, "Call predictors.learning_curve(K, y, ...).")
    return plots.risk_curve(curve, axes(ax), loss=loss, title=title, legend=legend)
