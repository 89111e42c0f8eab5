"""What was learned of position-to-position targets, in plain sentences made of the numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from ntkseq._outward import outward
from ntkseq.spectra import Interval
from ntkseq.studies.recurrent.cases import Trained
from ntkseq.studies.recurrent.sentences import networks, speaking
from ntkseq.studies.rnn_positions.options import PositionsOptions
from ntkseq.studies.sentences import held, more, opening, reach, spelled


@dataclasses.dataclass(frozen=True)
class Summary:
    """One target at the largest n.

    Attributes:
        name: function and source.
        first, last: error of the kernel at the first and the last step, over draws.
        zero: error of answering 0 at the last step.
        together, alone: error at the last step by the one function, and when that step is learnt alone; first draw.
        price: squared norm of the one function of all steps over the largest of a step alone.
        risk, certified: bound of the error before any label.
        error: mean over steps.
        needed: sequences for which that bound is one half; inf where there is none.
    """

    name: str
    first: Interval
    last: Interval
    zero: float
    together: float
    alone: float
    price: float
    risk: float
    certified: bool
    error: float
    needed: float


def findings(
    study: PositionsOptions, targets: Sequence[Summary], *, beyond: int, checks: int, trained: Sequence[Trained]
) -> tuple[str, ...]:
    """Whether bounds hold and say something, what steps cost, what networks add, and what to try next."""
    n = max(study.examples)
    known = [(one.name, one.risk, one.error, one.certified) for one in targets]
    return opening(
        (
            f"{held(beyond, checks, 'norms and errors', 'beyond its bound')} {speaking(known, n)} {needed(targets)}",
            steps(targets, n),
            price(targets),
            networks(trained, max(study.widths)),
        ),
        more(study, "longer sequences and more of them", "twice the sequences", examples=(*study.examples, 2 * n)),
    )


def needed(targets: Sequence[Summary]) -> str:
    """From how many sequences on the bounds certify an error of one half."""
    known = [(one.needed, one.name) for one in targets if math.isfinite(one.needed) and one.certified]
    if not known:
        return "From no number of sequences on do they certify an error of one half."
    least, most = min(known), max(known)
    at = f"{_count(least[0])} sequences on ({least[1]})"
    other = "" if least[1] == most[1] else f", at worst from {_count(most[0])} on ({most[1]})"
    return f"An error of one half is certified from {at}{other}."


def _count(n: float) -> str:
    return f"{math.ceil(float(outward(n, digits=2))):,}"


def steps(targets: Sequence[Summary], n: int) -> str:
    """The error of one predictor from the first step to the last, beside what answering 0 errs by."""
    told = "; ".join(
        f"{one.name} {spelled(one.first, 2)} and {spelled(one.last, 2)} (answering 0: {one.zero:.2g})"
        for one in targets
    )
    useless = [one.name for one in targets if not one.last.upper < one.zero]
    end = f" At the last step that is not told from answering 0 for {'; '.join(useless)}." if useless else ""
    return f"With {n} sequences one kernel predictor errs at the first and at the last step by: {told}.{end}"


def price(targets: Sequence[Summary]) -> str:
    """What it costs that one function serves all steps."""
    ratios = [one.price for one in targets]
    worse = [one.name for one in targets if one.together > one.alone]
    told = (
        f"the last step by itself is learnt better for {len(worse)} of {len(targets)} targets"
        if worse
        else "the last step by itself is learnt no better"
    )
    return (
        f"That all steps share one function costs {reach(ratios, 2)} times the squared norm of the dearest step alone; "
        f"{told}."
    )
