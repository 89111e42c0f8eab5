"""How do functions of N tokens, their sample sizes and the memory of the kernel come onto one sheet?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ntkseq._outward import at_least
from ntkseq.bounds import wang_shen2021
from ntkseq.reports import Section, Sheet
from ntkseq.studies.exponents import exponent
from ntkseq.studies.recurrent.cases import fit_notes
from ntkseq.studies.rnn_nvariable import sections
from ntkseq.studies.rnn_nvariable.cases import Kernel, NVariableCase
from ntkseq.studies.rnn_nvariable.laws import straight
from ntkseq.studies.rnn_nvariable.options import NVariableOptions
from ntkseq.studies.rnn_nvariable.sentences import findings


def sheet(study: NVariableOptions, found: Sequence[NVariableCase], kernel: Kernel) -> Sheet:
    """What came of all settings, and what the kernel says without data."""
    swept = sections.sweeps(study, found, kernel)
    fits = sum(len(case.fits) * len(case.sizes) for case in found)
    violations, broken = sum(case.violations for case in found), sum(case.broken for case in found)
    facts = [
        (f"{violations} of {fits}", "norms y'K^-1 y above what is proved of |f|^2: none should be"),
        (f"{broken} of {fits + 2 * len(found)}", "certified bounds below what was measured: none should be"),
    ]
    facts += [
        (
            f"{one.held.estimate:.3f} against {one.law:.3f}",
            f"constant a of the memory law exp(-a t^(2/3)), fitted against derived, c = {one.fraction:g}",
        )
        for one in kernel.laws
    ]
    parts = [sections.growth(study, swept, over) for over in ("l_0", "N", "t")]
    parts += [sections.table(study, swept), sections.memory(study, kernel), sections.curves(study, found)]
    parts += [sections.sizes(found), _theorem(study, found)]
    return Sheet(
        title="Functions of N tokens of recurrent networks",
        question="",
        findings=_findings(study, found, kernel, swept, beyond=violations + broken, checks=2 * fits + 2 * len(found)),
        facts=tuple(facts),
        notes=tuple(_notes(study, found)),
        sections=tuple(part for part in parts if part.figures or part.tables or part.bounds),
        numbers={
            "violations": violations,
            "broken": broken,
            "checks": fits,
            "cases": [_numbers(case) for case in found],
            "memory": [
                {"fraction": m.fraction, "t": len(m.steps), "exponent": m.power, "local_exponent": m.local,
                 "constant_free": m.constant, "constant": m.held, "derived_constant": m.law}
                for m in kernel.laws
            ],
        },
        arrays=_arrays(found, kernel),
    )  # fmt: skip


def _findings(
    study: NVariableOptions, found: Sequence[NVariableCase], kernel: Kernel, swept: Sequence[sections.Sweep],
    **counts: int,
) -> tuple[str, ...]:  # fmt: skip
    """The sentences of all settings; growth with the length is that of the first function."""
    certified, local, measured = {}, {}, {}
    for place in ("late", "early"):
        x, needed = kernel.lengths, kernel.needed[study.functions[0], place]
        with np.errstate(invalid="ignore"):
            steps = np.diff(np.log(needed)) / np.diff(np.log(x)) if len(x) > 1 else np.array([])
        line = straight(np.log(x), np.log(needed))
        if line is not None:
            certified[place] = line.slope
        if steps.size and np.isfinite(steps[[0, -1]]).all():
            local[place] = float(steps[0]), float(steps[-1])
        one = next(s for s in swept if s.over == "t" and s.label.startswith(f"{study.functions[0]},")
                   and s.label.endswith(place))  # fmt: skip
        if all(c.reached.positive and c.reached.finite for c in one.cases):
            measured[place] = exponent(one.x, np.array([c.draws_reached for c in one.cases]).T)
    return findings(
        study, **counts, needed=[(c.certified_n, c.reached) for c in found], certified=certified, local=local,
        measured=measured, laws=[(one.fraction, one.held, one.law) for one in kernel.laws],
    )  # fmt: skip


def _notes(study: NVariableOptions, found: Sequence[NVariableCase]) -> list[str]:
    notes = [
        "The kernel is that of the papers' W alone; bounds and kernel regression speak of it, not of a finite network. "
        f"Each bound holds alone with probability {at_least(study.delta)}, not all of them at once.",
        "Certified sample sizes rest on an upper bound of the norm, not on the norm: where they grow exponentially, "
        "that refutes no polynomial rate. No rate is claimed here.",
    ]
    endless = [case for case in found if not math.isfinite(case.norm)]
    if endless:
        listed = "; ".join(
            f"{s.function}, N = {s.variables}, span {s.span}, {s.place}, t = {s.t}"
            for s in (c.setting for c in endless)
        )
        notes.append(f"No finite bound of the norm for {listed}: {endless[0].risk.reason}.")
    open_ended = sum(math.isinf(case.reached.upper) for case in found)
    if open_ended:
        notes.append(
            f"In {open_ended} of {len(found)} settings not all draws reached {study.eps:g} with {max(study.examples)} "
            "examples: their sample size is known from below only and enters no fit."
        )
    return notes + fit_notes(found)


def _theorem(study: NVariableOptions, found: Sequence[NVariableCase]) -> Section:
    """The theorem for the widest window of the first function: a rate, without a value."""
    case = next(c for c in found if c.setting.place == "late" and c.setting.t == study.length
                and c.setting.variables == max(study.variables) and c.setting.span == max(study.spans))  # fmt: skip
    x, y, K = case.sample
    n = max(study.examples)
    options: dict[str, Any] = {"delta": study.delta, "B0": study.grid / case.kappa}
    if case.fits[0][-1].norm_squared.finite:
        options["K"] = K
    said = wang_shen2021(case.target, x[:n], y[:n], **options)
    s = case.setting
    text = (
        "A rate: its exponents of t, N and the span are not known to us, so no number follows from it. Shown for "
        f"{s.function}, N = {s.variables}, span {s.span}, t = {s.t}; our own bounds stand beside.",
    )
    return Section("The theorem", text, bounds={"wang_shen2021": said})


def _numbers(case: NVariableCase) -> dict[str, Any]:
    s = case.setting
    return {
        "function": s.function, "t": s.t, "variables": s.variables, "span": s.span, "place": s.place,
        "positions": list(s.positions), "kernel_diagonal": case.kappa**2, "norm_bound": case.norm,
        "certified_n": case.certified_n, "certified": case.needed.certified, "measured_n": case.reached,
        "n": list(case.sizes), "error": case.mean_errors.mean(axis=0).tolist(), "error_of_zero": case.trivial,
        "norm_squared": [fit.norm_squared.estimate * case.kappa**2 for fit in case.fits[0]],
        "rademacher": case.own.value, "violations": case.violations,
    }  # fmt: skip


def _arrays(found: Sequence[NVariableCase], kernel: Kernel) -> dict[str, np.ndarray]:
    """Errors and norms of every draw and size; what the kernel remembers."""
    arrays: dict[str, np.ndarray] = {}
    for case in found:
        s = case.setting
        head = f"{s.function}-N{s.variables}-span{s.span}-{s.place}-t{s.t}"
        arrays[f"{head}.n"] = np.array(case.sizes)
        arrays[f"{head}.error"] = case.mean_errors
        arrays[f"{head}.norm_squared"] = np.array([[fit.norm_squared.estimate for fit in f] for f in case.fits])
    arrays |= {f"seen-c{one.fraction:g}": one.seen for one in kernel.laws}
    arrays |= {f"share-t{t}": share for t, share in kernel.shares.items()}
    arrays |= {f"certified-{name}-{place}": needed for (name, place), needed in kernel.needed.items()}
    return arrays | {"lengths": kernel.lengths, "late": kernel.late, "early": kernel.early}
