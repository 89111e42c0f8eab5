"""What is certified and what is measured for one function of N tokens at one length?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from ntkseq import concepts
from ntkseq.bounds import Bound, rademacher, sample_size, target_risk
from ntkseq.grams import gram
from ntkseq.norms import MemoryProfile, Tokens, memory_profile
from ntkseq.norms.power_series import diagonal, expand
from ntkseq.spectra import Interval
from ntkseq.studies.provenance import Fingerprint
from ntkseq.studies.recurrent.cases import NormCase
from ntkseq.studies.recurrent.kernel_regression import KernelRegression, NormFit
from ntkseq.studies.recurrent.targets import KERNEL, function, label_error
from ntkseq.studies.rnn_nvariable.laws import Memory, crossings, memory, reached
from ntkseq.studies.rnn_nvariable.options import NVariableOptions, Setting


@dataclasses.dataclass(frozen=True, eq=False)
class NVariableCase(NormCase[NormFit]):
    """One setting; its sample is x, y and kernel matrix of the largest n, for the theorem.

    Attributes:
        setting, target: which.
        needed: `bounds.sample_size` for the study's eps.
        trivial: mean of min(1, |f|) over test points, the error of predicting 0.
        own: `bounds.rademacher` of the first draw at the largest n, from y'K^-1 y.
        eps: the error asked for.
    """

    setting: Setting
    target: concepts.NVariable
    needed: Bound
    trivial: float
    own: Bound
    eps: float

    @property
    def certified_n(self) -> float:
        """The sample size that is proved to be enough; inf where no norm is proven."""
        value = self.needed.value
        return math.inf if value is None else value

    @property
    def reached(self) -> Interval:
        """The measured number of examples for eps."""
        return reached(self.sizes, self.mean_errors, self.eps)

    @property
    def draws_reached(self) -> Float[np.ndarray, " draws"]:
        """The same of each draw."""
        return crossings(self.sizes, self.mean_errors, self.eps)

    @property
    def broken(self) -> int:
        """Certified bounds below the measured error, and certified sample sizes below the measured one."""
        count = int(self.needed.certified and self.certified_n < self.reached.lower)
        count += self.own.certified and (self.own.value or 0.0) < self.fits[0][-1].errors.mean
        return count + self.risk_broken


def cases(
    study: NVariableOptions, *, mark: Fingerprint, clock: Callable[[str, str], AbstractContextManager[None]]
) -> Iterator[NVariableCase]:
    """Measure every setting of a study.

    Args:
        study: what.
        mark: takes in the data.
        clock: times a stage by key and name.
    """
    directions, n = study.directions(), max(study.examples)
    for t, settings in study.settings().items():
        targets = {one: one.target(directions) for one in settings}
        with clock(f"kernel-{t}", f"kernel, t = {t}"):
            drawn = []
            for draw in range(study.draws):
                key = jax.random.fold_in(jax.random.fold_in(jax.random.key(study.seed), t), draw)
                first = next(iter(targets.values()))
                x = concepts.sample(first, n + study.n_test, t, study.features, key=key, eps_x=1.0).x
                mark.add(x)
                K, cross = gram(KERNEL, x[:n]), gram(KERNEL, x[n:], x[:n])
                drawn.append((x[:n], x[n:], [KernelRegression(K, cross, size) for size in sorted(study.examples)]))
            # all inputs have the same token norms, so kappa is known before any label
            kappa = math.sqrt(memory_profile(KERNEL, drawn[0][0]).kernel_diagonal)
        for one, f in targets.items():
            with clock(f"{one.function}-{one.variables}-{one.span}-{one.place}-{t}",
                       f"{one.function}, N = {one.variables}, span {one.span}, {one.place}, t = {t}"):  # fmt: skip
                yield _case(study, one, f, drawn, kappa)


def _case(
    study: NVariableOptions, one: Setting, f: concepts.NVariable, drawn: Sequence[Any], kappa: float
) -> NVariableCase:
    x = drawn[0][0]
    law = Tokens.measured(x, rounded=True)  # `concepts.sample` divides tokens by their norms
    options: Any = {"delta": study.delta, "B0": study.grid / kappa}
    needed = sample_size(f, KERNEL, law, eps=study.eps, **options)
    risk = target_risk(f, KERNEL, law, n=max(study.examples), **options)
    labels = [(np.asarray(jax.vmap(f)(x)), np.asarray(jax.vmap(f)(q))) for x, q, _ in drawn]
    fits = [
        [one.fit(y, y_test) for one in machines] for (_, _, machines), (y, y_test) in zip(drawn, labels, strict=True)
    ]
    last = drawn[0][2][-1]
    own = rademacher(last.part, labels[0][0], reg=last.reg, kappa=kappa, **options)
    y, tests = labels[0][0], np.concatenate([test for _, test in labels])
    trivial = float(np.minimum(1.0, np.abs(tests)).mean())
    sample = (x, y, last.part)
    return NVariableCase(risk, kappa, label_error(y), fits, sample, one, f, needed, trivial, own, study.eps)


@dataclasses.dataclass(frozen=True, eq=False)
class Kernel:
    """What the kernel alone says of memory, without data.

    Attributes:
        laws: `Memory` per shared fraction.
        shares: linear share of each token by length, the first token common, the others without a shared part.
        lengths: (s,), doubling.
        late, early: K(x, x)/a for y^p at t - 2 and at 1, (s, 3) for p = 1, 2, 3.
        needed: certified sample size at these lengths by (function, place), of the window measured against t and
            with the Taylor polynomial of degree 3: finite at every length; a whole series soon has no proven end.
    """

    laws: list[Memory]
    shares: dict[int, Float[np.ndarray, " t"]]
    lengths: Float[np.ndarray, " s"]
    late: Float[np.ndarray, "s 3"]
    early: Float[np.ndarray, "s 3"]
    needed: dict[tuple[str, str], Float[np.ndarray, " s"]]


def remembered(study: NVariableOptions) -> Kernel:
    """The memory law and the coefficients of the kernel up to `study.memory` steps."""
    top = study.memory
    laws = [memory(profile([1.0] * top, [c] * top), c) for c in sorted(study.fractions)]
    lengths = [top]
    while lengths[0] >= max(16, 2 * (study.pair[1] + 3)):
        lengths.insert(0, lengths[0] // 2)
    late, early, shares = [], [], {}
    for t in lengths:
        law = _common_first(t, study.features)
        size = diagonal(KERNEL, law)
        series = expand(KERNEL, law, [[t - 2], [1]], degree=3)
        late.append(size / series.scaled[0, 1:])
        early.append(size / series.scaled[1, 1:])
        shares[t] = memory_profile(KERNEL, law).share
    needed = {}
    for name in study.functions:
        for place in ("late", "early"):
            listed = []
            for t in lengths:
                whole = Setting(t, *study.pair, place, name).target(study.directions())
                cubic = concepts.series.polynomial(function(name).coefficients(3).tolist())
                f = concepts.NVariable(whole.positions, whole.betas, cubic)
                law = _common_first(t, study.features)
                B0 = study.grid / math.sqrt(diagonal(KERNEL, law))
                listed.append(sample_size(f, KERNEL, law, eps=study.eps, delta=study.delta, B0=B0).value)
            needed[name, place] = np.array([math.inf if one is None else one for one in listed])
    return Kernel(laws, shares, np.array(lengths, np.float64), np.array(late), np.array(early), needed)


def profile(squares: Sequence[float], common: Sequence[float]) -> MemoryProfile:
    """What each token counts for, for declared norms and shared parts."""
    return memory_profile(KERNEL, Tokens.declared(list(squares), common=list(common)))


def _common_first(t: int, features: int) -> Tokens:
    return Tokens.declared([1.0] * t, common=[1.0] + [0.0] * (t - 1), features=features)
