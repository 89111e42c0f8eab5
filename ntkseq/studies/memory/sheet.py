"""What came of a study of memory, as a sheet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from ntkseq.reports import Figure, Section, Sheet, Table
from ntkseq.studies.memory import plots
from ntkseq.studies.memory.curves import Curve
from ntkseq.studies.memory.sentences import LEVEL

KINDS = {"ntk": "tangent kernel", "nngp": "covariance of the outputs"}


def sheet(limits: Mapping[str, Mapping[str, Curve]], finite: Mapping[int, Mapping[str, list[Curve]]]) -> Sheet:
    """The sheet.

    Args:
        limits: kind -> network -> its curve at infinite width.
        finite: width -> network -> the tangent kernels' curves, one per seed.
    """
    means = {w: {name: _mean(curves) for name, curves in by_name.items()} for w, by_name in finite.items()}
    sections = []
    for kind, curves in limits.items():
        marks = means if kind == "ntk" else {}
        figures = [
            Figure(
                f"{kind}-{word}", partial(plots.forgetting, curves, marks, power=power),
                f"{KINDS[kind].capitalize()}: what is left of a token. {text} is a straight line here. Lines: infinite "
                "width; marks: finite networks, means over seeds.", wide=True,
            )
            for power, word, text in ((True, "power", "A power of the lag"), (False, "geometric", "A geometric law"))
        ]  # fmt: skip
        tables = [_laws(curves)] + ([_widths(curves, finite)] if kind == "ntk" else [])
        sections.append(Section(KINDS[kind].capitalize(), _TEXT[kind], tuple(figures), tuple(tables)))
    boxes = tuple(
        (_verdict(curve), f"{name}: what the tangent kernel keeps of a token p steps ago")
        for name, curve in limits["ntk"].items()
    )
    return Sheet(
        title="How kernels forget",
        question="",
        facts=boxes,
        notes=(
            "All tokens are orthogonal, so attention that compares tokens sees none: its weights are equal here.",
            "The laws are least squares over the lags told from zero; neither need hold beyond the lags looked at.",
        ),
        sections=tuple(sections),
        numbers={
            "limits": {kind: {n: _numbers(c) for n, c in curves.items()} for kind, curves in limits.items()},
            "finite": {str(w): {n: [c.left.tolist() for c in cs] for n, cs in f.items()} for w, f in finite.items()},
        },
        arrays={f"{kind}.{_word(n)}": curve.left for kind, curves in limits.items() for n, curve in curves.items()},
    )


_TEXT = {
    "ntk": (
        "Two sequences that share the token p steps ago and no other, against two that share none: by how much is "
        "their kernel larger, as a share of how much larger that of a sequence with itself is? For linear networks "
        "these shares add up to one.",
    ),
    "nngp": ("The same of the covariance of the outputs at the start: what the untrained network lets through.",),
}


def _laws(curves: Mapping[str, Curve]) -> Table:
    rows = []
    for name, curve in curves.items():
        laws, told = curve.laws(), int(np.sum(curve.told))
        fits: tuple[Any, ...] = (None,) * 4
        if laws is not None:
            (rate, first), (exponent, second) = laws
            fits = (rate, first, exponent, second)
        rows.append((name, *(float(curve.left[p]) for p in _some(curve)), told, *fits, _verdict(curve)))
    some = _some(next(iter(curves.values())))
    header = ("network", *(f"left at lag {p}" for p in some), "lags told from zero", "factor per step", "its misfit",
              "exponent", "its misfit", "nearer")  # fmt: skip
    return Table(
        header, tuple(rows), "Both laws, fitted from lag 1 on; misfit: root mean square in the natural logarithm."
    )


def _widths(curves: Mapping[str, Curve], finite: Mapping[int, Mapping[str, list[Curve]]]) -> Table:
    rows = []
    for name, exact in curves.items():
        for width, by_name in finite.items():
            several = np.stack([curve.left for curve in by_name[name]])
            spread = np.std(several, axis=0, ddof=1) / len(several) ** 0.5 if len(several) > 1 else None
            for p in _some(exact):
                rows.append((name, width, p, float(exact.left[p]), float(np.mean(several[:, p])),
                             None if spread is None else float(spread[p])))  # fmt: skip
    header = ("network", "width", "lag", "infinite width", "mean over seeds", "its standard error")
    return Table(header, tuple(rows), "Tangent kernels of finite networks at the start.")


def _verdict(curve: Curve) -> str:
    """Which of the laws is nearer, with its number."""
    laws = curve.laws()
    if laws is None:
        return f"told from zero up to lag {int(np.flatnonzero(curve.told)[-1])}" if curve.told.any() else "not told"
    (rate, first), (exponent, second) = laws
    if abs(exponent) < LEVEL:
        return "alike at all lags"
    return f"like p^{exponent:.2g}" if second < first else f"{rate:.3g} per step"


def _word(name: str) -> str:
    return re.sub("[^A-Za-z0-9]+", "-", name)


def _some(curve: Curve) -> list[int]:
    t = len(curve.left)
    return sorted({0, 1, 4, t // 2, t - 1} & set(range(t)))


def _mean(curves: list[Curve]) -> np.ndarray:
    return np.mean([curve.left for curve in curves], axis=0)


def _numbers(curve: Curve) -> dict[str, Any]:
    laws = curve.laws()
    return {
        "left": curve.left.tolist(),
        "error": curve.error.tolist(),
        "laws": None if laws is None else {"geometric": list(laws[0]), "power": list(laws[1])},
    }
