"""What was learned of few-shot tasks, in plain sentences made of the numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from ntkseq import _statistics
from ntkseq._outward import interval, outward
from ntkseq._types import AnyArray
from ntkseq.bounds import Bound
from ntkseq.reports.sentences import listed
from ntkseq.spectra import Interval
from ntkseq.studies.base import NamedStudy
from ntkseq.studies.sentences import again, lost, more, opening
from ntkseq.training.lazy_training import Laziness


@dataclasses.dataclass(frozen=True)
class Gain:
    """What one method gets right more than another on the same tasks, as a share of answers, task by task."""

    setting: str
    method: str
    place: str
    more: Interval


def gain(setting: str, method: str, place: str, first: AnyArray, second: AnyArray) -> Gain:
    """second - first, shares of right answers by task (N,), with Student's interval over tasks.

    Where all differences are equal the scatter is 0 and says nothing: the interval is then at least 3/N wide on either
    side, what N tasks without one exception leave open at 95 %.
    """
    differences = np.asarray(second, np.float64) - np.asarray(first, np.float64)
    middle, half = _statistics.mean(differences)
    half = max(half, 3 / len(differences)) if np.ptp(differences) == 0 else half
    return Gain(setting, method, place, Interval(middle - half, middle, middle + half))


def findings(
    study: NamedStudy,
    *,
    gains: Sequence[Gain],
    slopes: Mapping[str, Laziness],
    scores: Mapping[str, float],
    bounds: Mapping[str, Bound],
    measured: Mapping[str, float],
    diverged: int,
    runs: int,
) -> tuple[str, ...]:
    """What meta-training adds, how kernels are conditioned, what is certified, what diverged, what to try next.

    Args:
        study: what was asked.
        gains: of meta-kernels over adaptation alone, and of networks over it.
        slopes: algorithm -> how networks approach their limit with the width.
        scores: condition score before ("Theta") and after adaptation, by algorithm.
        bounds, measured: by algorithm, on new tasks of seen classes.
        diverged, runs: networks.
    """
    untold = [one for one in gains if not one.more.resolved]
    tasks = 2 * getattr(study, "test_tasks", 1)
    seen = (
        f"Next: more test tasks, to tell the rest: {again(study, test_tasks=tasks)}"
        if untold and not study.quick
        else more(
            study, "more tasks and wider networks", "more tasks to learn from", tasks=2 * getattr(study, "tasks", 1)
        )
    )
    return opening(
        (
            gained(gains),
            conditioned(scores),
            certified(bounds, measured),
            f"{limits(slopes)} {lost(diverged, runs, 'networks', 'lower --outer-rate')}".strip(),
        ),
        seen,
    )


def gained(gains: Sequence[Gain]) -> str:
    """Where meta-training adds to adaptation, where it takes away, and where neither is told."""
    up, down, open_ = [], [], []
    for one in gains:
        points = f"{100 * one.more.estimate:+.0f} {interval(100 * one.more.lower, 100 * one.more.upper, digits=2)}"
        name = f"{one.method}, {one.setting}, {one.place} ({points})"
        (open_ if not one.more.resolved else up if one.more.positive else down).append(name)
    said = []
    if up:
        said.append(f"Beside adaptation alone meta-training adds right answers, in points of 100, for {'; '.join(up)}.")
    if down:
        said.append(f"It takes some away for {'; '.join(down)}." if up else
                    f"Meta-training takes right answers away, in points of 100, for {'; '.join(down)}.")  # fmt: skip
    if open_:
        what = "anything to adaptation alone" if not up and not down else "anything"
        few = "; ".join(open_[:2]) + (f"; and {len(open_) - 2} others" if len(open_) > 2 else "")
        said.append(f"It is not told whether it adds {what} for {few}.")
    return " ".join(said)


def conditioned(scores: Mapping[str, float]) -> str:
    """What adaptation does to the condition number of the kernels of a few tasks."""
    start = scores.get("Theta")
    after = [f"{score:.2g} ({name})" for name, score in scores.items() if name != "Theta"]
    if start is None or not after:
        return ""
    return f"The condition number of the kernel of a few tasks goes from {start:.2g} to {listed(after)} by adaptation."


def certified(bounds: Mapping[str, Bound], measured: Mapping[str, float]) -> str:
    """What is proved of new tasks of seen classes."""
    sure = {name: b for name, b in bounds.items() if b.certified and not b.vacuous and b.value is not None}
    if not sure:
        values = [f"{b.value:.2f} ({name})" for name, b in bounds.items() if b.value is not None and b.certified]
        end = f": the bounds are {listed(values)}, of at most 1" if values else ""
        return f"Nothing is proved of the error on new tasks{end}."
    name = min(sure, key=lambda key: sure[key].value or math.inf)
    seen = f", where {measured[name]:.2f} was measured" if name in measured else ""
    return f"Proved for new tasks of seen classes: an error <= {outward(sure[name].value, digits=3)} ({name}){seen}."


def limits(slopes: Mapping[str, Laziness]) -> str:
    """Whether finite networks approach their limit."""
    told = [f"{name}: {fit.verdict} (width^{fit.slope:.2g}, {fit.reason})" for name, fit in slopes.items()]
    return f"How far networks are from their limit against the width: {'; '.join(told)}." if told else ""
