"""Which figures and tables show errors, norms and exponents of additive targets, and what short tokens change?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ntkseq.norms import MemoryProfile
from ntkseq.reports import Figure, Section, Table, learning
from ntkseq.reports.learning import LearningCurve
from ntkseq.studies.exponents import cell
from ntkseq.studies.recurrent.cases import (
    NETWORK_COLUMNS,
    bound_curve,
    network_curves,
    network_row,
    risk_curve,
    spread_curve,
)
from ntkseq.studies.rnn_additive.cases import AdditiveCase
from ntkseq.studies.rnn_additive.options import AdditiveOptions

TOP = 4.0  # upper end of learning curves: bounds above it say nothing
FAR = 1e12  # bounds of a norm beyond it are not drawn
BySetting = Mapping[bool, Sequence[AdditiveCase]]
SETTING = {False: "token norm 1", True: "short tokens"}


def curves(study: AdditiveOptions, plain: Sequence[AdditiveCase]) -> Section:
    """Test error against n, one figure per length, and a table of the networks."""
    figures, rows = [], []
    for t in sorted({case.t for case in plain}):
        here = {name: [c for c in plain if c.t == t and c.name == name] for name in study.functions}

        def one(name: str, here: Any = here) -> Any:
            curves = [curve for case in here[name] for curve in _learnt(study, case)]
            return lambda ax: learning.learning(
                curves, ax, title=name, ylabel="mean min(1, |f - y|)", top=TOP, legend=False
            )

        draw = [one(name) for name in study.functions]
        caption = (
            f"Test error against n, t = {t}. Dots: kernel regression, mean of {study.draws} draws, from the least to "
            f"the largest; open: networks trained by SGD ({study.places[0]} only). Lines are certified where solid: "
            "thick from the norm of the target, before any label; thin from y'K^-1 y. "
            f"What lies above {TOP:g} is not shown."
        )
        figures.append(Figure(f"learning-{t}", lambda draw=draw: learning.panels(draw), caption, wide=True))
    for case in plain:
        rows += [(case.t, case.name, *network_row(one, case.fits[0])) for one in case.trained]
    header = ("t", "function", *NETWORK_COLUMNS, "own K(x, x)", "diverged at")
    caption = (
        "Networks by SGD on W (eta: step for W in the papers' parametrisation), beside kernel gradient flow for "
        "the same time and the kernel interpolant, on the same examples of the first draw. Own K(x, x): largest at the "
        "start, in units of the limit; where it is above 1 the step was divided by it."
    )
    return Section("Error against examples", (), tuple(figures), (Table(header, tuple(rows), caption),))


def _learnt(study: AdditiveOptions, case: AdditiveCase) -> list[LearningCurve]:
    """Dots, open points and two lines of one target."""
    k, end = study.places.index(case.place), f", {case.place}"
    return [
        spread_curve(f"kernel{end}", case.sizes, case.mean_errors, colour=k),
        risk_curve(f"|f| bound{end}", case, colour=k),
        bound_curve(f"y'K^-1 y bound{end}", case.sizes, [fit.bound for fit in case.fits[0]], colour=k, thin=True),
        *network_curves(case.trained, study.widths, end=end, marker=1, colour=k),
    ]


def norms(found: BySetting) -> Section:
    """y'K^-1 y against the bound of the norm."""
    points: dict[str, Any] = {}
    rows = []
    for short, cases in found.items():
        for case in cases:
            measured = [fit.norm_squared.estimate * case.kappa**2 for fits in case.fits for fit in fits]
            xs, ys = points.setdefault(f"{SETTING[short]}, {case.place}", ([], []))
            xs += [case.norm] * len(measured)
            ys += measured
            last = case.fits[0][-1].norm_squared
            rows.append((case.t, SETTING[short], case.name, case.place, case.norm, last.estimate * case.kappa**2,
                         case.kappa**2, case.violations))  # fmt: skip
    header = ("t", "tokens", "function", "place", "bound of |f|^2 K(x, x)", "y'K^-1 y K(x, x), largest n", "K(x, x)",
              "above the bound")  # fmt: skip
    figures = ()
    if any(math.isfinite(case.norm) and case.norm < FAR for cases in found.values() for case in cases):
        near = {label: (np.where(np.array(x) < FAR, x, np.inf), y) for label, (x, y) in points.items()}
        names: Any = {"xlabel": "bound of |f|^2 K(x, x), power series", "ylabel": "y'K^-1 y K(x, x)"}
        caption = (
            "Squared norms, measured (every draw and n) against the bound before any label: below the line if it "
            f"holds. Bounds above {FAR:g} are not shown."
        )
        figures = (Figure("norms", lambda: learning.below(near, **names), caption),)
    return Section("Norms", (), figures, (Table(header, tuple(rows), "Squared norms in units of 1/K(x, x)."),))


