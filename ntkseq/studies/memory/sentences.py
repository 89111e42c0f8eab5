"""What was learned of how kernels forget, in plain sentences made of the curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ntkseq import _statistics
from ntkseq.studies.base import NamedStudy
from ntkseq.studies.memory.curves import Curve
from ntkseq.studies.sentences import more, opening

LEVEL = 0.005
"""Exponents below which nothing is said to fade."""
APART = 2.0
"""How often the misfit of one law must go into that of the other for the two to be told apart."""

Curves = Mapping[str, Curve]


def findings(
    study: NamedStudy, limits: Mapping[str, Curves], finite: Mapping[int, Mapping[str, list[Curve]]]
) -> tuple[str, ...]:
    """How tokens fade, of which networks that is told, what finite ones show, and what to try next.

    Args:
        study: what was asked.
        limits: "ntk" and "nngp" -> network -> its curve at infinite width.
        finite: width -> network -> the curves of the tangent kernel, one per seed.
    """
    seeds = 2 * getattr(study, "seeds", 1)
    return opening(
        (
            forgetting(limits["ntk"], "The tangent kernel"),
            forgetting(limits["nngp"], "The covariance of the outputs"),
            untold({f"{name}{end}": curve for kind, end in (("ntk", ""), ("nngp", " (covariance)"))
                    for name, curve in limits[kind].items()}),
            scatter(limits["ntk"], finite),
        ),
        more(study, "more lags and seeds, which tell laws apart,", "twice the seeds of networks", seeds=seeds),
    )  # fmt: skip


def law(curve: Curve) -> tuple[str, str]:
    """A kind of forgetting, "geometric", "power", "growth", "level" or "" where none is told, and its number."""
    laws = curve.laws()
    if laws is None:
        return "", f"{int(np.sum(curve.told))} of {len(curve.left)} lags are told from zero"
    (rate, first), (exponent, second) = laws
    if abs(exponent) < LEVEL:
        return "level", ""
    if max(first, second) < APART * min(first, second):
        return "", f"misfits {first:.2g} of a geometric law, {second:.2g} of a power"
    number = f"{rate:.2g} per step" if first < second else f"p^{exponent:.2g}"
    return ("growth" if exponent > 0 else "geometric" if first < second else "power"), number


def forgetting(curves: Curves, what: str) -> str:
    """Which networks forget by which law."""
    by: dict[str, list[str]] = {}
    for name, curve in curves.items():
        kind, number = law(curve)
        by.setdefault(kind, []).append(f"{name} ({number})" if number else name)
    parts = [
        f"{words} in {'; '.join(by[kind])}"
        for kind, words in (
            ("geometric", "forgets geometrically"),
            ("power", "forgets like a power of the lag p"),
            ("growth", "counts old tokens more than new ones"),
            ("level", "counts all lags alike"),
        )
        if kind in by
    ]
    return f"{what} {'. It '.join(parts)}." if parts else f"{what} follows no law that is told from the other."


def untold(curves: Curves) -> str:
    """Networks of which no law is told; empty where all are."""
    some = [f"{name} ({law(curve)[1]})" for name, curve in curves.items() if not law(curve)[0]]
    return f"No law is told from the other for {'; '.join(some)}." if some else ""


def scatter(exact: Curves, finite: Mapping[int, Mapping[str, list[Curve]]]) -> str:
    """Whether the widest networks are told from their limits half way back, by Student's interval over seeds."""
    if not finite:
        return ""
    width = max(finite)
    agree, off, wide = [], [], []
    for name, several in finite[width].items():
        p = len(exact[name].left) // 2
        middle, half = _statistics.mean([curve.left[p] for curve in several])
        distance = abs(middle - exact[name].left[p])
        if half >= abs(exact[name].left[p]):
            wide.append(name)
        elif distance > half + exact[name].error[p]:
            off.append(f"{name} ({middle:.2g} -+ {half:.1g}, not {exact[name].left[p]:.2g})")
        else:
            agree.append(name)
    at, many = f"At width {width} and lag {len(next(iter(exact.values())).left) // 2}", len(exact)
    said = []
    if agree:
        said.append(f"{at} the mean over seeds agrees with infinite width for {_named(agree, many)}.")
    if off:
        said.append(f"{at} it is off infinite width for {_named(off, many)}.")
    if wide:
        said.append(f"{at} seeds scatter by more than the value itself, which says nothing, for {_named(wide, many)}.")
    return " ".join(said)


def _named(names: Sequence[str], many: int) -> str:
    """Some of so many networks."""
    return f"all {many} networks" if len(names) == many > 1 else "; ".join(names)
