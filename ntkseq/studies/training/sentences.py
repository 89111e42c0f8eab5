"""What was learned of kernels through training, in plain sentences made of the numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from ntkseq.reports.sentences import listed
from ntkseq.spectra import Interval
from ntkseq.studies.base import NamedStudy
from ntkseq.studies.sentences import lost, more, opening
from ntkseq.training.lazy_training import Laziness


@dataclasses.dataclass(frozen=True)
class Summary:
    """One model.

    Attributes:
        drift, miss: the power laws over the width of the kernel's drift and of the error of linearisation.
        drifts, misses: their means over seeds, by width.
        least: the least eigenvalue after training at the largest width, first seed.
        lost, runs: how many diverged, of how many.
    """

    drift: Laziness
    miss: Laziness
    drifts: Mapping[int, float]
    misses: Mapping[int, float]
    least: Interval
    lost: int
    runs: int


def findings(study: NamedStudy, models: Mapping[str, Summary], left_out: Sequence[str] = ()) -> tuple[str, ...]:
    """What separates, what is resolved, what failed, and what to try next.

    Args:
        study: what was asked.
        models: by name, those with two widths or more.
        left_out: models of which every run diverged, but at one width.
    """
    open_ = [name for name, one in models.items() if "undecided" in (one.drift.verdict, one.miss.verdict)]
    why = f"more widths and seeds, to decide on {listed(open_)}," if open_ else "wider networks"
    seeds = 2 * getattr(study, "seeds", 1)
    return opening(
        (
            verdicts({name: one.drift for name, one in models.items()}),
            sizes(models),
            least({name: one.least for name, one in models.items()}),
            failures(models, left_out),
        ),
        more(study, why, f"twice the seeds, to decide on {listed(open_)}" if open_ else "twice the seeds", seeds=seeds),
    )


def verdicts(drifts: Mapping[str, Laziness]) -> str:
    """Whether the drift of kernels vanishes with the width, model by model."""
    by: dict[str, list[str]] = {}
    for name, fit in drifts.items():
        by.setdefault(fit.verdict, []).append(f"{name} (width^{fit.slope:.2g}, {fit.reason})")
    said = []
    if "lazy" in by:
        said.append(f"The wider the network, the less its kernel moves, as kernel theory asks: {listed(by['lazy'])}.")
    if "feature learning" in by:
        said.append(f"The kernel's drift does not vanish with the width: {listed(by['feature learning'])}.")
    if "undecided" in by:
        said.append(f"Whether the drift vanishes as kernel theory asks is not told: {listed(by['undecided'])}.")
    return " ".join(said)


def sizes(models: Mapping[str, Summary]) -> str:
    """How far kernels move at the ends of the widths, and what the linearisation is worth at the largest."""
    moves, misses = [], []
    for name, one in models.items():
        first, last = min(one.drifts), max(one.drifts)
        moves.append(
            f"{one.drifts[first]:.2g} of its size at width {first} and {one.drifts[last]:.2g} at {last} ({name})"
        )
        misses.append(f"{one.misses[max(one.misses)]:.2g} ({name}: {one.miss.verdict})")
    return (
        f"Training moves the kernel by {listed(moves)}; on test examples the widest networks are off their "
        f"linearisations, in units of these, by {listed(misses)}."
    )


def least(ends: Mapping[str, Interval]) -> str:
    """For which models the least eigenvalue is told from zero after training."""
    clear = [f"{name} ({one})" for name, one in ends.items() if one.positive]
    untold = [name for name, one in ends.items() if not one.positive]
    said = f"At the largest width the least eigenvalue ends above zero for {listed(clear)}" if clear else ""
    if not untold:
        return f"{said}."
    start = f"{said}; for" if said else "At the largest width, for"
    return f"{start} {listed(untold)} it is not told from zero in float32."


def failures(models: Mapping[str, Summary], left_out: Sequence[str]) -> str:
    """What diverged, and where numbers are missing for it."""
    said = lost(sum(m.lost for m in models.values()), sum(m.runs for m in models.values()), "runs", "lower --rate")
    if left_out:
        said = f"{said} ".lstrip() + (
            f"Nothing is said of {listed(list(left_out))}: all runs diverged, but at one width at most; lower --rate."
        )
    return said
