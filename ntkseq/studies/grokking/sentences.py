"""What was learned of networks that add modulo p, in plain sentences made of the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ntkseq.reports.sentences import listed
from ntkseq.spectra import Interval
from ntkseq.studies.base import NamedStudy
from ntkseq.studies.grokking.moments import Moment, lead, over_seeds
from ntkseq.studies.grokking.runs import Outcome
from ntkseq.studies.sentences import lost, more, opening, spelled

MAIN = "read-out"
"""The layer whose order is told in the first sentences, chosen beforehand; all others are in a table."""

Runs = Mapping[str, Sequence[Outcome]]
"""Network -> one outcome per seed, those that diverged left out."""


def findings(study: NamedStudy, runs: Runs, accuracy: float, diverged: int, total: int) -> tuple[str, ...]:
    """Whether there was grokking, what came first, which features there are in the end, and what to try next.

    Args:
        study: what was asked.
        runs: of every network that has one left.
        accuracy: share of right answers from which on a set counts as known.
        diverged: runs that are left out, of so many in all.
        total: runs.
    """
    said = (
        " ".join(delay(name, outcomes, accuracy) for name, outcomes in runs.items()),
        " ".join(order(name, outcomes, accuracy) for name, outcomes in runs.items()),
        " ".join(frequencies(name, outcomes) for name, outcomes in runs.items()),
        lost(diverged, total, "runs", "lower --lr"),
    )
    seeds = 2 * getattr(study, "seeds", 1)
    return opening(said, more(study, "more pairs, steps and seeds", "twice the seeds", seeds=seeds))


def delay(name: str, outcomes: Sequence[Outcome], accuracy: float) -> str:
    """Whether the test pairs are known later than the training pairs, and when."""
    learned = [one.memorised(accuracy) for one in outcomes]
    known = [one.generalised(accuracy) for one in outcomes]
    what, m = f"{accuracy:.0%} of the", len(outcomes)
    if missing := sum(not one.came for one in learned):
        return f"{name} does not learn {what} training pairs in {missing} of {m} seeds: longer runs may."
    start = f"{name} knows {what} training pairs by step {at(learned)}"
    if missing := sum(not one.came for one in known):
        never = "never" if missing == m else f"in {missing} of {m} seeds never"
        return f"{start}, of the test pairs {never}: no grokking is seen{'' if missing == m else ' in these'}."
    later = lead(learned, known)
    assert later is not None
    if later.lower > 0:
        return f"{start}, of the test pairs by step {at(known)}, {spelled(later)} steps later: it groks."
    verdict = "before" if later.upper < 0 else "not told from the same time"
    return f"{start}, of the test pairs by step {at(known)}, {verdict} ({spelled(later)} steps later)."


def order(name: str, outcomes: Sequence[Outcome], accuracy: float, layer: str = MAIN) -> str:
    """Which comes first, by the interval over seeds: that the eigenspace of a layer turns to a + b, or generalisation."""
    rose, known = [one.rose(layer) for one in outcomes], [one.generalised(accuracy) for one in outcomes]
    m, where = len(outcomes), f"in the {layer} layer of {name}"
    if missing := sum(not one.came for one in rose):
        often = "ever" if missing == m else f"in {missing} of {m} seeds"
        return f"The overlap of the leading eigenspace with functions of a + b {where} is not {often} above its floor."
    start = f"The leading eigenspace {where} is above its floor in functions of a + b by step {at(rose)}"
    if missing := sum(not one.came for one in known):
        return f"{start}; what comes first is not told, as {missing} of {m} seeds never generalise."
    ahead = lead(rose, known)
    assert ahead is not None
    first = sum(two.after >= one.by for one, two in zip(rose, known, strict=True))
    if ahead.lower > 0:
        return f"{start}, {spelled(ahead)} steps before the test pairs are known."
    if ahead.upper < 0:
        return f"{start}, {spelled(_turned(ahead))} steps after the test pairs are known."
    return f"{start}; it is not told from the moment of generalisation ({spelled(ahead)} steps before; certainly before in {first} of {m} seeds)."


def frequencies(name: str, outcomes: Sequence[Outcome]) -> str:
    """How many frequencies of a + b the leading eigenspace of each layer holds in the end."""
    many = sum(feature.startswith("a + b,") for feature in outcomes[0].features)
    said = []
    for layer in outcomes[0].layers:
        counts = sorted(len(one.held(layer)) for one in outcomes)
        said.append(f"{counts[0]}{'' if counts[0] == counts[-1] else f' to {counts[-1]}'} ({layer})")
    return f"In the end the leading eigenspaces of {name} hold, of {many} frequencies of a + b, {listed(said)}."


def at(moments: Sequence[Moment]) -> str:
    """The mean moment over seeds with its interval, clipped at the start."""
    found = over_seeds(moments)
    assert found is not None
    return spelled(Interval(max(found.lower, 0.0), found.estimate, found.upper))


def _turned(one: Interval) -> Interval:
    return Interval(-one.upper, -one.estimate, -one.lower)


