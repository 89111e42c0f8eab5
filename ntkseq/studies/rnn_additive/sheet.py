"""How do additive targets, what learnt them and what is proved of them come onto one sheet?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ntkseq._outward import at_least
from ntkseq.bounds import allen_zhu_li2019, wang_shen2021
from ntkseq.norms import MemoryProfile
from ntkseq.reports import Section, Sheet
from ntkseq.studies.exponents import span
from ntkseq.studies.recurrent.cases import fit_notes, network_numbers, over_kernel
from ntkseq.studies.recurrent.kernel_regression import leading
from ntkseq.studies.rnn_additive import sections
from ntkseq.studies.rnn_additive.cases import AdditiveCase
from ntkseq.studies.rnn_additive.options import AdditiveOptions
from ntkseq.studies.rnn_additive.sections import SETTING, BySetting
from ntkseq.studies.rnn_additive.sentences import findings
from ntkseq.studies.sentences import over_draws


def sheet(study: AdditiveOptions, found: BySetting, memory: Mapping[bool, MemoryProfile]) -> Sheet:
    """What came of all cases, without short tokens (False) and with them (True)."""
    plain, every = found[False], [case for cases in found.values() for case in cases]
    checks = sum(len(case.fits) * len(case.sizes) for case in every)
    violations, broken = sum(case.violations for case in every), sum(case.broken for case in every)
    shown = [case for case in plain if (case.name, case.place) == (study.functions[0], study.places[0])]
    facts = [
        (f"{violations} of {checks}", "norms y'K^-1 y above what is proved of |f|^2: none should be"),
        (f"{broken} of {2 * checks}", "certified bounds below the measured error: none should be"),
    ]
    facts += [
        (span(case.slope), f"{case.name}, {case.place}, t = {case.t}: the error falls with n to this power")
        for case in shown
    ]
    for t in dict.fromkeys((min(c.t for c in plain), max(c.t for c in plain))):
        ratio = over_kernel([one for c in plain if c.t == t for one in c.trained], max(study.widths))
        if ratio is not None:
            facts.append((ratio, f"times the kernel's error, by networks of width {max(study.widths)}, t = {t}"))
    parts = [sections.curves(study, plain), sections.norms(found), sections.exponents(study, plain)]
    if True in found:
        parts.append(sections.short(study, found, memory))
    parts.append(_theorems(study, found))
    return Sheet(
        title="Additive targets of recurrent networks",
        question="",
        findings=_findings(study, found, beyond=violations + broken, checks=3 * checks),
        facts=tuple(facts),
        notes=tuple(_notes(study, every)),
        sections=tuple(parts),
        numbers={
            "violations": violations,
            "broken": broken,
            "checks": checks,
            "cases": [_numbers(case) for case in every],
            "memory_share": {SETTING[short]: one.share.tolist() for short, one in memory.items()},
        },
        arrays=_arrays(every),
    )


def _findings(study: AdditiveOptions, found: BySetting, **counts: int) -> tuple[str, ...]:
    """The sentences of all cases."""
    errors = {short: {(c.t, c.name, c.place): over_draws(c.mean_errors[:, -1]) for c in cases}
              for short, cases in found.items()}  # fmt: skip
    plain = found[False]
    risks = [(f"{c.name}, {c.place}, t = {c.t}", c.risk_at(c.sizes[-1]), errors[False][c.t, c.name, c.place].estimate,
              c.risk.certified) for c in plain]  # fmt: skip
    return findings(
        study, **counts, slopes={(c.t, c.name, c.place): c.slope for c in plain}, errors=errors[False],
        short=errors.get(True, {}), risks=risks, trained=[one for c in plain for one in c.trained],
    )  # fmt: skip


def _notes(study: AdditiveOptions, every: Sequence[AdditiveCase]) -> list[str]:
    notes = [
        "The kernel is that of the papers' W alone; bounds and kernel regression speak of it, not of a finite network. "
        f"Each bound holds alone with probability {at_least(study.delta)}, not all of them at once.",
        "Networks: f - f_0, the start subtracted; plain SGD on |f - f_0 - y|^2/2; the step is "
        f"{study.rate:g}/(lambda_max/n (1 - 1/b) + K(x, x)/b) of the limit of the network's kernel, shorter where the "
        "network's own kernel is larger.",
    ]
    endless = sorted({(c.name, c.place, c.t) for c in every if not math.isfinite(c.norm)})
    if endless:
        listed = "; ".join(f"{name}, {place}, t = {t}" for name, place, t in endless)
        reason = next(c.risk.reason for c in every if not math.isfinite(c.norm))
        notes.append(f"No finite bound of the norm for {listed}: {reason}.")
    return notes + fit_notes(every, [one for c in every for one in c.trained])


def _theorems(study: AdditiveOptions, found: BySetting) -> Section:
    """The two theorems at the longest sequences of the first target: rates, without a value."""
    last = {s: [c for c in cases if (c.name, c.place) == (study.functions[0], study.places[0])][-1]
            for s, cases in found.items()}  # fmt: skip
    format_of, n = last.get(True, last[False]), max(study.examples)
    said = {}
    for name, case in (("allen_zhu_li2019", format_of), ("wang_shen2021", last[False])):
        x, y, K = case.sample
        options: dict[str, Any] = {"delta": study.delta, "B0": study.grid / case.kappa}
        if case.fits[0][-1].norm_squared.finite:
            options["K"] = leading(K, n)
        if name == "allen_zhu_li2019":
            said[name] = allen_zhu_li2019(case.target, x[:n], y[:n], width=max(study.widths), **options)
        else:
            said[name] = wang_shen2021(case.target, x[:n], y[:n], **options)
    text = (
        "Both are rates: degrees and constants of their polynomials are hidden, so no number follows from them. "
        f"Shown for {study.functions[0]}, {study.places[0]}, t = {format_of.t}; our own bounds stand beside.",
    )
    return Section("The theorems", text, bounds=said)


def _numbers(case: AdditiveCase) -> dict[str, Any]:
    return {
        "t": case.t, "eps_x": case.eps_x, "function": case.name, "place": case.place, "kernel_diagonal": case.kappa**2,
        "norm_bound": case.norm, "risk_bound": case.risk_at(case.sizes[-1]), "risk_certified": case.risk.certified,
        "n": list(case.sizes), "error": case.mean_errors.mean(axis=0).tolist(), "exponent": case.slope,
        "norm_squared": [fit.norm_squared.estimate * case.kappa**2 for fit in case.fits[0]],
        "rademacher": [fit.bound.value for fit in case.fits[0]], "violations": case.violations,
        "networks": [
            {**network_numbers(one), "lower": one.network.errors.lower, "upper": one.network.errors.upper}
            for one in case.trained
        ],
    }  # fmt: skip


def _arrays(every: Sequence[AdditiveCase]) -> dict[str, np.ndarray]:
    """Errors and norms of every draw and size, losses of every network."""
    arrays: dict[str, np.ndarray] = {}
    for case in every:
        head = f"{case.name}-{case.place}-t{case.t}-{'plain' if case.eps_x == 1.0 else 'short'}"
        arrays[f"{head}.n"] = np.array(case.sizes)
        arrays[f"{head}.error"] = case.mean_errors
        arrays[f"{head}.norm_squared"] = np.array([[fit.norm_squared.estimate for fit in f] for f in case.fits])
        arrays |= {f"{head}.loss-{r.n}-{r.width}-{r.seed}": r.losses for r in (one.network for one in case.trained)}
    return arrays
