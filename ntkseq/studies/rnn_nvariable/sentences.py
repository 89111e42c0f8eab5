"""What was learned of functions of N tokens, in plain sentences made of the numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ntkseq.reports.sentences import listed
from ntkseq.spectra import Interval
from ntkseq.studies.rnn_nvariable.options import NVariableOptions
from ntkseq.studies.sentences import falling, held, more, opening, reach, spelled

Growth = Mapping[str, Interval]
"""Place -> exponent of the sample size in t."""


def findings(
    study: NVariableOptions,
    *,
    beyond: int,
    checks: int,
    needed: Sequence[tuple[float, Interval]],
    certified: Growth,
    local: Mapping[str, tuple[float, float]],
    measured: Growth,
    laws: Sequence[tuple[float, Interval, float]],
) -> tuple[str, ...]:
    """Whether bounds hold, what they cost, how sample sizes grow with t, how the kernel forgets, what to try next.

    Args:
        study: what was asked.
        beyond, checks: norms, errors and sample sizes beyond their bound, of how many.
        needed: certified and measured sample size of every setting.
        certified: how well a power of t fits what is certified for the first function.
        local: place -> the power between the first two lengths and between the last two.
        measured: the powers of measured sample sizes, of places where all draws got there.
        laws: shared fraction, fitted constant, derived constant.
    """
    why = "longer sequences and more examples"
    return opening(
        (
            held(beyond, checks, "norms, errors and sample sizes", "beyond its bound"),
            prices(study, needed),
            growth(certified, local, measured),
            forgetting(laws),
        ),
        more(
            study,
            why,
            "twice the examples, for what was not reached",
            examples=(*study.examples, 2 * max(study.examples)),
        ),
    )


def prices(study: NVariableOptions, needed: Sequence[tuple[float, Interval]]) -> str:
    """What certifying costs, where the error was reached, and where it was not."""
    clear = [(proved, seen) for proved, seen in needed if seen.positive and seen.finite]
    open_ = sum(math.isinf(seen.upper) for _, seen in needed)
    end = (
        f" In {open_} settings not all draws got there with {max(study.examples)} examples: how many they take is not "
        "told." if open_ else ""
    )  # fmt: skip
    if not clear:
        return f"In no setting do all draws reach the error {study.eps:g} within the sizes looked at.{end}"
    seen = reach([one.estimate for _, one in clear], 2)
    finite = [proved / one.estimate for proved, one in clear if math.isfinite(proved)]
    more_ = f"; certified are {reach(finite, 2)} times as many" if finite else "; no number is certified"
    settings = f"{len(clear)} of {len(needed)} settings"
    return f"For an error of {study.eps:g} {seen} examples are enough in {settings}{more_}.{end}"


def growth(certified: Growth, local: Mapping[str, tuple[float, float]], measured: Growth) -> str:
    """How certified and measured sample sizes grow with the length, by where the tokens stand."""
    said = []
    for place, (first, last) in local.items():
        fit = f"t^{spelled(certified[place])}" if place in certified else "no power of t"
        said.append(f"{fit} where the tokens stand {place} (locally from t^{first:.2g} to t^{last:.2g})")
    proved = f"What is certified grows with the length as {listed(said)}." if said else ""
    if not measured:
        open_ = "How what is measured grows is not told: not all draws reached the error at every length."
        return f"{proved} {open_}".lstrip()
    seen = falling([(place, slope) for place, slope in measured.items()], "What is measured", "t")
    return f"{proved} {seen}".lstrip()


def forgetting(laws: Sequence[tuple[float, Interval, float]]) -> str:
    """The constant of the memory law beside the derived one, by shared fraction."""
    told = [f"{spelled(fitted)} for c = {c:g} (derived {law:.3g})" for c, fitted, law in laws]
    off = [f"c = {c:g}" for c, fitted, law in laws if law not in fitted]
    end = (
        f" For {listed(off)} the derived constant is outside: at these lengths the law does not hold yet."
        if off
        else " The derived constants are inside."
    )
    return f"The kernel forgets the start as exp(-a t^(2/3)), with a = {listed(told)}.{end}"
