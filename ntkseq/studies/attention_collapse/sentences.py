"""What was learned of collapsing attention and of the kernel at the start, in plain sentences made of the numbers."""

from __future__ import annotations

from collections.abc import Sequence

from ntkseq._outward import interval
from ntkseq.spectra import Interval
from ntkseq.studies.attention_collapse.initial import Cell
from ntkseq.studies.base import NamedStudy
from ntkseq.studies.sentences import again, more, opening, reach

ALIKE = 0.01
"""|A - 1a'| / |A| below which the rows of attention are said to be alike."""


def findings(study: NamedStudy, found: Sequence[Cell]) -> tuple[str, ...]:
    """Where attention collapses, what the kernel makes of it, what is resolved, and what to try next."""
    open_ = [k for cell in found for k in cell.kernels if k.width is None and not k.least.positive]
    dtype = getattr(study, "dtype", "float32")
    if open_ and dtype == "float32":
        wide = f"Next: the rest in float64: JAX_ENABLE_X64=1 {again(study, dtype='float64')}"
    else:
        deeper = (*getattr(study, "depths", (1,)), 2 * max(getattr(study, "depths", (1,))))
        wide = more(study, "more depths and temperatures,", "twice as deep", depths=deeper)
    return opening((collapse(found), ranks(found), condition(found), resolved(found, dtype)), wide)


def collapse(found: Sequence[Cell]) -> str:
    """Which architectures end with rows that are all alike, at infinite width."""
    depth = len(found[0].attention(None).residual)
    done = [_named(cell) for cell in found if cell.attention(None).residual[-1] < ALIKE]
    share = f"{100 * ALIKE:g} %"
    if not done:
        return f"At infinite width attention collapses in none of {len(found)} settings within {depth} layers."
    return (
        f"At infinite width attention has collapsed after {depth} layers (its rows differ by less than {share}) in "
        f"{len(done)} of {len(found)} settings: {'; '.join(done)}."
    )


def ranks(found: Sequence[Cell]) -> str:
    """The settings with the least and the largest entropy rank in the last layer."""
    ends = sorted(found, key=lambda cell: cell.attention(None).ranks["entropy"][-1])
    least, most = ends[0], ends[-1]
    if least is most:
        return f"Its entropy rank ends at {_last(least):.3g}."
    return (
        f"The entropy rank of the last layer runs from {_last(least):.3g} ({_named(least)}) to {_last(most):.3g} "
        f"({_named(most)})."
    )


def condition(found: Sequence[Cell]) -> str:
    """Whether the kernel is worse conditioned where attention has collapsed, over all depths, at infinite width."""
    groups: dict[bool, list[Interval]] = {True: [], False: []}
    for cell in found:
        for kernel in (k for k in cell.kernels if k.width is None and k.least.positive):
            groups[bool(cell.attention(None).residual[kernel.depth - 1] < ALIKE)].append(kernel.least)
    if not groups[True] or not groups[False]:
        return ""
    spans = {side: (min(k.lower for k in some), max(k.upper for k in some)) for side, some in groups.items()}
    verdict = "the ranges overlap, so that a collapse alone is not told to spoil this kernel"
    if spans[True][1] < spans[False][0]:
        verdict = "the kernel is worse conditioned where attention has collapsed"
    elif spans[True][0] > spans[False][1]:
        verdict = "the kernel is better conditioned where attention has collapsed"
    return (
        f"The least eigenvalue of the tangent kernel over the mean one lies in {interval(*spans[True], digits=2)} "
        f"where attention has collapsed and in {interval(*spans[False], digits=2)} elsewhere: {verdict}."
    )


def resolved(found: Sequence[Cell], dtype: str) -> str:
    """How many least eigenvalues are told from zero, and how far the widest networks are from their limits."""
    limits = [k for cell in found for k in cell.kernels if k.width is None]
    clear = sum(k.least.positive for k in limits)
    said = f"{clear} of {len(limits)} least eigenvalues at infinite width are told from zero in {dtype}"
    widths = [k.width for cell in found for k in cell.kernels if k.width is not None]
    if not widths:
        return f"{said}."
    far = [k.distance for cell in found for k in cell.kernels if k.width == max(widths)]
    return f"{said}; kernels of width {max(widths)} are off their limits by {reach(far, 2)} of their norm."


def _named(cell: Cell) -> str:
    return f"{cell.shape}, sigma = {cell.sigma:g}"


def _last(cell: Cell) -> float:
    return float(cell.attention(None).ranks["entropy"][-1])
