"""How close does a finite network come to its limit? Drift against width, and network against linearised prediction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ntkseq import _checks
from ntkseq._plots import COLOURS, DASHES, FAINT, INK, WARM, axes, finish, plain
from ntkseq._types import ArrayLike, PyTree
from ntkseq.reports.trajectories import steps_axis
from ntkseq.spectra import Interval
from ntkseq.training.lazy_training import Laziness

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["linearised", "width"]


def width(
    widths: Any,
    drifts: PyTree,
    ax: Axes | None = None,
    *,
    slope: Interval | Laziness | None = None,
    reference: float | None = -0.5,
    ylabel: str = "drift of the kernel, relative",
) -> Axes:
    """A quantity against the width of the network, both axes logarithmic, with the slope that theory predicts.

    Points are single networks, the line joins their geometric means. The dotted line has the slope `reference` and
    goes through the first mean; the wedge holds every line through the centre of the means with a slope in `slope`.

    Args:
        widths: (w,), positive.
        drifts: (w,) or (w, networks), positive; nan for a network that was not run.
        ax: where to draw.
        slope: of log drift over log width, with its interval, as from `training.laziness`.
        reference: slope of the dotted line; None for none.
        ylabel: name of the quantity.

    Raises:
        ValueError: shapes that do not fit, a number that is not positive.
    """
    widths, drifts = _checks.numbers("widths", widths), _checks.numbers("drifts", drifts)
    drifts = drifts[:, None] if drifts.ndim == 1 else drifts
    if widths.ndim != 1 or drifts.ndim != 2 or len(drifts) != len(widths) or not len(widths):
        raise ValueError(
            f"widths must be (w,) and drifts (w,) or (w, networks); got shapes {widths.shape} and {drifts.shape}. "
            "Put the widths on the first axis."
        )
    if not (widths > 0).all() or (drifts <= 0).any() or np.isnan(drifts).all(axis=1).any():
        raise ValueError("widths and drifts must be positive, for a logarithmic axis. Leave out those that are zero.")
    reference = None if reference is None else _checks.number("reference", reference)
    _checks.text("ylabel", ylabel)
    order = np.argsort(widths)
    widths, drifts = widths[order], drifts[order]
    ax = axes(ax)
    ax.set_xscale("log")
    ax.set_yscale("log")
    means = np.exp(np.nanmean(np.log(drifts), axis=1))
    if slope is not None:
        middle, height = np.exp(np.log(widths).mean()), np.exp(np.log(means).mean())
        x = np.geomspace(widths[0], widths[-1], 65)
        estimate = slope.slope if isinstance(slope, Laziness) else slope.estimate
        if np.isfinite([slope.lower, slope.upper]).all():
            low, high = (height * (x / middle) ** end for end in (slope.lower, slope.upper))
            ax.fill_between(x, np.minimum(low, high), np.maximum(low, high), color=INK, alpha=0.15, lw=0)
            said = f"slope {estimate:.3f} in [{slope.lower:.3f}, {slope.upper:.3f}]"
        else:
            said = f"slope {estimate:.3f}, no interval"
        ax.plot(x, height * (x / middle) ** estimate, color=INK, lw=1.2, label=said)
    if reference is not None:
        ax.plot(widths, means[0] * (widths / widths[0]) ** reference, color="black", lw=1.2, ls=":",
                label=f"slope {reference:g}")  # fmt: skip
    if drifts.shape[1] > 1:
        ax.plot(np.repeat(widths, drifts.shape[1]), drifts.ravel(), "o", ms=3.5, color=FAINT, mew=0, label="a network")
    ax.plot(
        widths, means, "o", ms=6, color=WARM, mec="white", ls="-" if slope is None else "none", lw=1.2, zorder=5,
        label="geometric mean" if drifts.shape[1] > 1 else "network",
    )  # fmt: skip
    ax.set_xticks(widths, [f"{w:g}" for w in widths])
    ax.set_xticks([], minor=True)
    ax.set_xlim(widths[0] / 1.15, widths[-1] * 1.15)
    ax.set_xlabel("width")
    ax.set_ylabel(ylabel)
    return finish(ax)


def linearised(
    steps: ArrayLike,
    curves: Mapping[str, Any],
    ax: Axes | None = None,
    *,
    errors: Mapping[str, Any] | None = None,
    ylabel: str = "test loss",
    log: bool = True,
) -> Axes:
    """The error of a network over the steps against that of its linearisations: the first curve solid, the rest dashed.

    Args:
        steps: (r,), ascending.
        curves: label -> (r,), the network first; nan where there is no value.
        ax: where to draw.
        errors: label -> (r,), half the height of a band around the curve.
        ylabel: name of the quantity.
        log: logarithmic in height.

    Raises:
        ValueError: no curve, or one of another length than the steps.
    """
    steps = _checks.real("steps", steps)
    _checks.mapping("curves", curves, "values over the steps")
    if errors is not None:
        _checks.mapping("errors", errors, "half the height of a band")
    _checks.text("ylabel", ylabel)
    log = _checks.flag("log", log)
    if not curves or steps.ndim != 1 or not len(steps):
        raise ValueError(f"curves must be one or more over some steps; got {len(curves)} over shape {steps.shape}.")
    ax = axes(ax)
    for i, (label, curve) in enumerate(curves.items()):
        values = _checks.numbers("curves", curve)
        error = None if errors is None or label not in errors else _checks.numbers("errors", errors[label])
        if values.shape != steps.shape or (error is not None and np.shape(error) != steps.shape):
            raise ValueError(
                f"curves and errors must have the shape of steps, {steps.shape}; {label!r} has {values.shape}. "
                "Put nan where there is no value."
            )
        colour = COLOURS[i % len(COLOURS)]
        if error is not None:
            low = values - error
            low = np.where(low > 0, low, np.minimum(values, 1e-3 * np.abs(values))) if log else low
            ax.fill_between(steps, low, values + error, color=colour, alpha=0.2, lw=0)
        shown = np.where(values > 0, values, np.nan) if log else values
        ax.plot(steps, shown, color=colour, ls=DASHES[i % 4], lw=2.0 if i == 0 else 1.5, label=plain(label, 40))
    if log:
        ax.set_yscale("log")
        if (shown := _positive_of(curves)).size:
            ax.set_ylim(bottom=0.7 * shown.min())
    return steps_axis(ax, steps, ylabel)


def _positive_of(curves: Mapping[str, Any]) -> np.ndarray:
    values = np.concatenate([np.asarray(curve, np.float64) for curve in curves.values()])
    return values[np.isfinite(values) & (values > 0)]
