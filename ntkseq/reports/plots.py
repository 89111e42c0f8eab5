"""How do a kernel, its spectrum, its bounds and its predictions look? Each function draws into a matplotlib Axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ntkseq._bound_plots import bound_bars as bound_bars
from ntkseq._plots import FAINT, INK, NARROW, WARM, axes, grid, plain
from ntkseq._types import ArrayLike
from ntkseq.grams.plots import correlations as correlations
from ntkseq.grams.plots import kernel_map as kernel_map
from ntkseq.reports.record import Prediction, Rank
from ntkseq.spectra.plots import eigenvalues as eigenvalues

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def ranks(found: Sequence[Rank], n: int, ax: Axes | None = None) -> Axes:
    """Effective ranks with their intervals on a logarithmic axis up to n.

    Args:
        found: the ranks; those without a value are left out.
        n: the number of examples.
        ax: where to draw.
    """
    ax = axes(ax, width=NARROW, height=0.6 + 0.28 * max(len(found), 3))
    shown = [(rank.kind, rank.value) for rank in found if rank.value is not None and rank.value.estimate > 0]
    top = 1.3 * n
    for row, (_, value) in enumerate(shown):
        low, high = max(value.lower, 1e-3), min(value.upper, top)
        ax.plot([low, high], [row, row], color=FAINT, lw=4, solid_capstyle="butt")
        ax.plot([value.estimate], [row], "o", ms=5, color=INK)
        ax.annotate(
            f"{value.estimate:.4g}",
            (max(value.estimate, high), row),
            (6, 0),
            textcoords="offset points",
            va="center",
        )
    ax.axvline(n, color=WARM, lw=1, ls=":")
    ax.annotate("n", (n, 1.0), (3, 2), xycoords=("data", "axes fraction"), textcoords="offset points", color=WARM)
    ax.set_xscale("log")
    least = min([value.estimate for _, value in shown], default=1.0)
    ax.set_xlim(0.8 * min(least, 1.0), 4.0 * n)
    ax.set_yticks(range(len(shown)), [kind for kind, _ in shown])
    ax.set_ylim(len(shown) - 0.5, -0.5)
    ax.set_xlabel("effective rank")
    return grid(ax, "x")


def predictions(
    found: Prediction, y_test: ArrayLike, classes: Sequence[str], positive: int = 1, ax: Axes | None = None
) -> Axes:
    """Prediction against truth on the test examples: values by class for two classes, a confusion matrix for more.

    Args:
        found: the prediction.
        y_test: true class codes, (m,).
        classes: their names.
        positive: the code that is predicted as +1, for two classes.
        ax: where to draw.
    """
    y_test = np.asarray(y_test)
    if found.scores.ndim == 1:
        return _values_by_class(found.scores, y_test, classes, positive, axes(ax, width=NARROW, height=3.0))
    return _confusion(found.codes, y_test, classes, axes(ax, width=NARROW, height=3.9, square=True))


def _values_by_class(scores: np.ndarray, y: np.ndarray, classes: Sequence[str], positive: int, ax: Axes) -> Axes:
    rows = (1 - positive, positive)
    for row, code in enumerate(rows):
        f = scores[y == code]
        spread = 0.28 * np.sin(2.399963 * np.arange(len(f)))  # golden angle: an even scatter without a seed
        right = (f > 0) == (code == positive)
        ax.plot(f[right], row + spread[right], "o", ms=4, alpha=0.65, color=INK, mew=0)
        ax.plot(f[~right], row + spread[~right], "X", ms=7, color=WARM, mew=0)
    ax.axvline(0, color="black", lw=1, ls="--")
    ax.plot([], [], "o", ms=4, color=INK, label="right", ls="none")
    ax.plot([], [], "X", ms=7, color=WARM, label="wrong", ls="none")
    ax.set_yticks((0, 1), [f"{plain(classes[c])}\n({'+1' if c == positive else '-1'})" for c in rows])
    ax.set_ylim(-0.5, 1.5)
    ax.set_xlabel("predicted f(x); the sign decides")
    ax.set_ylabel("true class")
    ax.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return grid(ax, "x")


def _confusion(codes: np.ndarray, y: np.ndarray, classes: Sequence[str], ax: Axes) -> Axes:
    k = len(classes)
    counts = np.zeros((k, k), int)
    np.add.at(counts, (y, codes), 1)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    if k <= 12:
        for i, j in np.argwhere(counts > 0):
            ax.text(
                j,
                i,
                str(counts[i, j]),
                ha="center",
                va="center",
                color="white" if share[i, j] > 0.5 else "black",
            )
    some = range(0, k, -(-k // 20))
    names = [plain(classes[i], 12) for i in some]
    ax.set_xticks(list(some), names, rotation=90 if max(map(len, names)) > 3 and k > 4 else 0)
    ax.set_yticks(list(some), names)
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class")
    figure: Any = ax.figure
    figure.colorbar(image, ax=ax, label="share of the true class", shrink=0.85)
    return ax
