"""What was learned of networks that add modulo p, in plain sentences made of the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ntkseq import _statistics
from ntkseq.reports.sentences import listed
from ntkseq.spectra import Interval
from ntkseq.studies.base import NamedStudy
from ntkseq.studies.grokking.moments import Moment, lead, over_seeds
from ntkseq.studies.grokking.runs import Outcome
from ntkseq.studies.sentences import lost, more, opening, reach, spelled

MAIN = "read-out"
"""The layer whose order is told in the first sentences, chosen beforehand; all others are in a table."""

TITLES = {"mlp": "MLP"}
"""How networks are called in sentences, where not by their names."""

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
    if missing := never(learned):
        return f"The {title(name)} does not learn {what} training pairs in {missing} of {m} seeds: longer runs may."
    start = f"The {title(name)} knows {what} training pairs by step {at(learned)}"
    if missing := never(known):
        if missing == m:
            return f"{start}, of the test pairs never: no grokking is seen."
        came = f"in {m - missing} of {m} seeds, by step {reach([one.by for one in known if one.came])}"
        return f"{start}, of the test pairs {came}: in the others no grokking is seen."
    later = lead(learned, known)
    assert later is not None
    if later.lower > 0:
        return f"{start}, of the test pairs by step {at(known)}, {spelled(later)} steps later: it groks."
    return f"{start}, of the test pairs by step {at(known)}: a delay is not told ({spelled(later)} steps)."


def order(name: str, outcomes: Sequence[Outcome], accuracy: float, layer: str = MAIN) -> str:
    """Which comes first: that the eigenspace of a layer turns to a + b, or that the network generalises.

    Told by the interval of their distance over seeds. Where a seed never generalised there is none, and the share of
    seeds in which the eigenspace certainly turned first is told from one half, by its exact interval, or not.
    """
    rose, known = [one.rose(layer) for one in outcomes], [one.generalised(accuracy) for one in outcomes]
    m, where = len(outcomes), f"in the {layer} layer of the {title(name)}"
    if missing := never(rose):
        often = "never" if missing == m else f"in {missing} of {m} seeds never"
        return f"The overlap of the leading eigenspace with functions of a + b {where} is {often} above its floor."
    start = f"The leading eigenspace {where} is above its floor in functions of a + b by step {at(rose)}"
    first = before(rose, known)
    seeds = f"certainly before in {first} of {m} seeds"
    ahead = lead(rose, known)
    if ahead is None:
        share = _statistics.proportion(first, m)[0]
        if share > 0.5:
            return f"{start}, before generalisation in more than half of all seeds ({seeds}).{_alone(known)}"
        return f"{start}; which comes first is not told: {seeds}.{_alone(known)}"
    if ahead.lower > 0:
        return f"{start}, {spelled(ahead)} steps before the test pairs are known."
    if ahead.upper < 0:
        return f"{start}, {spelled(Interval(-ahead.upper, -ahead.estimate, -ahead.lower))} steps after they are known."
    return f"{start}; which comes first is not told: {spelled(ahead)} steps before generalisation, {seeds}."


def _alone(known: Sequence[Moment]) -> str:
    """What seeds say that are above the floor and never generalise."""
    count = never(known)
    seeds = f"{count} of {len(known)} seeds"
    return f" In {seeds} it never is followed by generalisation: to be above the floor is not enough."


def never(moments: Sequence[Moment]) -> int:
    """In how many seeds it never came."""
    return sum(not one.came for one in moments)


def before(earlier: Sequence[Moment], later: Sequence[Moment]) -> int:
    """In how many seeds one thing certainly came before the other, which may never have come."""
    return sum(one.came and one.by <= two.after for one, two in zip(earlier, later, strict=True))


def title(name: str) -> str:
    """How a network is called in a sentence."""
    return TITLES.get(name, name)


def frequencies(name: str, outcomes: Sequence[Outcome]) -> str:
    """How many frequencies of a + b the leading eigenspace of each layer holds in the end."""
    many = sum(feature.startswith("a + b,") for feature in outcomes[0].features)
    said = []
    for layer in outcomes[0].layers:
        counts = sorted(len(one.held(layer)) for one in outcomes)
        said.append(f"{counts[0]}{'' if counts[0] == counts[-1] else f' to {counts[-1]}'} ({layer})")
    return (
        f"In the end the leading eigenspaces of the {title(name)} hold, of {many} frequencies of a + b, {listed(said)}."
    )


def at(moments: Sequence[Moment]) -> str:
    """The mean moment over seeds with its interval, clipped at the start."""
    found = over_seeds(moments)
    assert found is not None
    return spelled(Interval(max(found.lower, 0.0), found.estimate, found.upper))
