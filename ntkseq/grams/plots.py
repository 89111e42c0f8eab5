"""How does a Gram matrix look? As a map of its entries, or of correlations, sorted by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from ntkseq import _checks
from ntkseq._outward import at_most
from ntkseq._plots import NARROW, axes, plain
from ntkseq._types import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CORRELATIONS = "kernel as correlation"
MOST_CELLS = 512  # of a heat map along one side; more than a screen shows


def correlations(matrix: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """K_ij / sqrt(K_ii K_jj), 0 where an example is zero to the kernel."""
    scale = np.sqrt(np.clip(np.diagonal(matrix), 0.0, None))
    product = scale[:, None] * scale[None, :]
    return np.divide(matrix, product, out=np.zeros_like(product), where=product > 0)


def kernel_map(matrix: ArrayLike, y: ArrayLike, classes: Sequence[str], ax: Axes | None = None) -> Axes:
    """The kernel between all examples as correlations K_ij / sqrt(K_ii K_jj), sorted by class.

    Args:
        matrix: Gram matrix, (n, n).
        y: class codes, (n,).
        classes: their names.
        ax: where to draw.
    """
    ax = axes(ax, width=NARROW, height=3.9, square=True)
    matrix, y = np.asarray(matrix, np.float64), np.asarray(y)
    order = np.argsort(y, kind="stable")
    n, step = len(y), -(-len(y) // MOST_CELLS)
    order = order[::step]
    shown = correlations(matrix[np.ix_(order, order)])
    _image(ax, shown, (n, n), CORRELATIONS, apart=True)
    _borders(ax, np.sort(y), classes)
    ax.set_xlabel("training examples, by class")
    return ax


def entries(K: Any, ax: Axes, *, y: ArrayLike | None = None, correlations: bool = False) -> Axes:
    """The entries of a Gram as a map, of a large one every so many rows and columns; its rounding stands above it.

    Args:
        K: a Gram, (n, m).
        ax: where to draw.
        y: labels of the examples (n,), by which a symmetric one is sorted.
        correlations: draw K_ij / sqrt(K_ii K_jj), for a symmetric one.

    Raises:
        ValueError: labels or correlations of a Gram that is not symmetric; labels of another shape.
    """
    (n, m), label = K.shape, CORRELATIONS if correlations else "kernel value"
    if (correlations or y is not None) and not K.symmetric:
        name = "correlations" if correlations else "y"
        raise ValueError(f"{name} belongs to a Gram of one set of examples; got a cross Gram of shape {K.shape}.")
    order, names, codes = np.arange(n), np.empty(0), np.empty(0, int)
    if y is not None:
        labels = np.asarray(y)
        if labels.shape != (n,):
            raise ValueError(f"y must have shape ({n},), a label for each example; got {_checks.shown(y)}.")
        names, codes = np.unique(labels, return_inverse=True)
        order = np.argsort(codes, kind="stable")
    rows = order[:: -(-n // MOST_CELLS)]
    columns = rows if K.symmetric else np.arange(m)[:: -(-m // MOST_CELLS)]
    shown = np.asarray(K.rows(rows), np.float64)[:, columns]
    if correlations:
        own = np.clip(np.asarray(K.diag(), np.float64)[rows], 0.0, None)
        scale = np.sqrt(own[:, None]) * np.sqrt(own[None, :])
        shown = np.divide(shown, scale, out=np.zeros_like(shown), where=scale > 0)
    _image(ax, shown, (n, m), label, apart=K.symmetric and correlations)
    ax.set_xlabel("examples" if K.symmetric else "examples of x2")
    ax.set_ylabel("" if K.symmetric else "examples of x")
    if y is not None:
        _borders(ax, np.sort(codes), [str(name) for name in names])
        ax.set_xlabel("examples, by class")
    word = "rounding" if K.sampling is None else "sampling error"
    known = "about" if K.estimated or K.sampling is not None else "at most"
    ax.set_title(
        f"{n} x {m}, {K.dtype}, {word} {known} {float(at_most(float(K.rounding), 2)):.1e}",
        loc="left",
        fontsize="medium",
    )
    return ax


def _image(ax: Axes, shown: np.ndarray, shape: tuple[int, int], label: str, *, apart: bool) -> None:
    """Cells in colours from the 1 % to the 99 % quantile; `apart`: of what is not on the diagonal."""
    beside = shown[~np.eye(len(shown), dtype=bool)] if apart else shown.ravel()
    low, high = (float(q) for q in np.quantile(beside, (0.01, 0.99))) if len(beside) else (0.0, 1.0)
    top, extent = max(high, low + 1e-3 * max(abs(low), 1.0)), (0, shape[1], shape[0], 0)
    image = ax.imshow(shown, cmap="viridis", vmin=low, vmax=top, extent=extent)
    figure: Any = ax.figure
    figure.colorbar(image, ax=ax, extend="both", label=label, shrink=0.9, pad=0.03)


def _borders(ax: Axes, codes: np.ndarray, classes: Sequence[str]) -> None:
    """Lines between the classes of sorted examples, and their names."""
    edges = np.searchsorted(codes, np.arange(len(classes) + 1))
    for edge in edges[1:-1]:
        ax.axhline(edge, color="white", lw=0.7)
        ax.axvline(edge, color="white", lw=0.7)
    middle = 0.5 * (edges[1:] + edges[:-1])
    shown_classes = [i for i in range(len(classes)) if edges[i + 1] > edges[i]]
    shown_classes = shown_classes[:: -(-len(shown_classes) // 20)]
    names = [plain(classes[i], 12) for i in shown_classes]
    turned = 90 if max(map(len, names), default=0) > 3 and len(names) > 4 else 0
    ax.set_xticks(middle[shown_classes], names, rotation=turned)
    ax.set_yticks(middle[shown_classes], names)
    ax.tick_params(length=0)
