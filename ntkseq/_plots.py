"""The one style of all pictures: colours, sizes, labels, and axes to draw into."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ntkseq import _checks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, PALE, FAINT, NEUTRAL, WARM = "#1f4e79", "#a9cce3", "#9aa5b1", "#5b6b7b", "#c2571a"
COLOURS = (INK, "#d55e00", "#2a9d78", "#b25d9c", "#56a5dc", "#8a6d00")  # told apart with any colour vision
TERM_COLOURS = {"training loss": INK, "capacity": "#4a90c2", "margin": "#4a90c2", "confidence": PALE}
OTHER_COLOURS = ("#2e7d6b", "#7fb8a4", "#c9b458", "#8c6bb1")
DASHES = ("-", "--", ":", "-.")
NARROW = 4.6  # inches across of a picture that fits a phone with letters of 11 pixels
ACROSS = 80  # letters of a small legend that stand beside each other
_NEEDED = 'a picture needs matplotlib, which is not installed. Run: pip install "ntkseq[study]"'


def axes(ax: Axes | None = None, *, width: float = 6.4, height: float = 4.0, square: bool = False) -> Axes:
    """`ax`, or new axes on a figure of their own that needs no display; `square` for cells of equal sides.

    Raises:
        ImportError: matplotlib is not installed.
    """
    if ax is not None:
        return ax
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(_NEEDED) from None
    return Figure(figsize=(width, height), layout="compressed" if square else "constrained").subplots()


def shown(ax: Axes | None = None, *, width: float = 6.0, height: float = 4.0) -> Axes:
    """`ax`, or new axes of pyplot: a notebook shows them by itself, a script with `pyplot.show()`.

    Raises:
        ValueError: something else than Axes.
        ImportError: matplotlib is not installed.
    """
    if ax is not None:
        if not hasattr(ax, "errorbar"):
            raise ValueError(f"ax must be Axes of matplotlib, or None for new ones; got {_checks.shown(ax)}.")
        return ax
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError(_NEEDED) from None
    return pyplot.subplots(figsize=(width, height), layout="constrained")[1]


def plain(text: str, most: int = 24) -> str:
    """Foreign text for a label: cut to a glance, without matplotlib's $math$."""
    text = "".join(c if c.isprintable() else "?" for c in text)
    text = text if len(text) <= most else text[: most - 1] + "…"
    return text.replace("$", r"\$")


def band(ax: Axes, x: np.ndarray, y: np.ndarray, low: np.ndarray, high: np.ndarray, colour: Any, label: str) -> None:
    """A line with its interval where that is known."""
    known, held = np.isfinite(y), np.isfinite(y) & np.isfinite(low) & np.isfinite(high)
    ax.plot(x[known], y[known], color=colour, lw=1.6, marker="." if known.sum() < 60 else "", ms=5, label=label)
    ax.fill_between(x, low, high, where=held.tolist(), color=colour, alpha=0.2, lw=0)


def grid(ax: Axes, axis: Literal["both", "x", "y"] = "both") -> Axes:
    """Faint lines behind what is drawn."""
    ax.grid(axis=axis, alpha=0.25, lw=0.5)
    return ax


def finish(ax: Axes) -> Axes:
    """Grid, open frame, and the legend above the picture, where it covers nothing."""
    grid(ax)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    handles, labels = ax.get_legend_handles_labels()
    if handles:
        ax.legend(
            handles, labels, frameon=False, fontsize="small", ncols=_columns(labels), loc="lower left",
            bbox_to_anchor=(0.0, 1.0), borderaxespad=0.2, columnspacing=1.4, handlelength=1.8,
        )  # fmt: skip
    return ax


def _columns(labels: list[str]) -> int:
    """As many columns of a legend as fit above the picture, four at most."""
    for count in range(min(len(labels), 4), 1, -1):
        columns = np.array_split(np.array([len(label) for label in labels]), count)
        if sum(int(column.max()) + 7 for column in columns) <= ACROSS:  # 7: the line and the space beside it
            return count
    return 1