def exponents(study: AdditiveOptions, plain: Sequence[AdditiveCase]) -> Section:
    """The fitted exponents of n against the length."""
    ts = sorted({case.t for case in plain})

    def one(place: str) -> Any:
        curves = []
        for k, name in enumerate(study.functions):
            slopes = [next(c.slope for c in plain if (c.t, c.name, c.place) == (t, name, place)) for t in ts]
            ends = [(-s.upper, -s.lower) if math.isfinite(s.lower) else (-s.estimate,) * 2 for s in slopes]
            low, high = zip(*ends, strict=True)
            curves.append(LearningCurve(name, ts, [-s.estimate for s in slopes], low, high, colour=k, marker=k))
        names: Any = {"xlabel": "length t", "ylabel": "a in error ~ n^-a", "title": place}
        return lambda ax: learning.learning(curves, ax, legend=False, **names)

    draw = [one(place) for place in study.places]
    half = plain[0].sizes[min(len(plain[0].sizes) // 2, max(len(plain[0].sizes) - 2, 0)) :]
    caption = (
        f"Fitted exponents of the kernel's test error over n = {', '.join(map(str, half))}; 95 % intervals over "
        f"{study.draws} draws (Student). The bounds fall as n^-1/2."
    )
    rows = tuple(
        (c.t, c.name, c.place, cell(c.slope), float(c.mean_errors[:, -1].mean()), c.sizes[-1],
         float(np.mean([fits[-1].errors.ceiling for fits in c.fits])), c.fits[0][-1].bound.value,
         c.risk_at(c.sizes[-1]))
        for c in plain
    )  # fmt: skip
    header = ("t", "function", "place", "exponent", "error", "n", "its ceiling", "y'K^-1 y bound", "|f| bound")
    figures = (Figure("exponents", lambda: learning.panels(draw), caption, wide=True),)
    return Section("Exponents", (), figures, (Table(header, rows, "Kernel regression at the largest n."),))


def short(study: AdditiveOptions, found: BySetting, memory: Mapping[bool, MemoryProfile]) -> Section:
    """What becomes of norms, errors and memory when the later tokens are short."""
    ts, n = sorted({case.t for case in found[False]}), found[False][0].sizes[-1]
    pick = {(s, c.t, c.name, c.place): c for s, cases in found.items() for c in cases}
    name = study.functions[0]

    def norm_curves(place: str) -> Any:
        curves = []
        for short, k in ((False, 0), (True, 1)):
            here = [pick[short, t, name, place] for t in ts]
            curves.append(LearningCurve(f"bound, {SETTING[short]}", ts, [c.norm for c in here], style="line",
                                certified=all(c.risk.certified for c in here), colour=k))  # fmt: skip
            last = [c.fits[0][-1].norm_squared.estimate * c.kappa**2 for c in here]
            curves.append(LearningCurve(f"y'K^-1 y at n = {n}, {SETTING[short]}", ts, last, colour=k, marker=k))
        names: Any = {"xlabel": "length t", "ylabel": "squared norm times K(x, x)", "title": f"{name}, {place}"}
        return lambda ax: learning.learning(curves, ax, legend=False, **names)

    def error_curves(place: str) -> Any:
        curves = []
        for short, k in ((False, 0), (True, 1)):
            last = np.array([pick[short, t, name, place].mean_errors[:, -1] for t in ts]).T
            curves.append(spread_curve(SETTING[short], ts, last, colour=k, marker=k))
        names: Any = {"xlabel": "length t", "ylabel": f"test error at n = {n}", "title": f"{name}, {place}"}
        return lambda ax: learning.learning(curves, ax, legend=False, **names)

    shares = [
        LearningCurve(SETTING[s], np.arange(1, len(one.share)), one.share[1:], colour=int(s), marker=int(s))
        for s, one in memory.items()
    ]
    above, beside = [norm_curves(p) for p in study.places], [error_curves(p) for p in study.places]
    names: Any = {"xlabel": "position, counted from 0", "ylabel": "linear share of K(x, x)",
                  "ticks": [2**i for i in range((max(ts) - 1).bit_length())]}  # fmt: skip
    figures = (
        Figure("short-norms", lambda: learning.panels(above), "Bound of the norm (solid: certified) and measured norm "
               "against t.", wide=True),
        Figure("short-errors", lambda: learning.panels(beside), "Test error of kernel regression against t, mean and "
               "range of the draws.", wide=True),
        Figure("memory", lambda: learning.learning(shares, **names),
               f"What each token counts for in the kernel, t = {max(ts)}."),
    )  # fmt: skip
    rows = []
    for t, function, place in sorted({key[1:] for key in pick}):
        long, short = (pick[s, t, function, place] for s in (False, True))
        rows.append((t, function, place, short.eps_x, long.norm, short.norm, float(long.mean_errors[:, -1].mean()),
                     float(short.mean_errors[:, -1].mean())))  # fmt: skip
    header = ("t", "function", "place", "short norm", "norm bound, 1", "norm bound, short", "error, 1", "error, short")
    text = (
        "The same tokens and labels; in one case the later tokens reach the network shortened, and the target's "
        "directions are as much longer (the papers' target looks at the unshortened tokens).",
    )
    return Section("Short tokens", text, figures, (Table(header, tuple(rows), f"Errors at n = {n}."),))
