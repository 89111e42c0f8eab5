"""What do the numbers of a report say in plain sentences? Each is made of the numbers, none is a fixed text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ntkseq._outward import percents
from ntkseq.bounds import Bound
from ntkseq.reports.record import Prediction, Rank
from ntkseq.spectra import FullSpectrum

NORM_BASED = ("rademacher", "margin", "arora2019")
"""Bounds whose parts but the loss fall like 1/sqrt(n) while the norm of the fit stays."""


RANKS = (
    "An effective rank says how many directions count, by one way of weighing their eigenvalues: entropy, as many "
    "equal directions as would spread the trace as evenly; dimension, as many as the fit with this ridge makes use of; "
    "stable, as many as would make up the sum of all squares if each were as large as the largest."
)


def first(ranks: Sequence[Rank]) -> list[Rank]:
    """The ranks, with the two in front that are shown at first: entropy, and dimension or stable."""
    held = {rank.kind: rank for rank in ranks if rank.value is not None}
    front = [held[kind] for kind in ("entropy", "dimension", "stable") if kind in held][:2]
    return [*front, *(rank for rank in ranks if rank not in front)]


def share(value: float) -> str:
    """A share in percent."""
    return f"{100 * value:.2f} %"


def counted(count: int, what: str) -> str:
    """So many of something."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def separation(said: Prediction, classes: Sequence[str]) -> str:
    """How well the classes are told apart on test examples, beside always saying the most frequent one."""
    m, k = len(said.codes), len(classes)
    what = f"'{classes[0]}' from '{classes[1]}'" if k == 2 else f"{k} classes"
    if said.test_interval is None:
        return (
            f"The kernel errs on {share(said.test_error)} of {counted(m, 'test example')}; some were trained on, so "
            "that this is too little."
        )
    low, high = percents(*said.test_interval)
    errs = "without an error" if said.test_error == 0 else f"with an error of {share(said.test_error)}"
    majority = share(said.majority_error)
    told = f"The kernel tells {what} {errs} on {counted(m, 'example')} it has not seen (95 % interval {low} to {high})"
    if said.better:
        return f"{told}; always saying the most frequent class errs on {majority}."
    worse = said.test_interval[0] > said.majority_error
    verdict = "it is worse than" if worse else "it is not told from"
    return f"{told}: {verdict} always saying the most frequent class, which errs on {majority}."


def resolution(spectrum: FullSpectrum, dtype: str) -> str:
    """How many eigenvalues are told from zero, in which precision, and what would resolve the others."""
    n, clear, least = spectrum.n, resolved(spectrum), spectrum.min_eigenvalue
    if spectrum.sampling is not None:
        where = "with the samples of this kernel"
        more = "More samples (particles, draws) resolve more of them."
    else:
        where = f"in {dtype}"
        more = (
            "float64 may resolve the others, but for equal examples."
            if dtype == "float32"
            else "Near-duplicate examples do that."
        )
    if clear == n and least.positive:
        return f"All {n} directions of the examples are resolved {where}: the least eigenvalue is {least}."
    return f"{clear} of {n} directions of the examples are told from zero {where}. {more}"


def resolved(spectrum: FullSpectrum) -> int:
    """The number of eigenvalues that are told from zero."""
    return int((np.asarray(spectrum.values) > np.asarray(spectrum.errors)).sum())


def directions(ranks: Sequence[Rank], n: int) -> str:
    """How many directions hold the trace, with a blank in front; empty where the rank is not defined."""
    rank = next((rank.value for rank in ranks if rank.kind == "entropy"), None)
    return (
        "" if rank is None else f" As many as {rank.estimate:.2g} of {n} hold the trace of the kernel (entropy rank)."
    )


def proved(bounds: Mapping[str, Bound], best: str, measured: float | None, n: int) -> str:
    """The best certified bound, of which predictor it speaks, and what that does on the test examples."""
    if not best:
        some = any(bound.certified for bound in bounds.values())
        return f"Nothing is proved of the error{': the certified bounds say nothing' if some else ''} at n = {n}."
    bound = bounds[best]
    seen = "" if measured is None else f" On the test examples it is {measured:.4g}."
    return f"Proved, with probability at least {bound.chance}: {claim(bound)} ({best}: {bound.applies_to}).{seen}"


def claim(bound: Bound) -> str:
    """What a certified bound says, of a chance of errors in words."""
    if bound.quantity.startswith("P(") and not bound.lower:
        return f"the chance of an error on a new example is at most {bound.shown}"
    return bound.claim


_FAR = 10_000
"""Times as many examples, beyond which the reason is said."""


def vacuous(bounds: Mapping[str, Bound], n: int, norm: float) -> str:
    """Which bounds say nothing here, and from which n on those by the norm would."""
    silent = [key for key, bound in bounds.items() if bound.computable and bound.vacuous]
    if not silent:
        return ""
    said = f"{listed(silent)} {'says' if len(silent) == 1 else 'say'} nothing at n = {n}"
    from_n = {key: enough(bounds[key], n) for key in silent if key in NORM_BASED}
    known = {key: value for key, value in from_n.items() if value is not None}
    if not known:
        return f"{said}."
    key = min(known, key=lambda key: (not bounds[key].certified, known[key]))
    word = "it" if len(silent) == 1 else key
    loss = _loss(bounds[key])
    far = f", so far because its loss on its own examples is {loss:.4g}" if known[key] > _FAR * n else ""
    return f"{said}; if the norm of the fit stayed at {norm:.3g}, {word} would from about n = {known[key]:,} on{far}."


def enough(bound: Bound, n: int) -> int | None:
    """From which n on a bound would say something if its loss stayed and the rest fell like 1/sqrt(n); None: never.

    An extrapolation at the norm of this fit, which in general grows with n.
    """
    loss = _loss(bound)
    level = bound.trivial
    if level is None or not bound.computable or loss >= level:
        return None
    exact = n * (((bound.value or 0.0) - loss) / (level - loss)) ** 2
    return _rounded_up(exact)


def _loss(bound: Bound) -> float:
    return math.fsum(term.value or 0.0 for term in bound.terms if term.counted and "loss" in term.name)


def _rounded_up(value: float) -> int:
    """To two digits, upwards."""
    unit = 10 ** max(math.floor(math.log10(max(value, 1.0))) - 1, 0)
    return int(math.ceil(value / unit) * unit)


def listed(names: list[str]) -> str:
    """Names with commas, and an "and" before the last."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
