"""What do the exact risk of MAML at every horizon and its simulation cost, beside plain loops of NumPy?

MAML on linear regression, averaged SGD: the expected loss after every number of steps in closed form, beside the
recursion step by step; and simulated runs, beside a loop over runs and steps.
"""

from __future__ import annotations

import jax
import numpy as np

from benchmarks.machine import Work
from benchmarks.report import Report
from benchmarks.timing import Timing, measure, measure_in_turn
from ntkseq import bounds, risks
from ntkseq.data import eigenvalues

SECONDS = (6, 60)


def run(quick: bool) -> Report:
    """Each first agrees with its loop, then both are timed in turn."""
    report = Report("maml")
    exact(report, *((100, 1000) if quick else (500, 10_000)), quick=quick)
    simulation(report, *((20, 100, 100) if quick else (100, 1000, 400)), quick=quick)
    return report


def problem(d: int) -> risks.MixedRegression:
    """A power law with different tasks."""
    lam = eigenvalues.power_law(d)
    return risks.MixedRegression(lam, 1.0, 0.3, 0.5, n1=10, n2=5, m=20, beta_tr=0.2, alpha=0.05)


def exact(report: Report, d: int, steps: int, *, quick: bool) -> None:
    """All horizons, beside the recursion in a loop over steps: bias, then variance; and both in one loop."""
    report.table(
        "Exact risk",
        f"Seconds for the risk at all of {steps:,} horizons in {d} dimensions, beside the recursion over "
        "steps in NumPy.",
    )
    given = problem(d)
    curve = risks.risk(given, steps)
    apart = max(
        np.max(np.abs(curve.bias / looped(given, steps, "bias")[:, 0] - 1)),
        np.max(np.abs(curve.variance[1:] / looped(given, steps, "variance")[1:, 0] - 1)),
    )
    report.agree(f"d = {d}, {steps} horizons: bias and variance", float(apart), 1e-10, peer="the recursion")

    def loops() -> None:
        for part in ("bias", "variance"):
            looped(given, steps, part)

    def moments() -> float:  # a problem keeps them: each call makes them anew
        return given.with_().alpha_max

    calls = {
        "ours": lambda: risks.risk(given, steps), "moments": moments, "loops": loops,
        "one loop": lambda: looped(given, steps, "both"),
    }  # fmt: skip
    times = measure_in_turn(calls, repeats=5)
    report.time(f"bias and variance, d = {d}", times["ours"], times["loops"], peer="a loop for each",
                work=Work(flops=52.0 * steps * d, double=True), least=None if quick else 20.0)  # fmt: skip
    report.time(f"bias and variance, d = {d}, one loop", times["ours"], times["one loop"], peer="one loop for both")
    report.time(f"  the moments and the limit of the step size, d = {d}", times["moments"])
    if not quick:
        report.add("  both together", times["ours"].median + times["moments"].median, "s", most=2.0)
    horizons = np.arange(1, steps + 1)
    report.time(f"  both derived bounds at {steps} horizons", measure(lambda: bounds.maml_sides(given, horizons)))


def looped(given: risks.MixedRegression, steps: int, part: str) -> np.ndarray:
    """(maml.9) step by step, in float64; its products of matrix and vector are the BLAS's."""
    alpha, mu, Q, a = given.alpha, given.mu_tr, given.moments.Q, 1 - given.alpha * given.mu_tr
    noise = given.moments.pi
    columns = {"bias": [(given.start**2, 0 * noise)], "variance": [(0 * noise, noise)]}
    chosen = columns[part] if part != "both" else [*columns["bias"], *columns["variance"]]
    c, pi = (np.stack(rows) for rows in zip(*chosen, strict=True))
    u, s, found = np.zeros_like(c), np.zeros_like(c), np.empty((steps, len(c)))
    for t in range(steps):
        s = s + c + 2 * u
        u = a * (u + c)
        c = (1 - 2 * alpha * mu) * c + alpha**2 * (c @ Q + pi)
        found[t] = 0.5 * (s @ given.mu_te) / (t + 1) ** 2
    return found


def simulation(report: Report, d: int, steps: int, runs: int, *, quick: bool) -> None:
    """All runs at once, beside a loop over runs and steps, of which a few runs are timed."""
    report.table(
        "Simulation",
        f"Seconds of {runs} runs of {steps} steps, beside a loop of NumPy over runs and steps, of which a "
        "few runs are timed.",
    )
    given, few = problem(d), 4
    truth = risks.risk(given, steps).total[-1]
    found = risks.simulate(given, steps, runs, key=jax.random.key(0))
    away = abs(found.mean[-1] - truth) / found.error[-1]
    report.add(f"d = {d}, T = {steps}, {runs} runs: standard errors from the exact risk", float(away), most=4.0)
    calls = {
        "ours": lambda: risks.simulate(given, steps, runs, key=jax.random.key(1)),
        "loop": lambda: simulated(given, steps, few),
    }
    times = measure_in_turn(calls, repeats=3)
    loop = times["loop"]
    whole = Timing(
        *(getattr(loop, name) * runs / few for name in ("first", "median", "least", "greatest")), loop.repeats
    )
    work = Work(flops=runs * steps * 12.0 * given.d * (given.n1 + given.n2))  # six products with the examples of a task
    report.time(f"d = {d}, T = {steps}, {runs} runs", times["ours"], whole, peer="a loop over runs, steps", work=work,
                least=None if quick else 5.0)  # fmt: skip


def simulated(given: risks.MixedRegression, steps: int, runs: int) -> np.ndarray:
    """(maml.2) and (maml.3) run after run, step after step."""
    rng, n1, n2, found = np.random.default_rng(0), given.n1, given.n2, np.empty(runs)
    root = np.sqrt(given.spectrum)
    for r in range(runs):
        w, total = given.start, np.zeros(given.d)
        for _ in range(steps):
            total = total + w
            x = rng.standard_normal((n1 + n2, given.d)) * root
            theta = given.spread * rng.standard_normal(given.d)
            y = x @ theta + given.noise * rng.standard_normal(n1 + n2)
            inner, outer = x[:n1], x[n1:]
            adapted = w - given.beta_tr / n1 * inner.T @ (inner @ w - y[:n1])
            slope = outer.T @ (outer @ adapted - y[n1:]) / n2
            w = w - given.alpha * (slope - given.beta_tr / n1 * inner.T @ (inner @ slope))
        found[r] = 0.5 * np.sum(given.mu_te * (total / steps) ** 2)
    return found
