"""Which figures and tables show sample sizes of functions of N tokens, their growth, and what the kernel remembers?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ntkseq.reports import Figure, Section, Table, learning
from ntkseq.reports.learning import LearningCurve
from ntkseq.studies.exponents import cell, exponent
from ntkseq.studies.recurrent.cases import spread_curve
from ntkseq.studies.rnn_nvariable.cases import Kernel, NVariableCase
from ntkseq.studies.rnn_nvariable.laws import late_exponent, straight
from ntkseq.studies.rnn_nvariable.options import NVariableOptions

NEEDED = "number of examples n"


@dataclasses.dataclass(frozen=True, eq=False)
class Sweep:
    """Cases that differ in one number.

    Attributes:
        label: what they share.
        over: what differs: "l_0", "N" or "t".
        x: its values, ascending.
        cases: one per value.
        certified: (values, sample sizes) to be fitted; over t further than what is measured, see `Kernel.needed`.
    """

    label: str
    over: str
    x: tuple[int, ...]
    cases: tuple[NVariableCase, ...]
    certified: tuple[Any, Any]


def sweeps(study: NVariableOptions, found: Sequence[NVariableCase], kernel: Kernel) -> list[Sweep]:
    """All sweeps of two values or more: over the span at each N, over N at each span, over t late and early."""
    made = []
    for name in study.functions:
        here = {(c.setting.t, c.setting.variables, c.setting.span, c.setting.place): c
                for c in found if c.setting.function == name}  # fmt: skip
        spans, numbers, lengths = (tuple(sorted(one)) for one in (study.spans, study.variables, study.lengths))
        t = study.length
        for n in numbers:
            label = f"{name}, N = {n}, t = {t}"
            made.append(_sweep(label, "l_0", spans, tuple(here[t, n, span, "late"] for span in spans)))
        for span in spans if len(numbers) > 1 else ():
            label = f"{name}, l_0 = {span}, t = {t}"
            made.append(_sweep(label, "N", numbers, tuple(here[t, n, span, "late"] for n in numbers)))
        n, span = study.pair
        for place in ("late", "early"):
            label = f"{name}, N = {n}, l_0 = {span}, {place}"
            far = kernel.lengths, kernel.needed[name, place]
            made.append(Sweep(label, "t", lengths, tuple(here[t, n, span, place] for t in lengths), far))
    return made


def _sweep(label: str, over: str, x: tuple[int, ...], cases: tuple[NVariableCase, ...]) -> Sweep:
    return Sweep(label, over, x, cases, (np.array(x, np.float64), np.array([c.certified_n for c in cases])))


def _curves(one: Sweep, label: str, k: int) -> list[LearningCurve]:
    """The certified sample size as a line, the measured one as points with their intervals where it was reached."""
    ends = [case.reached for case in one.cases]
    clear = [r.positive and r.finite for r in ends]
    pick: Any = lambda values: [v if ok else math.nan for v, ok in zip(values, clear, strict=True)]  # noqa: E731
    sure = all(c.needed.certified for c in one.cases if math.isfinite(c.certified_n))
    curves = [
        LearningCurve(
            f"certified, {label}", one.x, [c.certified_n for c in one.cases], style="line", certified=sure, colour=k
        ),
        LearningCurve(
            f"measured, {label}",
            one.x,
            pick([r.estimate for r in ends]),
            pick([r.lower for r in ends]),
            pick([r.upper for r in ends]),
            colour=k,
            marker=k,
        ),
    ]
    if one.over == "t":
        far: Any = {"style": "line", "colour": k, "thin": True}
        curves.append(LearningCurve(f"certified, degree 3, {label}", *one.certified, **far))
    beyond = [(x, r.lower) for x, r in zip(one.x, ends, strict=True) if math.isinf(r.upper)]
    if beyond:
        x, low = zip(*beyond, strict=True)
        curves.append(
            LearningCurve(
                f"not reached by all draws: more than this, {label}", x, low, style="hollow", colour=k, marker=3
            )
        )
    return curves


def growth(study: NVariableOptions, swept: Sequence[Sweep], over: str) -> Section:
    """Sample sizes against one number, log-log and log-linear."""
    figures = []
    xlabel = {"l_0": "span l_0", "N": "number N of tokens", "t": "length t"}[over]
    for name in study.functions:
        mine = [one for one in swept if one.over == over and one.label.startswith(f"{name},")]
        if not mine:
            continue
        curves = [curve for k, one in enumerate(mine) for curve in _curves(one, _short(one), k)]

        def one(curves: list[LearningCurve], scale: str, title: str) -> Any:
            def draw(ax: Any) -> Any:
                learning.learning(curves, ax, legend=False, xlabel=xlabel, ylabel=NEEDED, title=title)
                if scale == "linear":
                    ticks = ax.get_xticks()
                    ax.set_xscale("linear")
                    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
                return ax

            return draw

        both = [one(curves, "log", "straight: a power"), one(curves, "linear", "straight: exponential")]
        caption = (
            f"Examples for an error of {study.eps:g} against the {xlabel}, {name}. Lines: proved to be enough, before "
            f"any label (solid: certified). Points: measured, geometric mean of {study.draws} draws with Student's "
            f"interval; diamonds: not all draws got there with {max(study.examples)}."
        )
        figures.append(Figure(f"needed-{over.replace('_', '')}-{name}", lambda d=both: learning.panels(d), caption,
                              wide=True))  # fmt: skip
    heading = {"l_0": "Against the span", "N": "Against the number of tokens", "t": "Against the length"}[over]
    text = {
        "l_0": ("A single token (N = 1) has no span; it stands where the window of the others begins.",),
        "N": (),
        "t": (
            "The same window, before the last token or behind the first. If almost polynomial in t held for what is "
            "proved here, whatever the place, both lines would be straight on the left. Thin lines: the Taylor "
            "polynomial of degree 3 in place of the function, whose norm is finite at every length; early in the "
            "sequence the whole series soon has no proven end.",
        ),
    }[over]  # fmt: skip
    return Section(heading, text, tuple(figures))


def table(study: NVariableOptions, swept: Sequence[Sweep]) -> Section:
    """Fitted slopes of certified and measured sample sizes, and what was derived."""
    rows = []
    for one in swept:
        far, certified = one.certified
        x = np.array(one.x, np.float64)
        with np.errstate(invalid="ignore"):
            power, rate = (straight(values, np.log(certified)) for values in (np.log(far), far))
        at = [case.reached for case in one.cases]
        slopes: list[Any] = [None, None]
        if all(r.positive and r.finite for r in at):
            draws = np.array([case.draws_reached for case in one.cases]).T
            slopes = [cell(exponent(one.x, draws)), cell(exponent(list(np.exp(x - x.min())), draws))]
        better = None
        if power is not None and rate is not None and len(far) > 2:
            better = "power" if power.misfit < rate.misfit else "exponential"
        fitted = (line and cell(line.slope) for line in (power, rate))
        name = f"{one.label}: over {one.over}".replace(" ", "\u00a0")
        rows.append((name, *fitted, better, _derived(study, one), *slopes))
    header = ("setting", "certified: power", "certified: rate per unit", "nearer to", "derived",
              "measured: power", "measured: rate per unit")  # fmt: skip
    caption = (
        "Slopes of log n over the logarithm (power) and over the number itself (rate). Certified: least squares over "
        "the values shown (over t: degree 3); intervals are Student's with the distances from the line as noise: they "
        "say how well a line fits, as the numbers are computed, not drawn. Measured: one line per draw, the interval "
        "of their mean over the draws; none where a draw did not reach the error. Derived, asymptotic: an early token "
        "costs exp(1.0086 t^(2/3)) [recurrent_bounds.9], so the rate per step is 0.672 t^(-1/3), at the mean t of the "
        "fit or at the t of the row; late tokens cost t^(1+p/3), shown for the degrees p = 1 and 3."
    )
    return Section("Fitted growth", (), (), (Table(header, tuple(rows), caption),))


def _derived(study: NVariableOptions, one: Sweep) -> str | None:
    if one.over == "N":
        return None
    if one.over == "l_0":
        return f"rate {_rate(study.length):.2f}"
    t = float(np.mean(one.certified[0]))
    return f"rate {_rate(t):.2f}" if one.label.endswith("early") else "power 4/3, 2"


def _rate(t: float) -> float:
    """The derivative of 1.0086 t^(2/3), c = 0 (recurrent_bounds.9)."""
    return 1.0086 * 2 / 3 * t ** (-1 / 3)


def sizes(found: Sequence[NVariableCase]) -> Section:
    """Every setting in numbers."""
    rows = []
    for case in found:
        s, last = case.setting, case.fits[0][-1]
        rows.append((s.function, s.t, s.variables, s.span, s.place, ", ".join(map(str, s.positions)), case.norm,
                     last.norm_squared.estimate * case.kappa**2, case.certified_n, case.reached,
                     float(case.mean_errors[:, -1].mean()), case.trivial))  # fmt: skip
    header = ("function", "t", "N", "span", "place", "positions", "bound of |f|^2 K(x, x)",
              "y'K^-1 y K(x, x), largest n", "certified n", "measured n", "error, largest n", "error of 0")  # fmt: skip
    return Section("All settings", (), (), (Table(header, tuple(rows), "Measured n: open where not all draws got there "
                                                  "(or were there from the first n)."),))  # fmt: skip


def curves(study: NVariableOptions, found: Sequence[NVariableCase]) -> Section:
    """Test errors against n at the length where N and span vary."""
    figures = []
    for name in study.functions:

        def one(n: int, name: str = name) -> Any:
            lines = [LearningCurve(f"eps = {study.eps:g}", sorted(study.examples), [study.eps] * len(study.examples),
                           style="line", colour=5, thin=True)]  # fmt: skip
            for k, span in enumerate(sorted(study.spans)):
                case = next(c for c in found if (c.setting.function, c.setting.t, c.setting.variables, c.setting.span,
                                                 c.setting.place) == (name, study.length, n, span, "late"))  # fmt: skip
                lines.append(spread_curve(f"span {span}", case.sizes, case.mean_errors, colour=k, marker=k))
            return lambda ax: learning.learning(lines, ax, legend=False, title=f"{name}, N = {n}",
                                                ylabel="mean min(1, |f - y|)")  # fmt: skip

        draw = [one(n) for n in sorted(study.variables)]
        caption = f"Test error of kernel regression, t = {study.length}: mean and range of {study.draws} draws."
        figures.append(Figure(f"learning-{name}", lambda d=draw: learning.panels(d), caption, wide=True))
    return Section("Error against examples", (), tuple(figures))


def memory(study: NVariableOptions, kernel: Kernel) -> Section:
    """The memory law, measured and derived; early and late positions; coefficients of the kernel."""
    lines = []
    for k, one in enumerate(kernel.laws):
        law = one.law * one.steps ** (2 / 3)
        lines.append(
            LearningCurve(f"derived, c = {one.fraction:g}", one.steps, law, style="line", certified=False, colour=k)
        )
        at = np.unique(np.geomspace(1, len(one.steps), 16).round().astype(int)) - 1
        lines.append(
            LearningCurve(f"measured, c = {one.fraction:g}", one.steps[at], -np.log(one.seen[at]), colour=k, marker=k)
        )
    names: Any = {"xlabel": "length t", "ylabel": "-log of what is seen of the start", "ticks": ()}
    shares = [
        LearningCurve(f"t = {t}", np.arange(t - 1, 0, -1), share[1:], colour=k, marker=k)
        for k, (t, share) in enumerate(kernel.shares.items())
    ]
    apart: Any = {"xlabel": "steps from the end, 1 is the last token", "ylabel": "linear share of K(x, x)", "ticks": ()}
    figures = (
        Figure("law", lambda: learning.learning(lines, **names),
               "Product of k0 over t steps against exp(-1.0086 (1-c)^(1/3) t^(2/3)): derived, asymptotic, no bound."),
        Figure("shares", lambda: learning.learning(shares, **apart),
               "What each token counts for; the first token is common. Late tokens to the left."),
    )  # fmt: skip
    rows = tuple(
        (one.fraction, len(one.steps), one.power, 2 / 3, one.local, one.constant, one.held, one.law)
        for one in kernel.laws
    )
    header = ("c", "t up to", "exponent", "derived", "local exponent, last half", "constant, free exponent",
              "constant, exponent 2/3", "derived constant")  # fmt: skip
    caption = (
        "Fits of -log(product of k0) = a t^b by least squares through twelve t from t_max/8 to t_max, even in log t. "
        "Intervals: Student's at 0.95, the distances from the line taken as noise. They are not noise but the next "
        "orders of the law: an interval that misses the derived number says that t is not yet large."
    )
    return Section("Memory of the kernel", (), figures, (Table(header, rows, caption), _coefficients(kernel)))


def _coefficients(kernel: Kernel) -> Table:
    rows = []
    t = kernel.lengths
    for p in range(3):
        late = straight(np.log(t), np.log(kernel.late[:, p]))
        early = straight(t ** (2 / 3), np.log(kernel.early[:, p]))
        ends = (
            [float(np.log(kernel.late[-1, p] / kernel.late[-2, p]) / np.log(t[-1] / t[-2]))] if len(t) > 1 else [None]
        )
        rows.append((p + 1, late and cell(late.slope), ends[0], late_exponent(p + 1), early and cell(early.slope),
                     1.0086, float(kernel.early[-1, p]), float(kernel.late[-1, p])))  # fmt: skip
    header = ("degree p", "late: power of t", "between the last two t", "derived", "early: rate in t^(2/3)", "derived",
              "K/a early, largest t", "K/a late, largest t")  # fmt: skip
    shown = ", ".join(f"{one:g}" for one in t)
    caption = (
        f"Growth of K(x, x)/a for the coefficient a of y^p at position t - 2 (late) and 1 (early), t = {shown}: the "
        "norm of a monomial of one token. Derived and asymptotic: t^(1+p/3) and exp(1.0086 t^(2/3))."
    )
    return Table(header, tuple(rows), caption)


def _short(one: Sweep) -> str:
    """What tells a sweep from the others in its picture."""
    return one.label.split(", ")[-1] if one.over == "t" else one.label.split(", ")[1]
