"""What was learned of MAML on regression tasks, in plain sentences made of the numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from ntkseq.reports.sentences import listed
from ntkseq.studies.base import NamedStudy
from ntkseq.studies.sentences import held, more, opening, reach

FAR = 4.0
"""Standard errors beyond which a simulated mean contradicts the exact risk."""


@dataclasses.dataclass(frozen=True)
class Summary:
    """One spectrum.

    Attributes:
        kind: its name.
        rate, at_end: the inner rate of least risk, and whether it is an end of the grid.
        risks: the exact risk in the end by growth of the tasks' spread, of the tasks that are most alike first.
        ratios: derived upper bound over exact risk in the end, of every problem; nan where a condition fails.
        paper: the same for the paper's form.
        stops: rate of training, and the first step below the target: no earlier than, exactly, no later than.
    """

    kind: str
    rate: float
    at_end: bool
    risks: tuple[float, ...]
    ratios: tuple[float, ...]
    paper: tuple[float, ...]
    stops: tuple[tuple[float, int | None, int | None, int | None], ...]


def findings(
    study: NamedStudy, spectra: Sequence[Summary], *, outside: int, risks: int, far: int, dots: int, most: float
) -> tuple[str, ...]:
    """Whether bounds, formula and simulation agree, how sharp bounds are, what rates do, what to try next.

    Args:
        study: what was asked.
        spectra: of the inputs.
        outside, risks: exact risks that are not between their derived bounds, of how many.
        far, dots, most: simulated means more than `FAR` standard errors away, of how many; the largest distance.
    """
    proved = held(outside, risks, "exact risks", "outside its derived bounds", chance=False)
    return opening(
        (
            f"{proved} {simulated(far, dots, most)}",
            sharpness(spectra),
            diversity(spectra),
            rates(spectra, getattr(study, "eps", 0.2)),
        ),
        more(study, "more coordinates, steps and runs", "twice the runs, for narrower simulations",
             runs=2 * getattr(study, "runs", 8)),
    )  # fmt: skip


def simulated(far: int, dots: int, most: float) -> str:
    """Whether simulation contradicts the exact risk."""
    if far:
        return (
            f"{far} of {dots} simulated means are more than {FAR:g} standard errors from the exact risk: one is wrong."
        )
    return f"Simulation does not contradict them: {dots} means are at most {most:.2g} standard errors away."


def sharpness(spectra: Sequence[Summary]) -> str:
    """How far the bounds are above the exact risk, and where they have no value."""
    ratios = [ratio for one in spectra for ratio in one.ratios]
    paper = [ratio for one in spectra for ratio in one.paper]
    failing = sum(math.isnan(ratio) for ratio in ratios)
    said = f"In the end the derived upper bound is {reach(ratios, 2)} times the exact risk"
    if failing:
        said += f" (its conditions fail for {failing} of {len(ratios)} problems)"
    known = [ratio for ratio in paper if math.isfinite(ratio)]
    if not known:
        return f"{said}; the paper's conditions hold for no problem."
    return (
        f"{said}; the paper's form, not certified, {reach(known, 2)} times for {len(known)} of {len(paper)} problems."
    )


def diversity(spectra: Sequence[Summary]) -> str:
    """What it costs that tasks differ; empty where only one diversity was looked at."""
    told = [f"{one.risks[0]:.2g} to {one.risks[-1]:.2g} ({one.kind})" for one in spectra if len(one.risks) > 1]
    return (
        f"From tasks that are alike to tasks that differ most the exact risk goes from {listed(told)}." if told else ""
    )


def rates(spectra: Sequence[Summary], eps: float) -> str:
    """The inner rate of least risk, and how early the bounds alone say that eps times the first risk is reached."""
    best = [f"{one.rate:g}{', an end of the grid' if one.at_end else ''} ({one.kind})" for one in spectra]
    said = f"The exact risk is least at the inner rate beta_tr lambda_1 = {listed(best)}."
    for one in spectra[:1]:
        exact = [(rate, at, early, late) for rate, early, at, late in one.stops if at is not None]
        if exact:
            rate, at, early, late = min(exact, key=lambda stop: stop[1])
            span = f"between {early} and {late}" if late is not None else f"no earlier than {early}"
            said += f" {eps:g} of the risk at the start is first reached after {at} steps, at the rate {rate:g}; "
            said += f"bounds alone say {span} ({one.kind})."
    return said
