"""How does a spectrum look? Its eigenvalues with their errors, both axes logarithmic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntkseq._plots import FAINT, INK, NARROW, WARM, axes, grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_MARKS = 160  # error bars along one curve


def eigenvalues(spectrum: Any, ax: Axes | None = None, *, reg: float | None = None) -> Axes:
    """The eigenvalues with their errors, both axes logarithmic; what is not told from zero is marked.

    Args:
        spectrum: of the Gram matrix.
        ax: where to draw.
        reg: a ridge to be shown as a line.
    """
    ax = axes(ax, width=NARROW, height=3.4)
    values, errors = np.asarray(spectrum.values), np.asarray(spectrum.errors)
    index = np.arange(1, len(values) + 1)
    clear = values > errors
    some = np.arange(len(values))
    if len(values) > MOST_MARKS:
        some = np.unique(np.geomspace(1, len(values), MOST_MARKS).round().astype(int)) - 1
    marks = some[clear[some]]
    ax.set_xscale("log")
    ax.set_yscale("log")
    if clear.any():
        ax.errorbar(
            index[marks], values[marks], yerr=np.minimum(errors[marks], values[marks] * (1 - 1e-6)),
            fmt="o", ms=2.8, lw=0.9, color=INK, ecolor=FAINT, label="eigenvalue and its error",
        )  # fmt: skip
        ax.plot(index[clear], values[clear], color=INK, lw=0.6)
    open_ = some[~clear[some]]
    ceiling = (values + errors)[open_]
    if (ceiling > 0).any():
        ax.plot(
            index[open_][ceiling > 0],
            ceiling[ceiling > 0],
            "v",
            ms=3.2,
            color=WARM,
            label="not told from zero: upper end",
        )
    if len(values) < spectrum.n:
        _least(ax, spectrum.n, spectrum.min_eigenvalue)
    if errors.max() > 0:
        ax.axhline(float(errors.max()), color=FAINT, lw=1, ls="--", label="error of every eigenvalue")
    if reg is not None and reg > 0:
        ax.axhline(reg, color=WARM, lw=1, ls=":", label="ridge")
    ax.set_xlabel("index of the eigenvalue, largest first")
    ax.set_ylabel("eigenvalue of K")
    ax.legend(frameon=False)
    return grid(ax)


def _least(ax: Axes, n: int, least: Any) -> None:
    """The last of the eigenvalues where those before it are not known."""
    if least.positive:
        middle = max(least.estimate, least.lower)
        ends = [[middle - least.lower], [least.upper - middle]]
        ax.errorbar(
            [n], [middle], yerr=ends, fmt="s", ms=4, lw=0.9, color=INK, mfc="white", label="least, its interval"
        )
    elif least.upper > 0:
        ax.plot([n], [least.upper], "v", ms=5, color=WARM, mfc="white", label="least, not told from zero: upper end")
