"""What was learned of additive targets, in plain sentences made of the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ntkseq.reports.sentences import listed
from ntkseq.spectra import Interval
from ntkseq.studies.recurrent.cases import Trained
from ntkseq.studies.recurrent.sentences import networks, speaking
from ntkseq.studies.rnn_additive.options import AdditiveOptions
from ntkseq.studies.sentences import falling, held, more, opening, spelled

Target = tuple[int, str, str]
"""t, function, place."""


def findings(
    study: AdditiveOptions,
    *,
    beyond: int,
    checks: int,
    slopes: Mapping[Target, Interval],
    errors: Mapping[Target, Interval],
    short: Mapping[Target, Interval],
    risks: Sequence[tuple[str, float, float, bool]],
    trained: Sequence[Trained],
) -> tuple[str, ...]:
    """Whether bounds hold and say something, what is learnt, what short tokens change, what networks add.

    Args:
        study: what was asked.
        beyond, checks: norms and errors beyond their bound, of how many.
        slopes: exponents of n in the error.
        errors, short: errors at the largest n over draws, of tokens of norm 1 and of short ones.
        risks: see `speaking`.
        trained: networks.
    """
    n = max(study.examples)
    return opening(
        (
            f"{held(beyond, checks, 'norms and errors', 'beyond its bound')} {speaking(risks, n)}",
            learnt(study, slopes),
            shortened(study, errors, short),
            networks(trained, max(study.widths)),
        ),
        more(study, "longer sequences and more examples", "more draws, for narrower intervals", draws=2 * study.draws),
    )


def learnt(study: AdditiveOptions, slopes: Mapping[Target, Interval]) -> str:
    """Of the first function: how the error falls with n for the shortest and the longest sequences, by place."""
    ends = dict.fromkeys((min(study.steps), max(study.steps)))
    name = study.functions[0]
    picked = [
        (f"{place}, t = {t}", slopes[t, name, place])
        for place in study.places
        for t in ends
        if (t, name, place) in slopes
    ]
    return falling(picked, f"The kernel's test error of {name} targets", "n")


def shortened(study: AdditiveOptions, errors: Mapping[Target, Interval], short: Mapping[Target, Interval]) -> str:
    """Errors with tokens of norm 1 and with short ones at the longest sequences; empty where none were made short."""
    t, name = max(study.steps), study.functions[0]
    pairs = [
        (place, errors[t, name, place], short[t, name, place]) for place in study.places if (t, name, place) in short
    ]
    if not pairs:
        return ""
    told = [f"{place} {spelled(one, 2)} and {spelled(other, 2)}" for place, one, other in pairs]
    apart = [place for place, one, other in pairs if one.lower > other.upper or other.lower > one.upper]
    if len(apart) == len(pairs):
        verdict = "All of these are told apart."
    else:
        verdict = f"Told apart are those of {listed(apart)}." if apart else "None of these are told apart."
    return (
        f"At t = {t} and n = {max(study.examples)} it errs, with tokens of norm 1 and with tokens of norm t^-"
        f"{study.short:g}, by: {'; '.join(told)}. {verdict}"
    )
