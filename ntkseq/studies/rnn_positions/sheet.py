"""How do position-to-position targets, what learnt them and what is proved of them come onto one sheet?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ntkseq._outward import at_least
from ntkseq.bounds import allen_zhu_li2019
from ntkseq.reports import Section, Sheet
from ntkseq.studies.recurrent.cases import fit_notes, network_numbers, over_kernel
from ntkseq.studies.rnn_positions import sections
from ntkseq.studies.rnn_positions.cases import PositionsCase, at_step
from ntkseq.studies.rnn_positions.options import FIRST, PositionsOptions
from ntkseq.studies.rnn_positions.sentences import Summary, findings
from ntkseq.studies.sentences import over_draws


def sheet(study: PositionsOptions, found: Sequence[PositionsCase]) -> Sheet:
    """What came of all targets."""
    violations, broken = sum(case.violations for case in found), sum(case.broken for case in found)
    norms = sum(len(case.alone) + sum(map(len, case.fits)) for case in found)
    checks = sum(case.checks for case in found)
    facts = [
        (f"{violations} of {norms}", "norms y'K^-1 y above what is proved of |f|^2: none should be"),
        (f"{broken} of {checks}", "certified bounds below the measured error: none should be"),
    ]
    for case in (one for one in found if one.name == study.functions[0]):
        e = np.mean([fits[-1].by_step for fits in case.fits], axis=0)
        facts.append(
            (
                f"{e[0]:.3f}, {e[-1]:.3f}",
                f"{case.name}, {case.source}: error at the first and at the last step, of 1 at most",
            )
        )
        facts.append(
            (
                f"{case.price:.1f}",
                f"{case.name}, {case.source}: that all steps share one function, in squared norms of the dearest step",
            )
        )
    ratio = over_kernel([one for case in found for one in case.trained], max(study.widths))
    if ratio is not None:
        facts.append((ratio, f"times the kernel's error, by networks of width {max(study.widths)} trained as long"))
    parts = [
        sections.by_step(study, found), sections.curves(study, found), sections.tokens(study, found),
        sections.norms(study, found), sections.proved(study, found), _theorem(study, found),
    ]  # fmt: skip
    return Sheet(
        title="Position-to-position targets of recurrent networks",
        question="",
        findings=findings(
            study, [_summary(study, case) for case in found], beyond=violations + broken, checks=norms + checks,
            trained=[one for case in found for one in case.trained],
        ),
        facts=tuple(facts),
        notes=tuple(_notes(study, found)),
        sections=tuple(parts),
        numbers={"violations": violations, "broken": broken, "checks": checks,
                 "cases": [_numbers(case) for case in found]},
        arrays=_arrays(found),
    )  # fmt: skip


def _summary(study: PositionsOptions, case: PositionsCase) -> Summary:
    """What the sentences say of a target."""
    n, by_step = max(study.examples), np.array([fits[-1].by_step for fits in case.fits])  # (draws, steps)
    return Summary(
        f"{case.name}, {case.source}", over_draws(by_step[:, 0]), over_draws(by_step[:, -1]), float(case.zero[-1]),
        float(by_step[0, -1]), case.alone[-1].errors.mean, case.price, case.risk_at(n), case.risk.certified,
        float(by_step.mean()), n * (case.risk_at(n) / sections.HALF) ** 2,
    )  # fmt: skip


def _notes(study: PositionsOptions, found: Sequence[PositionsCase]) -> list[str]:
    notes = [
        "One predictor for all steps: its norm is that of one function of sequence and step, and bounds count "
        "sequences, not steps, as independent. Kernel of the papers' W alone; the bounds speak of kernel regression, "
        f"not of a finite network, and each holds alone with probability {at_least(study.delta)}.",
        "Networks: f - f_0, the start subtracted; plain SGD on W, the loss |f_t - f_0t - y_t|^2/2 summed over steps.",
    ]
    if unproven := [case for case in found if not math.isfinite(case.norm)]:
        listed = ", ".join(f"{case.name} ({case.source})" for case in unproven)
        notes.append(f"No finite bound of the norm of all steps for {listed}: {unproven[0].risk.reason}.")
    endless = [case for case in found if any(not math.isfinite(one.value or 0.0) for one in case.norms)]
    if endless:
        listed = ", ".join(f"{case.name} ({case.source})" for case in endless)
        reason = next(one.reason for one in endless[0].norms if not math.isfinite(one.value or 0.0))
        notes.append(f"No finite bound of the norm at some steps for {listed}: {reason}.")
    return notes + fit_notes(found, [one for case in found for one in case.trained])


def _theorem(study: PositionsOptions, found: Sequence[PositionsCase]) -> Section:
    """The theorem for the last step of the first target: a rate, without a value."""
    case, n = found[0], max(study.examples)
    x, y = case.sample
    said = allen_zhu_li2019(
        at_step(case.target, study.length - 1), x[:n], y[:n, -1], width=max(study.widths), delta=study.delta,
        B0=study.grid / case.kappa,
    )  # fmt: skip
    text = (
        "A rate: degrees and constants of its polynomials are hidden, so no number follows from it. Shown for the "
        f"last output of {case.name}, {case.source}; the bound of our own beside it is for kernel regression on that "
        "output alone.",
    )
    return Section("The theorem", text, bounds={"allen_zhu_li2019": said})


def _numbers(case: PositionsCase) -> dict[str, object]:
    last = case.fits[0][-1]
    return {
        "function": case.name, "source": case.source, "positions": [FIRST + a for a in range(len(case.zero))],
        "kernel_diagonal": case.kappa**2, "n": list(case.sizes), "error": case.mean_errors.mean(axis=0).tolist(),
        "error_by_step": last.by_step.tolist(), "error_alone": [one.errors.mean for one in case.alone],
        "error_of_zero": case.zero.tolist(), "bound": [fit.bound.value for fit in case.fits[0]],
        "norm_bound_all": case.norm, "risk_bound": case.risk_at(case.sizes[-1]), "risk_certified": case.risk.certified,
        "certified": [fit.bound.certified for fit in case.fits[0]], "bound_by_step": [b.value for b in case.steps],
        "norm_squared": [fit.bound.constants.norm_squared * case.kappa**2 for fit in case.fits[0]],
        "norm_squared_alone": [one.norm_squared.estimate * case.kappa**2 for one in case.alone],
        "norm_bound": [math.inf if b.value is None else b.value * case.kappa**2 for b in case.norms],
        "price": case.price, "violations": case.violations, "broken": case.broken,
        "networks": [
            {**network_numbers(one), "error_by_step": one.by_step.tolist()} for one in case.trained
        ],
    }  # fmt: skip


def _arrays(found: Sequence[PositionsCase]) -> dict[str, np.ndarray]:
    """Errors of every draw, size and step, use of tokens, losses of every network."""
    arrays: dict[str, np.ndarray] = {}
    for case in found:
        head = f"{case.name}-{case.source}"
        arrays[f"{head}.n"] = np.array(case.sizes)
        arrays[f"{head}.error"] = np.array([[fit.by_step for fit in fits] for fits in case.fits])
        arrays[f"{head}.effect"], arrays[f"{head}.gain"] = case.used.effect, case.used.gain
        arrays[f"{head}.effect-target"] = case.of_target.effect
        for one in case.trained:
            r = one.network
            arrays[f"{head}.loss-{r.n}-{r.width}-{r.seed}"] = r.losses
            arrays[f"{head}.gain-{r.n}-{r.width}-{r.seed}"] = one.used.gain
    return arrays
