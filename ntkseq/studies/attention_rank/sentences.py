"""What was learned of gaps, effective ranks and bounds of attention, in plain sentences made of the numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from ntkseq._outward import interval, outward
from ntkseq.studies.attention_rank.correlations import Exponent, Predictors
from ntkseq.studies.attention_rank.options import RankOptions
from ntkseq.studies.sentences import held, lost, more, opening

FIRST = 0.95
"""Share of resamples in which a rank must stay the best to be told from the others."""


@dataclasses.dataclass(frozen=True)
class Speaking:
    """A certified bound below its trivial level, with what was measured of the same predictor."""

    name: str
    n: int
    value: float
    measured: float


@dataclasses.dataclass(frozen=True)
class Summary:
    """One task.

    Attributes:
        fit: the power of n in the gap.
        within: effective ranks against the gap among runs of one n.
        best: the certified bound that says most, None where all say nothing.
        lost, runs: transformers that diverged, of how many; lost_heads: single heads that did.
    """

    name: str
    fit: Exponent
    within: Predictors
    best: Speaking | None
    lost: int = 0
    runs: int = 0
    lost_heads: int = 0


def findings(study: RankOptions, tasks: Sequence[Summary], *, violated: int, checks: int) -> tuple[str, ...]:
    """How gaps fall, whether a rank foretells them, whether bounds hold and say something, what to try next."""
    gone = sum(one.lost + one.lost_heads for one in tasks)
    of = sum(one.runs + one.lost_heads for one in tasks)
    seeds = 2 * study.seeds
    kept = held(violated, checks, "certified bounds", "below the interval of the measured loss")
    return opening(
        (
            " ".join(gap(one) for one in tasks),
            " ".join(ranks(one) for one in tasks),
            f"{kept} {speaking(tasks)}",
            lost(gone, of, "transformers and heads", "lower --rate"),
        ),
        more(
            study,
            "more sizes and seeds, which narrow the intervals,",
            "twice the seeds, to narrow the intervals",
            seeds=seeds,
        ),
    )


def gap(one: Summary) -> str:
    """How the gap between test and training loss falls with n."""
    fit = one.fit
    left = f" ({fit.left_out} runs without a gap are left out, so that this is too steep)" if fit.left_out else ""
    if math.isnan(fit.exponent):
        return f"{one.name}: too few runs have a gap above 0 for a power of n."
    if math.isnan(fit.lower):
        return f"{one.name}: the gap goes as n^{fit.exponent:.2f}, without an interval{left}."
    ends = interval(fit.lower, fit.upper, digits=3)
    if fit.lower <= 0 <= fit.upper:
        return f"{one.name}: whether the gap falls with n is not told, n^{fit.exponent:.2f} {ends}{left}."
    verb = "falls" if fit.upper < 0 else "grows"
    return f"{one.name}: the gap {verb} as n^{fit.exponent:.2f} {ends}{left}."


def ranks(one: Summary) -> str:
    """Whether any effective rank orders runs of one n as their gaps do."""
    told = one.within
    if not told.best:
        return f"{one.name}: no effective rank can be compared with the gap."
    rho = told.rho[told.best]
    many = len(told.rho)
    found = f"rho = {rho.estimate:.2f} {interval(rho.lower, rho.upper, digits=2)}"
    if not rho.resolved:
        of = f"best of {many}: {told.best}, {found}"
        return f"{one.name}: among runs with one n no effective rank is told from useless ({of})."
    alone = "it stays the best when runs are drawn again" if told.share >= FIRST else "the others are not told from it"
    return (
        f"{one.name}: among runs with one n, {told.best} orders the gaps best of {many}, {found}, an interval "
        f"that does not count that {many} were tried; {alone}."
    )


def speaking(tasks: Sequence[Summary]) -> str:
    """What the best certified bound of each task says."""
    said = []
    for one in tasks:
        if one.best is None:
            said.append(f"Of {one.name} they say nothing yet.")
        else:
            b = one.best
            said.append(
                f"Of {one.name} the best says <= {outward(b.value, digits=3)} where {b.measured:.2f} was measured "
                f"({b.name}, n = {b.n})."
            )
    return " ".join(said)
