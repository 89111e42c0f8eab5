"""What does the certificate of a network say? The bound as a record, with its terms and what it assumes."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from jaxtyping import Float

from ntkseq._bound import Assumption, Bound, Constants, Term
from ntkseq._types import Key, PyTree
from ntkseq.bounds.assumptions import independent
from ntkseq.bounds.binary_kl import kl_inverse
from ntkseq.bounds.network_draws import mean_above
from ntkseq.bounds.network_posterior import Divergence, NetworkPosterior
from ntkseq.bounds.network_problem import Problem

REFERENCES = ("maurer2004", "dziugaite2017computing", "waudbysmith2024betting")


@dataclasses.dataclass(frozen=True)
class NetworkConstants(Constants):
    """What a certificate of a network rests on.

    Attributes:
        n, seen: examples that pay, and that do not since the prior has looked at them.
        p, rows: weights that are drawn, and directions in which their noise is less than that of the prior.
        c, s, step, scale: of the setting that was chosen; step and scale count in w and in `scales`.
        priors: P, among which it was.
        kl: of the posterior from the prior, in nats, rounded upwards.
        information_gain, effective_dimension, movement: 1/2 sum log(1 + c l/s), sum c l/(c l + s), |w - w0|^2/(2 c).
        draws, share: m, and their share of delta.
        empirical, empirical_upper: the mean error of the draws on the n examples, and that of all draws at most.
        mean_network: the error of the network at w on the n examples; not certified.
    """

    n: int
    seen: int
    p: int
    rows: int
    c: float
    s: float
    step: int
    scale: int
    priors: int
    kl: float
    information_gain: float
    effective_dimension: float
    movement: float
    draws: int
    share: float
    empirical: float
    empirical_upper: float
    mean_network: float


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class NetworkBound(Bound[NetworkConstants]):
    """A `Bound` of the expected error of networks that are drawn, and their law.

    Attributes:
        posterior: the Gaussian over the weights; None where there is no value.
        losses: the share of wrong answers of each draw on the examples that pay, (m,).

    Reference: dziugaite2017computing.
    """

    posterior: NetworkPosterior | None = None
    losses: Float[np.ndarray, " m"] | None = None

    def draw(self, key: Key) -> PyTree:
        """The weights of one network of those that the bound speaks of: a new key for every answer, or every network.

        Raises:
            ValueError: not a random key, or a bound without a value.
        """
        if self.posterior is None:
            raise ValueError(f"draw needs a bound with a value; got none, since {self.reason}.")
        return self.posterior.draw(key)


@dataclasses.dataclass(frozen=True)
class Settled:
    """What is known before any network is drawn: P priors, shares of delta, log(xi(n) P/((1 - share) delta)), m."""

    priors: int
    delta: float
    share: float
    price: float
    draws: int


@dataclasses.dataclass(frozen=True, eq=False)
class Setting:
    """A posterior of the grid, |D^-1 (w - w0)|^2/(2 c), and the places of its w and of its scales in their lists."""

    posterior: NetworkPosterior
    moved: float
    step: int
    scale: int


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """What the draws of a setting showed: its divergence, the losses, and how many answers were no numbers."""

    setting: Setting
    kl: Divergence
    losses: Float[np.ndarray, " m"]
    odd: int


def report(problem: Problem, settled: Settled, seen: Measured | None, reason: str = "") -> NetworkBound:
    """The bound with its terms, beside it what it is made of; NaN with the reason where nothing was measured."""
    n, nan = problem.n, math.nan
    value = empirical = upper = nan
    if seen is not None:
        empirical = float(np.mean(seen.losses))
        upper = mean_above(seen.losses, -math.log(settled.share * settled.delta) * (1 + 1e-14))
        value = kl_inverse(upper, max(seen.kl.value + settled.price, 0.0) * (1 + 1e-14) / n)
    posterior, step = (seen.setting.posterior, seen.setting.step) if seen else (None, 0)
    parts, total = (seen.kl, seen.kl.value) if seen else (Divergence(nan, nan, nan, nan), nan)
    odd = f"{seen.odd} answers were no numbers, and count as wrong" if seen and seen.odd else ""
    P, rest = settled.priors, f"{1 - settled.share:.3g}"
    terms = (
        _term("error", f"mean error of {settled.draws} draws on {n} examples", empirical, "exact", odd),
        _term("draws", "q less that; q: mean error over all draws, at most", upper - empirical),
        _term("complexity", f"kl^-1(q | (KL + log(xi(n) {P}/({rest} delta)))/n) - q", value - upper),
        _beside("KL", "1/2 [sum log(1 + c l/s) - sum c l/(c l + s) + |w - w0|^2/c]", total, "of what is drawn"),
        _beside("information gain", "1/2 sum log(1 + c l/s)", parts.gain),
        _beside("effective dimension", "sum c l/(c l + s)", 2 * parts.dimension),
        _beside("movement", "|w - w0|^2/(2 c)", parts.movement),
        _beside("mean network", "error of the network at w on these examples", problem.errors[step], "no certificate"),
    )
    answer = "f(., x) - f(w0, x)" if problem.centred else "f as it is"
    return NetworkBound(
        name="PAC-Bayes certificate of a network",
        quantity="E error of the drawn network",
        value=value,
        terms=terms,
        assumptions=_assumptions(problem, settled),
        delta=settled.delta,
        applies_to=f"the network with weights drawn anew from N(w, C), {answer}; not the network at w",
        references=REFERENCES,
        constants=NetworkConstants(
            n=n,
            seen=len(problem.y) - n,
            p=sum(leaf.size for leaf in problem.start.weights),
            rows=len(posterior.spectrum) if posterior else 0,
            c=posterior.c if posterior else nan,
            s=posterior.s if posterior else nan,
            step=step,
            scale=seen.setting.scale if seen else 0,
            priors=P,
            kl=total,
            information_gain=parts.gain,
            effective_dimension=2 * parts.dimension,
            movement=parts.movement,
            draws=settled.draws,
            share=settled.share,
            empirical=empirical,
            empirical_upper=upper,
            mean_network=problem.errors[step],
        ),
        reason=reason,
        posterior=posterior,
        losses=seen.losses if seen else None,
    )


def _term(name: str, formula: str, value: float, provenance: str = "derived", note: str = "") -> Term:
    return Term(name, formula, value, explicit=True, provenance=provenance, note=note)


def _beside(name: str, formula: str, value: float, note: str = "") -> Term:
    return Term(name, formula, value, explicit=True, provenance="derived", note=note, counted=False)


def _assumptions(problem: Problem, settled: Settled) -> tuple[Assumption, ...]:
    n, looked = problem.n, len(problem.y) - problem.n
    listed = "one setting" if settled.priors == 1 else f"{settled.priors} settings"
    others = f"; the prior has looked at {looked} others" if looked else ""
    known = problem.seen_known
    return (
        independent(problem.copies),
        Assumption(
            "prior",
            f"w0, c and scales ({listed}) were fixed without the {n} examples that pay, inputs or labels{others}",
            "declared" if known else "unchecked",
            "" if known else "seen=None: nobody knows which examples w0 has looked at",
        ),
        Assumption(
            "draws",
            f"the {settled.draws} networks are independent draws that chose nothing",
            "holds",
            "each has a key of its own; the setting was chosen by other keys",
        ),
        Assumption(
            "arithmetic",
            f"{problem.before.dtype} stands for real numbers in the random numbers, the weights made of them and the "
            "answers of f, and the generator for chance",
            "declared",
        ),
    )
