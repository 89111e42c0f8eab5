"""How do ranks of attention and spectra of tangent kernels at the start come onto one sheet?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ntkseq.reports import Figure, Section, Sheet, Table
from ntkseq.spectra import Interval
from ntkseq.studies.attention_collapse import plots
from ntkseq.studies.attention_collapse.initial import KINDS, Cell, Kernel, Layers, Shape

LEAST = "least eigenvalue / mean eigenvalue"
FLOOR = 1e-8  # of a residual that is shown; the rounding of float32 is above


def sheet(found: Sequence[Cell]) -> Sheet:
    """What came of all shapes and temperatures."""
    shapes = list(dict.fromkeys(cell.shape for cell in found))
    by_shape = {shape: [cell for cell in found if cell.shape == shape] for shape in shapes}
    kernels = [kernel for cell in found for kernel in cell.kernels]
    open_ = sum(not k.least.positive for k in kernels if k.width is None)
    boxes = []
    for shape, cells in by_shape.items():
        flat, last = cells[0], cells[0].attention(None)
        boxes.append((
            f"{last.ranks['entropy'][0]:.3g} → {last.ranks['entropy'][-1]:.3g}",
            f"{shape}: entropy rank of attention, layer 1 → {len(last.residual)}, sigma = {flat.sigma:g}, infinite "
            "width; 1: all tokens look at the same",
        ))  # fmt: skip
    notes = []
    if open_:
        notes.append(
            f"{open_} of {sum(k.width is None for k in kernels)} least eigenvalues at infinite width are not told from "
            "zero: the kernel's rounding grows with depth and sigma. float64 tells more: JAX_ENABLE_X64=1 with "
            "--dtype float64."
        )
    notes.append(
        "Intervals hold the rounding of the kernel. At infinite width and float32 that is an audit of random pairs, "
        "which fails with probability 1e-6. Finite networks scatter over seeds, which no interval holds."
    )
    return Sheet(
        title="collapse of attention and the tangent kernel at the start",
        question="",
        facts=tuple(boxes),
        notes=tuple(notes),
        sections=(_overview(by_shape), *(_section(shape, cells) for shape, cells in by_shape.items())),
        numbers={"cells": [_numbers(cell) for cell in found], "unresolved_at_infinite_width": open_},
        arrays=_arrays(found),
    )


def _overview(by_shape: dict[Shape, list[Cell]]) -> Section:
    rows, points = [], {}
    for shape, cells in by_shape.items():
        ranks, least = [], []
        for cell in cells:
            attention = cell.attention(None)
            for depth in _depths(cell):
                kernel = cell.limit(depth)
                ranks.append(float(attention.ranks["entropy"][depth - 1]))
                least.append(kernel.least)
                row = (shape.mask, shape.skip, cell.sigma, depth, ranks[-1],
                       float(attention.ranks["stable"][depth - 1]), float(attention.residual[depth - 1]),
                       kernel.least)  # fmt: skip
                far = [_mean([k.distance for k in cell.finite(depth, width)]) for width in _widths(cell)]
                rows.append((*row, *far))
        points[str(shape)] = (ranks, least)
    widths = _widths(next(iter(by_shape.values()))[0])
    header = ("mask", "skip", "sigma", "depth", "entropy rank", "stable rank", "|A - 1a'|/|A|", LEAST,
              *(f"distance at width {w}" for w in widths))  # fmt: skip
    figure = Figure(
        "together", partial(plots.together, points, ylabel=LEAST),
        "Infinite width: the least eigenvalue of the tangent kernel against the effective rank of the last layer's "
        "attention, over all depths and temperatures.", wide=True,
    )  # fmt: skip
    text = (
        "Tokens are mapped to the width, get random positions (half of their variance) and are normalised; then each "
        "block is softmax attention with scores sigma kap, kap the tokens' covariance, and LayerNorm; last, a layer of "
        "relu and the mean over tokens. Attention of rank 1, |A - 1a'| = 0, gives all tokens the same.",
    )
    table = Table(header, tuple(rows), "Attention of the last layer, and the kernel, at infinite width. "
                  "Distance: |K - K_infinite| / |K_infinite|, mean over seeds.")  # fmt: skip
    return Section("Attention and kernel together", text, (figure,), (table,))


def _section(shape: Shape, cells: list[Cell]) -> Section:
    depths, widths = _depths(cells[0]), _widths(cells[0])
    limit = {kind: {cell.sigma: cell.attention(None).ranks[kind] for cell in cells} for kind in KINDS}
    residual = {cell.sigma: cell.attention(None).residual for cell in cells}
    figures = []
    for kind in ("entropy", "stable"):
        finite = {w: {cell.sigma: cell.attention(w).ranks[kind] for cell in cells} for w in widths}
        label = f"{kind} rank of attention"
        draw = partial(plots.by_layer, limit[kind], finite, ylabel=label, uniform=_uniform(shape))
        caption = f"{shape}: {kind} rank of attention by layer. Lines: infinite width; marks: finite."
        figures.append(Figure(f"{kind}-{shape.name}", draw, caption))
    finite = {w: {cell.sigma: cell.attention(w).residual for cell in cells} for w in widths}
    figures.append(Figure(
        f"residual-{shape.name}", partial(plots.by_layer, residual, finite, ylabel="|A - 1a'| / |A|", floor=FLOOR),
        f"{shape}: distance of attention from rows that are all the same; what is below {FLOOR:g} stands there.",
    ))  # fmt: skip
    n = len(cells[0].kernels[0].eigenvalues)
    for name, value, label, most, log in (
        ("least", lambda k: k.least, LEAST, 1.0, True),
        ("rest", lambda k: k.rest, "R_1 of the tangent kernel", float(n), False),
        ("rank", lambda k: k.entropy, "entropy rank of the tangent kernel", float(n), False),
    ):
        exact = {cell.sigma: [value(cell.limit(depth)) for depth in depths] for cell in cells}
        seeds = {
            w: {
                cell.sigma: [[_known(value(k), log) for k in cell.finite(depth, w)] for depth in depths]
                for cell in cells
            }
            for w in widths
        }
        draw = partial(plots.spectra, depths, exact, seeds, ylabel=label, most=most, log=log)
        end = " Finite networks whose value is not told from zero are left out." if log else ""
        caption = f"{shape}: {label}, with the interval of its rounding.{end}"
        figures.append(Figure(f"{name}-{shape.name}", draw, caption))
    return Section(str(shape), (), tuple(figures), (_layer_table(cells), _kernel_table(cells)))


def _layer_table(cells: list[Cell]) -> Table:
    rows = []
    for cell in cells:
        for one in cell.layers:
            for layer in range(len(one.residual)):
                rows.append((
                    cell.sigma, "infinite" if one.width is None else one.width, layer + 1,
                    *(float(one.ranks[kind][layer]) for kind in KINDS), float(one.residual[layer]),
                    None if math.isnan(one.spread[layer]) or one.width is None else float(one.spread[layer]),
                ))  # fmt: skip
    header = ("sigma", "width", "layer", *(f"{kind} rank" for kind in KINDS), "|A - 1a'|/|A|",
              "entropy: spread over seeds")  # fmt: skip
    return Table(header, tuple(rows), "Attention by layer, means over examples, heads and seeds.")


def _kernel_table(cells: list[Cell]) -> Table:
    rows = [
        (cell.sigma, one.depth, "infinite" if one.width is None else f"{one.width}, seed {one.seed}", one.least,
         one.entropy, one.rest, one.distance)
        for cell in cells for one in cell.kernels
    ]  # fmt: skip
    header = ("sigma", "depth", "width", LEAST, "entropy rank", "R_1", "distance")
    return Table(header, tuple(rows), "The tangent kernel, with the intervals of its rounding.")


def _uniform(shape: Shape) -> float | None:
    """Rank of attention that looks alike at everything seen: 1 without a mask; with one it depends on the length."""
    return 1.0 if shape.mask == "none" else None


def _known(interval: Interval, log: bool) -> float:
    return interval.estimate if plots.told(interval, log) else math.nan


def _depths(cell: Cell) -> list[int]:
    return sorted({kernel.depth for kernel in cell.kernels})


def _widths(cell: Cell) -> list[int]:
    return sorted({one.width for one in cell.layers if one.width is not None})


def _mean(values: list[float]) -> float:
    return float(np.mean(values))


def _numbers(cell: Cell) -> dict[str, Any]:
    return {
        "mask": cell.shape.mask,
        "skip": cell.shape.skip,
        "sigma": cell.sigma,
        "layers": [_layer_numbers(one) for one in cell.layers],
        "kernels": [_kernel_numbers(one) for one in cell.kernels],
    }


def _layer_numbers(one: Layers) -> dict[str, Any]:
    return {"width": one.width, **{kind: one.ranks[kind].tolist() for kind in KINDS}, "residual": one.residual.tolist()}


def _kernel_numbers(one: Kernel) -> dict[str, Any]:
    return {
        "width": one.width, "seed": one.seed, "depth": one.depth, "least_over_mean": one.least, "entropy": one.entropy,
        "R_1": one.rest, "distance": one.distance,
    }  # fmt: skip


def _arrays(found: Sequence[Cell]) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for cell in found:
        head = f"{cell.shape.name}.sigma-{cell.sigma:g}"
        for one in cell.layers:
            width = "infinite" if one.width is None else one.width
            arrays |= {f"{head}.{width}.rank_{kind}": one.ranks[kind] for kind in KINDS}
            arrays[f"{head}.{width}.residual"] = one.residual
        for one in cell.kernels:
            which = "infinite" if one.width is None else f"{one.width}.seed-{one.seed}"
            arrays[f"{head}.{which}.depth-{one.depth}.eigenvalues"] = one.eigenvalues
    return arrays
